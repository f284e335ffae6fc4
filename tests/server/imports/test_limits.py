"""What a hostile or damaged file may cost: archives that unpack to much, broken ones, pieces that do not fit."""

from __future__ import annotations

import gzip
import io
import os
import random
import time
import zipfile
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.imports import members as archives
from server.imports.csv_rows import CsvRows
from server.imports.errors import ArchiveBroken, ImportRefused, KindUnknown, QuotaExceeded, UnpacksTooLarge
from server.imports.figures import FigureTable
from server.imports.lines import Lines
from server.imports.members import open_members, shown_name
from server.imports.report import ImportReport
from server.imports.uploads import OffsetWrong, Upload, UploadGone, UploadTooLarge, check_quota, sweep
from tests.server.imports.desk import Desk, zipped
from tests.server.imports.test_access_logs import LOG, line


def test_a_bomb_is_stopped_and_what_was_read_before_stays(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "RATIO_FROM_BYTES", 100_000)
    monkeypatch.setattr(archives, "MAX_RATIO", 20)
    bomb = gzip.compress(line(1, "/").encode() + (line(2, "/bomb") * 40_000).encode())
    row, _ = desk.bring("access.log.gz", bomb)
    assert row.state == "failed"
    assert "that is no export" in desk.saved(row.import_id)[1].error


def test_a_bomb_within_a_zip_is_stopped_at_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "RATIO_FROM_BYTES", 1_000_000)
    (tmp_path / "a.zip").write_bytes(zipped({"zeros.csv": bytes(40_000_000)}))
    with open_members(tmp_path / "a.zip", "a.zip") as opened, opened.members[0].open() as stream:
        with pytest.raises(UnpacksTooLarge):
            list(iter(lambda: stream.read(65_536), b""))
        assert stream.read_bytes < 10_000_000


