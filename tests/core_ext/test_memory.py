"""What the encoder holds: nothing after a block is gone, and a bounded amount while it works."""

from __future__ import annotations

import subprocess
import sys
from array import array
from pathlib import Path

import psutil
import pytest

from bench.segments import traffic_segment
from core_ext.frames import frame_block, hash_128, lz4_block
from core_ext.native import SegmentError, build_profile, encode_ledger, encode_segment
from tests.core_ext.blocks import BATCH_ID, encode, sent
from tests.reference.records import Hit, build_segment

CHECKOUT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
# Beside the segment itself, for a full batch of 100,000 rows.
PEAK_BUDGET_MIB = 80

pytestmark = pytest.mark.skipif(
    build_profile() == "checked", reason="a sanitizer's own memory drowns ours: the release build is measured"
)


def test_repeated_calls_do_not_grow() -> None:
    segment, hits = traffic_segment(2000)
    bad = build_segment([hits[0], b"\x01short", Hit(metrics=((1, float("nan")),)), b""])
    outside = array("I", [0xFFFFFFFF]).tobytes()

    def use_everything() -> None:
        for compress in (False, True):
            block = encode(segment, compress=compress)
            part = block.parts[0]
            raw = sent(block)
            del block
            assert len(part) > 0
            assert encode(bad, compress=compress).bad_records
        with pytest.raises(SegmentError):
            encode_segment(b"", b"", b"", batch_id=BATCH_ID)
        assert encode_segment(segment.data, outside, outside, batch_id=BATCH_ID).bad_records
        encode_ledger([(1, 0, 1, 0, 1)], batch_id=BATCH_ID, batch_time_s=1)
        frame_block(raw)
        lz4_block(raw)
        hash_128(raw)

    process = psutil.Process()
    for _ in range(100):
        use_everything()
    before = process.memory_info().rss
    for _ in range(400):
        use_everything()
    # One lost column buffer per call would be 40 MiB and more.
    assert process.memory_info().rss - before < 4 * MIB


@pytest.mark.parametrize("compress", [False, True], ids=["bare", "framed"])
def test_a_full_batch_stays_within_its_budget(tmp_path: Path, compress: bool) -> None:
    """In a process of its own, because a peak can only be read once."""
    segment, _ = traffic_segment(100_000)
    for name in ("data", "offsets", "lengths"):
        (tmp_path / name).write_bytes(getattr(segment, name))
    program = f"""
import re
from pathlib import Path
from core_ext.native import encode_segment

def peak_kib():
    # Of this program; ru_maxrss would begin with the parent's.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

data, offsets, lengths = (Path(name).read_bytes() for name in ("data", "offsets", "lengths"))
before_kib = peak_kib()
block = encode_segment(data, offsets, lengths, batch_id="0" * 32, compress={compress})
assert block.rows == 100_000
print(peak_kib() - before_kib)
"""
    paths = {"PYTHONPATH": ":".join([str(CHECKOUT), *sys.path])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=tmp_path, env=paths)
    peak_mib = int(done.stdout) / 1024
    assert peak_mib < PEAK_BUDGET_MIB
    assert peak_mib > 10, "the peak was not seen"
