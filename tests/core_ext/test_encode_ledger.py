"""The ledger's block: counts in, one row each, in frames or bare."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from core_ext.native import LEDGER_COLUMNS, OUTCOME_LABELS, encode_ledger
from tests.core_ext.blocks import BATCH_ID, encode, sent
from tests.reference import native_block
from tests.reference.frames import open_frames
from tests.reference.records import NOON_MS, Hit, Short, build_segment

CHECKOUT = Path(__file__).resolve().parents[2]
BATCH_TIME_S = NOON_MS // 1000


def ledger_rows(entries: list[tuple[int, int, int, int, int]]) -> list[dict[str, Any]]:
    return [
        {
            "site_id": site_id,
            "hour": hour_s,
            "outcome": OUTCOME_LABELS[outcome].encode(),
            "bot_reasons": bot_reasons,
            "count": count,
            "batch_time": BATCH_TIME_S,
            "batch_id": BATCH_ID.encode(),
        }
        for site_id, hour_s, outcome, bot_reasons, count in sorted(entries)
    ]


def test_equals_the_plain_twin() -> None:
    records: list[Hit | Short] = [Hit(), Hit(bot_reasons=4), Hit(site_id=2)]
    records += [
        Short(outcome=outcome, site_id=outcome % 3, bot_reasons=outcome, time_ms=NOON_MS + outcome * 1_000_000)
        for outcome in OUTCOME_LABELS
        if outcome
        for _ in range(outcome)
    ]
    entries = encode(build_segment(records)).ledger
    assert sum(count for *_, count in entries) == len(records)
    for form in ("tcp", "file"):
        rows = ledger_rows(entries)
        bare = encode_ledger(reversed(entries), batch_id=BATCH_ID, batch_time_s=BATCH_TIME_S, form=form, compress=False)
        assert sent(bare) == native_block.encode(rows, form=form, columns=LEDGER_COLUMNS)
        framed = encode_ledger(entries, batch_id=BATCH_ID, batch_time_s=BATCH_TIME_S, form=form)
        assert open_frames(sent(framed)) == sent(bare)
        assert (framed.rows, framed.month, framed.segment_id) == (len(entries), 202611, b"")
        assert (framed.bare_bytes, framed.parts_bytes) == (len(sent(bare)), len(sent(framed)))


def test_no_entries_have_nothing_to_send() -> None:
    block = encode_ledger([], batch_id=BATCH_ID, batch_time_s=BATCH_TIME_S)
    assert (block.rows, block.parts) == (0, [])


def test_the_largest_numbers() -> None:
    entries = [((1 << 32) - 1, ((1 << 32) - 1) // 3600 * 3600, 106, (1 << 16) - 1, (1 << 64) - 1)]
    block = encode_ledger(entries, batch_id=BATCH_ID, batch_time_s=BATCH_TIME_S, form="file", compress=False)
    assert sent(block) == native_block.encode(ledger_rows(entries), form="file", columns=LEDGER_COLUMNS)


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ((1, 0, 99, 0, 1), KeyError),
        ((1 << 32, 0, 0, 0, 1), OverflowError),
        ((1, 0, 0, 1 << 16, 1), OverflowError),
        ((1, 0, 0, 0, -1), OverflowError),
    ],
)
def test_refuses_what_no_column_holds(entry: tuple[int, int, int, int, int], error: type[Exception]) -> None:
    with pytest.raises(error):
        encode_ledger([entry], batch_id=BATCH_ID, batch_time_s=BATCH_TIME_S)


def test_labels_are_those_of_the_ingest_crate() -> None:
    source = (CHECKOUT / "rust_ext/ingest/src/drop_reason.rs").read_text()
    codes = dict(re.findall(r"^    (\w+) = (\d+),$", source, re.MULTILINE))
    labels = dict(re.findall(r"Outcome::(\w+) => \"(\w+)\"", source))
    assert {int(codes[name]): label for name, label in labels.items()} == OUTCOME_LABELS
