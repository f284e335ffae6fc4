"""The law of accounting on a real store: it holds wherever the hits are, and says what is wrong when it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.audit import AuditReport, audit
from server.batch import prepare, targets
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.destruction import RowsOfSite
from server.migrate import SchemaForm, migrate
from server.quarantine import Quarantine
from server.quarantine_purge import purge
from server.segment_replay import drain_spool, replay_files, replay_quarantine
from server.sink import Sink
from server.spool import take_folder
from tests.server.segments import SegmentFile, write_segment

FORM = SchemaForm()


class Books:
    """A store, a spool and a quarantine to keep accounts of."""

    def __init__(self, folder: Path, address: ClickHouseAddress) -> None:
        self.spool = folder / "spool"
        self.quarantine = Quarantine(folder / "quarantine")
        self.address = address
        self.connection = BlockConnection(address)

    def make_sink(self, shard: int) -> Sink:
        return Sink(lambda: self.address, FORM, *targets(FORM))

    def store(self, segment: SegmentFile) -> None:
        sink = self.make_sink(0)
        sink.store(prepare(segment.path), sent_before=False)
        sink.close()

    def remove(self, segment: SegmentFile) -> None:
        """As the flusher does with a stored one; an emptied folder goes too."""
        segment.path.unlink()
        with suppress(OSError):
            segment.path.parent.rmdir()

    def audit(self, expected: int | None = None) -> AuditReport:
        return audit(self.connection, self.spool, self.quarantine, expected=expected)


@pytest.fixture
def books(tmp_path: Path, store_address: ClickHouseAddress) -> Iterator[Books]:
    migrate(store_address, FORM)
    made = Books(tmp_path, store_address)
    yield made
    made.connection.close()


def test_nothing_is_an_account_too(books: Books) -> None:
    report = books.audit(expected=0)
    assert report.ok
    assert report.answered == 0


def test_stored_spooled_and_quarantined_hits_add_up(books: Books) -> None:
    stored = write_segment(books.spool / "a", 10, 4)
    books.store(stored)
    books.remove(stored)
    write_segment(books.spool / "a", 5, 1)
    write_segment(books.spool / "b", 3, 0, suffix=".open")
    refused = write_segment(books.spool / "b", 2, 2)
    books.quarantine.keep_segment(refused.path, reason="x", error="y", records=4)
    books.remove(refused)
    report = books.audit(expected=14 + 6 + 3 + 4)
    assert report.ok, report.problems
    assert (report.stored, report.in_spool, report.in_quarantine) == (10, 9, 4)
    assert report.by_outcome == {"accepted": 10, "bot": 4}
    assert {site.site_id: site.answered for site in report.sites} == {1: 15, 2: 12}


def test_a_segment_that_is_stored_and_not_yet_discarded_counts_once(books: Books) -> None:
    segment = write_segment(books.spool / "a", 10, 4)
    books.store(segment)
    books.quarantine.keep_segment(segment.path, reason="x", error="y", records=14)
    report = books.audit(expected=14)
    assert report.ok, report.problems
    assert (report.stored, report.in_spool, report.in_quarantine) == (0, 14, 0)


@pytest.mark.parametrize("in_quarantine", [False, True])
def test_damage_is_accounted_for(books: Books, in_quarantine: bool) -> None:
    segment = write_segment(books.spool / "a", 10, 4)
    data = bytearray(segment.path.read_bytes())
    data[data.index(b"/page/5")] ^= 0xFF
    segment.path.write_bytes(data)
    if in_quarantine:
        batch = prepare(segment.path)
        books.quarantine.keep_damage(segment.path, batch.damage, reason="damaged", records=batch.lost_records)
        books.store(segment)
        books.remove(segment)
    report = books.audit(expected=14)
    assert report.ok, report.problems
    assert report.in_quarantine == report.damaged == 1


def test_a_lost_row_is_found_and_named(books: Books) -> None:
    segment = write_segment(books.spool / "a", 10, 0)
    books.store(segment)
    books.remove(segment)
    books.connection.command("DELETE FROM events WHERE path = '/page/3'")
    report = books.audit()
    assert not report.ok
    assert "site 2: 4 rows are stored, 5 hits were accepted" in report.problems
    assert f"batch {segment.id}: 9 rows are stored, 10 hits were accepted" in report.problems


def test_gaps_of_two_days_that_cancel_each_other_are_found_by_day(books: Books) -> None:
    for days, stored, accepted in ((2, 9, 10), (3, 11, 10), (4, 5, 5)):
        hour = f"toStartOfHour(toDateTime(toDate(now('UTC') - toIntervalDay({days})), 'UTC'))"
        for table, rows, more in (("events", stored, ""), ("ledger", 1, f", 'accepted', {accepted}")):
            books.connection.command(
                f"INSERT INTO {table} (site_id, hour, batch_time{', outcome, count' if more else ''}) "
                f"SELECT 5, {hour}, {hour}{more} FROM numbers({rows})"
            )
    today = datetime.now(UTC).date()
    assert books.audit().problems == [
        f"site 5, {today - timedelta(days=3)}: 11 rows are stored, 10 hits were accepted",
        f"site 5, {today - timedelta(days=2)}: 9 rows are stored, 10 hits were accepted",
    ]


def test_rows_stored_twice_are_found(books: Books) -> None:
    segment = write_segment(books.spool / "a", 10, 0)
    books.store(segment)
    books.remove(segment)
    books.connection.command("INSERT INTO events SELECT * FROM events")
    assert any("20 rows are stored, 10 hits" in problem for problem in books.audit().problems)


def test_a_wrong_number_of_answers_is_found(books: Books) -> None:
    assert books.audit(expected=1).problems == ["1 hits were answered, 0 are accounted for"]


def test_beside_a_running_process_the_present_second_is_left_out(books: Books) -> None:
    segment = write_segment(books.spool / "a", 10, 0)
    books.store(segment)
    segment.path.unlink()
    owned = take_folder(books.spool / "a")
    assert owned is not None
    assert books.audit().answered in (0, 10)
    report = books.audit(expected=10)
    owned.close()
    assert report.ok, report.problems


def test_an_import_between_its_rows_and_its_counts_is_no_gap_beside_a_running_process(books: Books) -> None:
    books.connection.command(
        "INSERT INTO events (site_id, hour, time, kind, batch_time, batch_id, import_id) "
        "SELECT 1, toStartOfHour(now()), now(), 'pageview', now() - 60, 'import-7-0', 7"
    )
    assert not books.audit().ok
    (books.spool / "a").mkdir(parents=True)
    owned = take_folder(books.spool / "a")
    assert owned is not None
    assert books.audit().ok
    assert owned.remove_if_empty()
    assert not books.audit().ok


def test_replays_never_double(books: Books) -> None:
    segment = write_segment(books.spool / "a", 10, 4)
    results = [*replay_files([segment.path] * 3, books.make_sink)]
    assert [(result.found, result.problem) for result in results] == [(False, ""), (True, ""), (True, "")]
    books.remove(segment)
    assert books.audit(expected=14).ok


def test_a_replayed_quarantine_is_empty_and_its_hits_are_stored(books: Books) -> None:
    refused = write_segment(books.spool / "a", 10, 4)
    books.quarantine.keep_segment(refused.path, reason="x", error="y", records=14)
    books.remove(refused)
    (result,) = replay_quarantine(books.quarantine, books.make_sink)
    assert (result.records, result.problem) == (14, "")
    assert not books.quarantine.entries()
    report = books.audit(expected=14)
    assert report.ok, report.problems
    assert report.stored == 10


@pytest.mark.parametrize("was_stored", [False, True])
def test_hits_of_a_destroyed_site_are_not_stored_again(books: Books, was_stored: bool) -> None:
    refused = write_segment(books.spool / "a", 10, 4)
    if was_stored:
        # Before the site was destroyed, which left its count and took its rows.
        books.store(refused)
        RowsOfSite(books.connection, FORM, 2, int(time.time()) + 60, 1, lambda *_: None).destroy(lambda: None)
    books.quarantine.keep_segment(refused.path, reason="x", error="y", records=14)
    books.remove(refused)
    for _ in range(2):
        (result,) = replay_files([refused_in(books)], books.make_sink, destroyed_sites={2})
        assert (result.records, result.problem) == (14, "")
    (result,) = replay_quarantine(books.quarantine, books.make_sink, destroyed_sites={2})
    assert (result.found, result.problem) == (True, "")
    report = books.audit(expected=14)
    assert report.ok, report.problems
    assert report.stored == 5
    sites = books.connection.select("SELECT DISTINCT site_id FROM events")
    assert [int(site_id) for (site_id,) in sites] == [1]
    if not was_stored:
        assert report.by_outcome == {"accepted": 5, "bot": 4, "blocked": 5}


def test_a_segment_of_destroyed_sites_alone_is_counted_and_leaves_the_quarantine(books: Books) -> None:
    refused = write_segment(books.spool / "a", 10, 0)
    books.quarantine.keep_segment(refused.path, reason="x", error="y", records=10)
    books.remove(refused)
    (result,) = replay_quarantine(books.quarantine, books.make_sink, destroyed_sites={1, 2})
    assert result.problem == ""
    report = books.audit(expected=10)
    assert report.ok, report.problems
    assert (report.stored, report.by_outcome) == (0, {"blocked": 10})


def test_a_purged_segment_is_replayed_as_one_of_the_sites_that_are_left(books: Books) -> None:
    refused = write_segment(books.spool / "a", 10, 4)
    books.quarantine.keep_segment(refused.path, reason="x", error="y", records=14)
    books.remove(refused)
    assert purge(books.quarantine, {2}) == 1
    report = books.audit(expected=14)
    assert report.ok, report.problems
    assert report.in_quarantine == 14
    (result,) = replay_quarantine(books.quarantine, books.make_sink)
    assert (result.records, result.problem) == (14, "")
    report = books.audit(expected=14)
    assert report.ok, report.problems
    assert (report.stored, report.by_outcome) == (5, {"accepted": 5, "bot": 4, "blocked": 5})


def refused_in(books: Books) -> Path:
    (entry,) = books.quarantine.entries()
    return entry.path


def test_an_old_segment_is_replayed_only_when_told_to(books: Books) -> None:
    old = write_segment(books.spool / "a", 5, 0, created_at_ms=int(time.time() * 1000) - 8 * 24 * 3_600_000)
    (refused,) = replay_files([old.path], books.make_sink)
    assert "older than 7 days" in refused.problem
    (sent,) = replay_files([old.path], books.make_sink, even_if_old=True)
    assert not sent.problem


def test_draining_sends_what_ended_processes_left(books: Books) -> None:
    for name in ("a", "b"):
        write_segment(books.spool / name, 10, 1)
    flusher = drain_spool(books.spool, books.quarantine, books.make_sink)
    assert (flusher.counters.segments, flusher.pending()) == (2, 0)
    assert not list(books.spool.iterdir())
    assert books.audit(expected=22).ok
