"""The collector: what is answered is in the spool, whoever fails; what is not there is answered 503."""

from __future__ import annotations

import gc
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from rust_ext import COMMIT, Collector, outcomes, scan_segment
from tests.reference.records import Hit, Short
from tests.rust_ext.hits import PACK, complete_until, connect, hit, send, snapshot_json, spooled

MakeCollector = Callable[..., Collector]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "0123456789abcdef0123456789abcdef"


@pytest.fixture
def make(folder: Path) -> Iterator[MakeCollector]:
    """Makes collectors on `folder`, closed after the test. Segments stay open unless a setting says otherwise."""
    made: list[Collector] = []

    def build(*, with_snapshot: bool = True, **batch: object) -> Collector:
        settings = orjson.dumps({"batch": {"batch_max_age_ms": 600_000, **batch}})
        collector = Collector(rules_path=str(PACK), spool_folder=str(folder), settings=settings)
        made.append(collector)
        if with_snapshot:
            assert collector.apply_snapshot(snapshot_json()) == 1
        return collector

    yield build
    for collector in made:
        collector.close()


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What went to `sys.unraisablehook`."""
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_value))
    return seen


@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_hit_is_answered_once_its_record_is_in_the_spool(make: MakeCollector, folder: Path, durability: str) -> None:
    collector = make(durability=durability)
    connection, transport = connect(collector)
    assert connection.feed(hit("/a")) == COMMIT
    assert (transport.writes, spooled(folder)) == ([], [])
    collector.commit()
    complete_until(collector, lambda: bool(transport.writes))
    assert transport.statuses == [202]
    (record,) = spooled(folder)
    assert isinstance(record, Hit)
    assert record.strings[1] == b"/a"
    assert transport.wakes == []


def test_the_commit_is_asked_for_once_per_group(make: MakeCollector) -> None:
    collector = make()
    ends = [connect(collector) for _ in range(3)]
    assert [connection.feed(hit()) for connection, _ in ends] == [COMMIT, 0, 0]
    collector.commit()
    connection, transport = connect(collector)
    assert connection.feed(hit()) == COMMIT
    collector.commit()
    complete_until(collector, lambda: bool(transport.writes))
    assert [transport.statuses for _, transport in ends] == [[202]] * 3
    assert collector.stats()["groups_written"] == 2


def test_pipelined_hits_are_answered_by_one_write(make: MakeCollector, folder: Path) -> None:
    collector = make()
    connection, transport = connect(collector)
    bot = hit("/b", agent="Googlebot/2.1 (+http://www.google.com/bot.html)")
    assert send(collector, connection, transport, hit("/a") + bot + hit("/c", domain="unknown.example")) == [202] * 3
    assert len(transport.writes) == 1
    assert b"X-Footfall-Dropped: bot" in transport.writes[0]
    label = dict(outcomes())
    found = [label[record.outcome] if isinstance(record, Short) else "accepted" for record in spooled(folder)]
    assert found == ["accepted", "bot", "unknown_site"]


def test_without_a_snapshot_hits_are_answered_503_at_once(make: MakeCollector, folder: Path) -> None:
    collector = make(with_snapshot=False)
    connection, transport = connect(collector)
    assert connection.feed(hit()) == 0
    assert transport.statuses == [503]
    assert b"Retry-After: " in transport.writes[0]
    assert spooled(folder) == []
    assert collector.is_ready() == (False, True, True)


def test_a_full_spool_answers_503_and_takes_hits_again_after_a_discard(make: MakeCollector) -> None:
    collector = make(spool_max_bytes=400)
    connection, transport = connect(collector)
    statuses = [send(collector, connection, transport, hit())[0] for _ in range(6)]
    assert statuses[0] == 202
    assert statuses[-1] == 503
    assert statuses == sorted(statuses)
    assert collector.is_ready() == (True, True, False)
    collector.seal_all()
    sealed = collector.sealed_segments()
    path = sealed.next_sealed(10_000)
    assert path is not None
    assert scan_segment(Path(path).read_bytes()).records == statuses.count(202)
    sealed.discard(path)
    assert send(collector, connection, transport, hit()) == [202]


def test_a_group_that_cannot_be_written_is_answered_503_and_the_next_one_is_taken(
    make: MakeCollector, folder: Path
) -> None:
    collector = make()
    shutil.rmtree(folder)
    ends = [connect(collector) for _ in range(2)]
    assert [connection.feed(hit() + hit()) for connection, _ in ends] == [COMMIT, 0]
    collector.commit()
    complete_until(collector, lambda: all(transport.writes for _, transport in ends))
    assert [transport.statuses for _, transport in ends] == [[503, 503]] * 2
    stats = collector.stats()
    assert (stats["groups_failed"], stats["failing"]) == (1, 1)
    assert "No such file" in stats["last_error"]
    folder.mkdir()
    assert send(collector, *ends[0], hit("/again")) == [202]
    assert len(spooled(folder)) == 1
    assert collector.stats()["failing"] == 0


def test_a_closed_connection_swallows_its_answers_and_keeps_its_records(make: MakeCollector, folder: Path) -> None:
    collector = make()
    (gone, silent), (here, transport) = connect(collector), connect(collector)
    gone.feed(hit("/gone"))
    here.feed(hit("/here"))
    gone.close()
    collector.commit()
    complete_until(collector, lambda: bool(transport.writes))
    assert (silent.writes, transport.statuses) == ([], [202])
    assert len(spooled(folder)) == 2


def test_a_transport_that_fails_costs_the_others_nothing(make: MakeCollector, unraisable: list[Any]) -> None:
    collector = make()
    ends = [connect(collector) for _ in range(3)]
    ends[0][1].error = RuntimeError("the transport is closed")
    for connection, _ in ends:
        connection.feed(hit())
    collector.commit()
    complete_until(collector, lambda: bool(ends[2][1].writes))
    assert [transport.statuses for _, transport in ends] == [[], [202], [202]]
    assert [str(error) for error in unraisable] == ["the transport is closed"]


def test_a_group_whose_first_transport_fails_is_committed_all_the_same(make: MakeCollector) -> None:
    collector = make()
    (first, broken), (second, transport) = connect(collector), connect(collector)
    broken.error = RuntimeError("the transport is closed")
    # A debug request is answered at once, and that write fails; the hit behind it has begun a group.
    with pytest.raises(RuntimeError, match="the transport is closed"):
        first.feed(hit(headers="X-Debug-Request: true\r\n") + hit())
    second.feed(hit())
    collector.commit()
    broken.error = None
    complete_until(collector, lambda: bool(transport.writes))
    assert transport.statuses == [202]


def test_a_write_may_feed_its_own_connection(make: MakeCollector) -> None:
    collector = make()
    transport_writes: list[bytes] = []

    def write(data: bytes) -> None:
        transport_writes.append(data)
        if len(transport_writes) == 1 and connection.feed(hit("/next")) & COMMIT:
            collector.commit()

    connection = collector.connection("203.0.113.9", 1, write, lambda mask: None)
    connection.feed(hit("/first"))
    collector.commit()
    complete_until(collector, lambda: len(transport_writes) == 2)


def test_a_batch_is_called_back_when_its_group_is_settled(
    make: MakeCollector, folder: Path, unraisable: list[Any]
) -> None:
    collector = make()
    fates: list[bool] = []

    def fail(written: bool) -> None:
        raise ValueError(f"not expected: {written}")

    body = orjson.dumps([{"n": "pageview", "u": "https://example.com/x", "d": "example.com"}])
    _, is_logged, is_commit_due = collector.ingest_batch(body, 1, "203.0.113.9", fail)
    assert (is_logged, is_commit_due) == (True, True)
    _, is_logged, is_commit_due = collector.ingest_batch(body, 1, "203.0.113.9", fates.append)
    assert (is_logged, is_commit_due) == (True, False)
    collector.commit()
    complete_until(collector, lambda: bool(fates))
    assert fates == [True]
    assert [str(error) for error in unraisable] == ["not expected: True"]
    assert len(spooled(folder)) == 2


def test_batch_settings_are_in_force_from_the_next_group_on(make: MakeCollector) -> None:
    collector = make()
    connection, transport = connect(collector)
    send(collector, connection, transport, hit())
    sealed = collector.sealed_segments()
    assert sealed.next_sealed(0) is None
    settings = orjson.dumps({"batch_max_rows": 2, "batch_max_age_ms": 600_000, "durability": "process"})
    collector.apply_batch_settings(settings)
    send(collector, connection, transport, hit() + hit() + hit())
    paths = [sealed.next_sealed(10_000) for _ in range(2)]
    assert [scan_segment(Path(str(path)).read_bytes()).records for path in paths] == [2, 2]


def test_the_age_limit_seals_without_traffic_while_another_thread_waits(make: MakeCollector) -> None:
    collector = make(batch_max_age_ms=50)
    sealed = collector.sealed_segments()
    taken: list[str | None] = []
    flusher = threading.Thread(target=lambda: taken.append(sealed.next_sealed(10_000)))
    flusher.start()
    connection, transport = connect(collector)
    send(collector, connection, transport, hit())
    flusher.join(10)
    assert taken[0] is not None
    assert taken[0].endswith(".seg")


def test_closing_settles_what_is_under_way_and_leaves_it_sealed(make: MakeCollector, folder: Path) -> None:
    collector = make()
    connection, transport = connect(collector)
    connection.feed(hit())
    collector.close()
    collector.complete()
    assert transport.statuses == [202]
    assert [path.suffix for path in folder.iterdir() if path.name != "lock"] == [".seg"]
    assert collector.is_ready() == (True, False, False)
    connection.feed(hit())
    assert transport.statuses == [202, 503]
    sealed = collector.sealed_segments()
    path = sealed.next_sealed(0)
    assert path is not None
    sealed.discard(path)
    sealed.discard(path)
    assert sealed.remove_folder_if_empty()
    assert not folder.exists()


def test_a_folder_belongs_to_one_collector_and_to_one_life(make: MakeCollector, folder: Path) -> None:
    collector = make()
    with pytest.raises(OSError, match="belongs to a running process"):
        make()
    send(collector, *connect(collector), hit())
    collector.close()
    del collector
    folder.joinpath("lock").unlink()
    with pytest.raises(OSError, match="not a new folder"):
        make()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (b"{", "EOF"),
        (b'{"bath": {}}', "bath"),
        (b'{"batch": {"durability": "paper"}}', '"process", "power"'),
        (b'{"batch": {"batch_max_rows": 0}}', "batch_max_rows"),
        (b'{"http": {"trusted_proxies": ["all"]}}', "all"),
    ],
)
def test_settings_that_cannot_be_meant_say_which(folder: Path, settings: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        Collector(rules_path=str(PACK), spool_folder=str(folder), settings=settings)
    assert "\n" not in str(raised.value)


def test_a_missing_pack_and_a_bad_snapshot_are_named(make: MakeCollector, folder: Path) -> None:
    with pytest.raises(OSError, match="no-such-pack"):
        Collector(rules_path="no-such-pack", spool_folder=str(folder))
    collector = make()
    with pytest.raises(ValueError, match="snapshot"):
        collector.apply_snapshot(b"{}")
    connection, transport = connect(collector)
    assert send(collector, connection, transport, hit()) == [202], "the former snapshot stays"


def test_outcomes_are_counted(make: MakeCollector) -> None:
    collector = make()
    connection, transport = connect(collector)
    send(collector, connection, transport, hit() + hit(domain="unknown.example") + hit())
    counts = {label: count for label, count in collector.stats()["outcomes"].items() if count}
    assert counts == {"accepted": 2, "unknown_site": 1}
    assert list(collector.stats()["outcomes"]) == [label for _, label in outcomes()]


def resident_kib() -> int:
    """This process's resident memory."""
    fields = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0])