def test_archives_that_are_damaged_encrypted_or_full_are_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = zipped({"access.log": LOG * 200})
    with pytest.raises(ArchiveBroken):
        desk.send("cut.zip", whole[: len(whole) // 2])
    with pytest.raises((ArchiveBroken, KindUnknown)):
        desk.send("cut.gz", gzip.compress(LOG.encode())[:12])
    with pytest.raises(ImportRefused):
        desk.send("empty.zip", zipped({}))
    encrypted = bytearray(zipped({"access.log": LOG}))
    for position in (6, encrypted.index(b"PK\x01\x02") + 8):
        encrypted[position] |= 1
    with pytest.raises(ImportRefused):
        desk.send("encrypted.zip", bytes(encrypted))
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    with pytest.raises(ArchiveBroken):
        desk.send("many.zip", zipped({f"{number}.log": LOG for number in range(4)}))
    assert list(desk.services.settings.data_dir.glob("imports/*")) == []


def test_a_log_that_ends_within_its_gzip_keeps_what_was_whole(desk: Desk) -> None:
    chance = random.Random(1)
    many = "".join(line(minute, f"/{chance.random()}") for minute in range(8_000))
    packed = gzip.compress(many.encode())
    import_id = desk.send("access.log.gz", packed[: len(packed) // 2])
    with pytest.raises(ArchiveBroken):
        desk.carry_out(import_id, part_lines=1_000)
    row, _ = desk.saved(import_id)
    assert 0 < row.rows < 8_000
    assert len(desk.events()) == row.rows
    assert desk.audit().ok


@given(st.text(max_size=60))
def test_a_name_leads_nowhere(name: str) -> None:
    shown = shown_name(name)
    assert shown
    assert "/" not in shown
    assert "\\" not in shown
    assert shown.isprintable()


def test_pieces_may_come_again_and_must_fit(desk: Desk) -> None:
    settings_ = desk.services.settings
    upload = Upload.begin(settings_, 1)
    assert upload.append(0, b"abc") == 3
    assert upload.append(0, b"abc") == 3
    assert Upload(settings_, 1, upload.token).append(3, b"de") == 5
    with pytest.raises(OffsetWrong) as wrong:
        upload.append(9, b"x")
    assert wrong.value.size_bytes == 5
    assert upload.path.read_bytes() == b"abcde"
    assert os.stat(upload.path).st_mode & 0o077 == 0
    for token in ("0" * 32, "../../etc/passwd", upload.token[:-1], ""):
        with pytest.raises(UploadGone):
            Upload(settings_, 1, token).append(0, b"x")
    with pytest.raises(UploadGone):
        Upload(settings_, 2, upload.token).append(5, b"x")
    small = settings_.model_copy(update={"import_max_bytes": 6})
    with pytest.raises(UploadTooLarge):
        Upload(small, 1, upload.token).append(5, b"xy")


def test_the_room_of_an_account_is_bounded_and_given_back(desk: Desk) -> None:
    engine = desk.services.engine
    bounded = desk.services.settings.model_copy(update={"import_quota_bytes": 100})
    upload = Upload.begin(bounded, 1)
    upload.append(0, bytes(80))
    check_quota(engine, bounded, 1, 20)
    check_quota(engine, bounded, 2, 100)
    with pytest.raises(QuotaExceeded):
        check_quota(engine, bounded, 1, 21)
    assert sweep(engine, bounded) == 0
    assert sweep(engine, bounded, time.time() + 4_000) == 1
    check_quota(engine, bounded, 1, 100)


def test_files_that_wait_are_never_swept(desk: Desk) -> None:
    import_id = desk.send("access.log", LOG.encode())
    assert sweep(desk.services.engine, desk.services.settings, time.time() + 1_000_000) == 0
    assert desk.path(import_id).exists()


def test_a_report_stays_small_whatever_the_lines_say() -> None:
    report = ImportReport()
    for number in range(5_000):
        report.name_problem("a.csv", number, f"{'x' * 500}{number}" if number % 2 else f"{number} is no number")
        report.note_file(f"{number}.csv")
    assert report.malformed.total() == report.lines == 5_000
    assert len(report.problems) == 100
    assert len(orjson.dumps(report.as_json())) < 100_000
    assert ImportReport.from_json(orjson.loads(orjson.dumps(report.as_json()))) == report


class Stream:
    """Bytes that come in pieces of any size."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._content = io.BytesIO(content)
        self._sizes = sizes

    def read(self, size_bytes: int) -> bytes:
        size = self._sizes.pop() if self._sizes else size_bytes
        return self._content.read(size)


FIELDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=8), min_size=2, max_size=5)


@settings(max_examples=60)
@given(st.lists(FIELDS, max_size=6), st.lists(st.integers(1, 9), max_size=20))
def test_every_row_that_was_written_is_read(written: list[list[str]], sizes: list[int]) -> None:
    quoted = ["\n".join(",".join('"' + field.replace('"', '""') + '"' for field in row) for row in written)]
    stream = Stream("\n".join(quoted).encode(), sizes)
    # A byte order mark at the very beginning is taken off.
    rows = list(CsvRows(Lines(stream)))  # type: ignore[arg-type]
    assert [row.values for row in rows] == [tuple(row) for row in written]
    assert all(not row.problem for row in rows)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.sampled_from("xyzuvw"), st.integers(0, 50), st.integers(0, 50)),
        max_size=40,
    )
)
def test_figures_are_sums_and_the_rest_is_other(
    tmp_path_factory: pytest.TempPathFactory, added: list[tuple[str, str, int, int]]
) -> None:
    table = FigureTable(tmp_path_factory.getbasetemp())
    sums: dict[tuple[str, str], list[int]] = {}
    for dimension, value, visitors, events in added:
        table.add("2026-01-01", dimension, value, {"visitors": visitors, "events": events})
        held = sums.setdefault((dimension, value), [0, 0])
        held[0] += visitors
        held[1] += events
    most = list(table.of_day("2026-01-01"))
    assert {(each.dimension, each.value): [each.counts[0], each.counts[3]] for each in most} == sums
    few = list(table.of_day("2026-01-01", most_values=2))
    for dimension in ("a", "b"):
        kept = [each for each in few if each.dimension == dimension]
        assert sum(each.counts[0] for each in kept) == sum(
            held[0] for (name, _), held in sums.items() if name == dimension
        )
        assert len(kept) <= 3
        shown = [each.counts[0] for each in kept if each.value != "(other)"]
        assert shown == sorted((held[0] for (name, _), held in sums.items() if name == dimension), reverse=True)[:2]
    table.close()


def test_a_zip_may_hold_any_compression_of_pythons(desk: Desk) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("access.log", LOG)
    row, _ = desk.bring("logs.zip", held.getvalue())
    assert row.rows == 4