def test_connections_and_groups_leave_no_memory_behind(make: MakeCollector) -> None:
    collector = make(batch_max_rows=5_000)
    sealed = collector.sealed_segments()

    def round_of_hits() -> None:
        for _ in range(20):
            ends = [connect(collector) for _ in range(50)]
            for connection, _ in ends:
                connection.feed(hit() * 4)
            collector.commit()
            complete_until(collector, lambda ends=ends: all(transport.writes for _, transport in ends))  # type: ignore[misc]
            for connection, _ in ends:
                connection.close()
        while (path := sealed.next_sealed(0)) is not None:
            sealed.discard(path)

    for _ in range(3):
        round_of_hits()
    gc.collect()
    before_kib = resident_kib()
    for _ in range(10):
        round_of_hits()
    gc.collect()
    # 40,000 hits on 10,000 connections: one kept connection per round trip would be 5 MiB.
    assert resident_kib() - before_kib < 4_096


def test_a_second_thread_is_refused_not_hung(make: MakeCollector) -> None:
    """`close` waits for the writer thread without the GIL: what another thread asks meanwhile raises."""
    collector = make()
    errors: list[BaseException] = []

    def ask() -> None:
        deadline_s = time.monotonic() + 0.2
        while time.monotonic() < deadline_s:
            try:
                collector.stats()
            except RuntimeError as error:
                errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    collector.close()
    thread.join(10)
    assert not thread.is_alive()
    assert all("borrowed" in str(error) for error in errors)
