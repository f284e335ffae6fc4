"""The flusher against a real ClickHouse: each record is stored once, whatever happens on the way."""

from __future__ import annotations

import dataclasses
import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import errors as driver_errors

from server import patient_socket
from server.batch import Batch, targets
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.flush_queue import FlushQueue
from server.flusher import Flusher
from server.health import FLUSHER_STALL_S
from server.migrate import SchemaForm, migrate
from server.quarantine import Quarantine
from server.retry import Backoff
from server.sink import Sink, Stored, query_id
from server.spool import take_folder
from tests.adversity.fault_proxy import Fault, FaultProxy
from tests.server.segments import SegmentFile, write_segment
from tests.services.clickhouse import ClickHouseServer, running_clickhouse

FORM = SchemaForm()
WAIT_S = 20.0


class Source:
    """Sealed segments as a collector hands them out."""

    def __init__(self) -> None:
        self.sealed: queue.Queue[str] = queue.Queue()
        self.discarded: list[str] = []

    def next_sealed(self, timeout_ms: int) -> str | None:
        try:
            return self.sealed.get(timeout=timeout_ms / 1000) if timeout_ms else self.sealed.get_nowait()
        except queue.Empty:
            return None

    def discard(self, path: str) -> None:
        Path(path).unlink()
        self.discarded.append(path)


class Rig:
    """A flusher, its source and the store it writes to."""

    def __init__(self, folder: Path, address: ClickHouseAddress) -> None:
        self.spool = folder / "spool"
        self.mine = self.spool / "mine"
        self.mine.mkdir(parents=True)
        self.owned = take_folder(self.mine)
        assert self.owned is not None
        self.quarantine = Quarantine(folder / "quarantine")
        self.source = Source()
        self.address = address
        self.read_address = address
        self.flusher: Flusher | None = None
        self.truth: list[SegmentFile] = []

    def make_sink(self, shard: int) -> Sink:
        return Sink(lambda: self.address, FORM, *targets(FORM))

    def start(self, make_sink: Callable[[int], Sink] | None = None, *, parallelism: int = 1) -> Flusher:
        self.flusher = Flusher(
            self.source,
            make_sink or self.make_sink,
            self.quarantine,
            spool_root=self.spool,
            parallelism=parallelism,
            queue=FlushQueue(lambda: Backoff(first_s=0.02, longest_s=0.2)),
        )
        self.flusher.start()
        return self.flusher

    def seal(self, rows: int = 10, **options: int) -> SegmentFile:
        made = write_segment(self.mine, rows, **options)  # type: ignore[arg-type]
        self.truth.append(made)
        self.source.sealed.put(str(made.path))
        return made

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, f"not within {WAIT_S} s: {self.flusher and self.flusher.counters}"
            time.sleep(0.01)

    def wait_until_sent(self) -> None:
        self.wait(lambda: not any(segment.path.exists() for segment in self.truth))

    def stop(self) -> None:
        if self.flusher is not None:
            self.flusher.stop(5.0)
        assert self.owned is not None
        self.owned.close()

    def assert_stored_once(self, *segments: SegmentFile) -> None:
        """Rows and counts of exactly these segments, each once."""
        accepted: Counter[int] = Counter()
        dropped: Counter[int] = Counter()
        for segment in segments or self.truth:
            accepted += segment.accepted
            dropped += segment.dropped
        connection = BlockConnection(self.read_address)
        rows: dict[int, int] = dict(connection.select("SELECT site_id, count() FROM events GROUP BY site_id"))
        counts = connection.select("SELECT outcome, site_id, sum(count) FROM ledger GROUP BY outcome, site_id")
        connection.close()
        assert rows == accepted
        assert {site: count for outcome, site, count in counts if outcome == "accepted"} == accepted
        assert {site: count for outcome, site, count in counts if outcome == "bot"} == dropped


@pytest.fixture
def rig(tmp_path: Path, store_address: ClickHouseAddress) -> Iterator[Rig]:
    migrate(store_address, FORM)
    made = Rig(tmp_path, store_address)
    yield made
    made.stop()


@pytest.fixture
def proxied(rig: Rig) -> Iterator[FaultProxy]:
    with FaultProxy(rig.address.hosts[0]) as proxy:
        rig.address = dataclasses.replace(
            rig.address, hosts=(("127.0.0.1", proxy.port),), connect_timeout_s=0.5, send_receive_timeout_s=0.7
        )
        yield proxy


def test_sends_what_is_sealed_and_discards_it(rig: Rig) -> None:
    flusher = rig.start()
    for rows in (1, 100, 3_000):
        rig.seal(rows)
    rig.wait_until_sent()
    rig.assert_stored_once()
    assert (flusher.counters.segments, flusher.counters.rows, flusher.counters.records) == (3, 3_101, 3_107)
    assert time.monotonic() - flusher.moved_at_s() < FLUSHER_STALL_S


def test_a_segment_of_short_records_only(rig: Rig) -> None:
    rig.start()
    rig.seal(0, shorts=7)
    rig.wait_until_sent()
    rig.assert_stored_once()


def test_several_threads_store_each_segment_once(rig: Rig) -> None:
    rig.start(parallelism=4)
    for _ in range(20):
        rig.seal(50)
    rig.wait_until_sent()
    rig.assert_stored_once()


def test_stop_sends_what_is_sealed(rig: Rig) -> None:
    flusher = rig.start()
    for _ in range(5):
        rig.seal(200)
    assert flusher.stop(10.0)
    rig.assert_stored_once()


@pytest.mark.parametrize("after_bytes", [0, 100, 2_000, 6_000, 60_000])
@pytest.mark.parametrize("action", ["cut", "reset", "stall", "swallow_answer"])
def test_a_broken_connection_loses_and_doubles_nothing(
    rig: Rig, proxied: FaultProxy, action: str, after_bytes: int
) -> None:
    fault = Fault(action, after_bytes)  # type: ignore[arg-type]
    proxied.plan(fault, fault)
    rig.start()
    rig.seal(3_000)
    rig.seal(3_000)
    rig.wait_until_sent()
    rig.assert_stored_once()


def test_a_repetition_is_found_and_not_sent(rig: Rig) -> None:
    sink = rig.make_sink(0)
    segment = write_segment(rig.spool / "dead", 30)
    from server.batch import prepare

    sink.store(prepare(segment.path), sent_before=False)
    sink.close()
    flusher = rig.start()
    rig.wait(lambda: not segment.path.exists())
    rig.assert_stored_once(segment)
    assert flusher.counters.found_stored == 1


def test_rows_stored_without_their_counts_are_completed(rig: Rig) -> None:
    segment = write_segment(rig.spool / "dead", 30)
    from server.batch import prepare

    batch = prepare(segment.path)
    connection = BlockConnection(rig.address)
    connection.insert_block(targets(FORM)[0], batch.events.parts, token=batch.id, query_id="by-hand")
    connection.close()
    rig.start()
    rig.wait(lambda: not segment.path.exists())
    rig.assert_stored_once(segment)


def test_an_orphaned_folder_is_drained_and_removed(rig: Rig) -> None:
    dead = rig.spool / "dead"
    segments = [write_segment(dead, 20), write_segment(dead, 20, suffix=".open")]
    with segments[1].path.open("ab") as tail:
        tail.write(b"\xf1\x7f\xa1\x1d torn")
    rig.start()
    rig.wait(lambda: not dead.exists())
    rig.assert_stored_once(*segments)
    assert not rig.quarantine.entries()


def test_an_unreadable_segment_is_set_aside_and_the_next_one_sent(rig: Rig) -> None:
    broken = rig.seal(5)
    broken.path.write_bytes(b"not a segment" + broken.path.read_bytes()[13:])
    rig.truth.remove(broken)
    flusher = rig.start()
    rig.seal(5)
    rig.wait_until_sent()
    rig.wait(lambda: not broken.path.exists())
    rig.assert_stored_once()
    (entry,) = rig.quarantine.entries()
    assert (entry.reason, entry.records, entry.is_segment) == ("unreadable", 7, True)
    assert flusher.counters.quarantined_segments == 1


def test_a_bad_record_costs_only_itself(rig: Rig) -> None:
    rig.start()
    segment = rig.seal(10, shorts=0, site_ids=(1,))  # type: ignore[arg-type]
    rig.wait_until_sent()
    rig.truth.clear()
    damaged = write_segment(rig.mine, 10, shorts=0, site_ids=(1,))
    data = bytearray(damaged.path.read_bytes())
    data[data.index(b"/page/5")] ^= 0xFF
    damaged.path.write_bytes(data)
    damaged.accepted[1] -= 1
    rig.truth = [segment, damaged]
    rig.source.sealed.put(str(damaged.path))
    rig.wait_until_sent()
    rig.assert_stored_once()
    (entry,) = rig.quarantine.entries()
    assert (entry.reason, entry.records, entry.is_segment) == ("damaged", 1, False)


class RefusingSink(Sink):
    """Raises what a server would, for the batches that `refuses` picks."""

    refuses: Callable[[Batch], Exception | None]

    def store(self, batch: Batch, *, sent_before: bool, while_waiting: Callable[[], None] | None = None) -> Stored:
        error = self.refuses(batch)
        if error is not None:
            raise error
        return super().store(batch, sent_before=sent_before, while_waiting=while_waiting)


def refusing(rig: Rig, refuses: Callable[[Batch], Exception | None]) -> Callable[[int], Sink]:
    def make(shard: int) -> Sink:
        sink = RefusingSink(lambda: rig.address, FORM, *targets(FORM))
        sink.refuses = refuses
        return sink

    return make


def test_a_permanent_refusal_quarantines_and_goes_on(rig: Rig) -> None:
    poison = rig.seal(5)
    rig.start(refusing(rig, lambda b: driver_errors.ServerException("bad", 117) if b.id == poison.id else None))
    good = rig.seal(8)
    rig.wait_until_sent()
    rig.assert_stored_once(good)
    (entry,) = rig.quarantine.entries()
    assert (entry.reason, entry.records, entry.path.stem) == ("incorrect_data", 7, poison.id)


def test_a_doubtful_segment_is_quarantined_when_others_are_stored(rig: Rig) -> None:
    poison = rig.seal(5)
    flusher = rig.start(
        refusing(rig, lambda b: driver_errors.ServerException("odd", 99_999) if b.id == poison.id else None)
    )
    rig.wait(lambda: flusher.counters.failures["code_99999"] >= 10)
    assert poison.path.exists(), "while nothing else is stored it may be the server's fault"
    good = rig.seal(8)
    rig.wait_until_sent()
    rig.assert_stored_once(good)
    assert [entry.reason for entry in rig.quarantine.entries()] == ["code_99999"]


def test_a_shard_that_is_down_does_not_hold_up_the_others(rig: Rig) -> None:
    down = True
    flusher = rig.start(refusing(rig, lambda b: ConnectionRefusedError("down") if b.shard == 1 and down else None))
    waiting = [rig.seal(5, shard=1) for _ in range(3)]
    good = [rig.seal(5) for _ in range(5)]
    rig.wait(lambda: not any(segment.path.exists() for segment in good))
    assert all(segment.path.exists() for segment in waiting)
    assert flusher.pending() == 3
    down = False
    rig.wait_until_sent()
    rig.assert_stored_once()


def test_a_segment_too_old_to_ask_for_is_set_aside(rig: Rig) -> None:
    week_ms = 8 * 24 * 3_600 * 1_000
    old = write_segment(rig.spool / "dead", 5, created_at_ms=int(time.time() * 1000) - week_ms)
    rig.start()
    rig.wait(lambda: not old.path.exists())
    assert [entry.reason for entry in rig.quarantine.entries()] == ["too_old"]


def test_too_many_parts_wait_until_merges_catch_up(rig: Rig) -> None:
    admin = BlockConnection(rig.address)
    admin.command("SYSTEM STOP MERGES events")
    admin.command("ALTER TABLE events MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 2")
    flusher = rig.start()
    for _ in range(6):
        rig.seal(20)
    rig.wait(lambda: flusher.counters.failures["too_many_parts"] >= 3)
    assert rig.source.sealed.empty() or flusher.pending()
    admin.command("ALTER TABLE events RESET SETTING parts_to_delay_insert, parts_to_throw_insert")
    admin.command("SYSTEM START MERGES events")
    admin.close()
    rig.wait_until_sent()
    rig.assert_stored_once()


def test_a_table_that_is_behind_waits_for_its_migration(rig: Rig) -> None:
    admin = BlockConnection(rig.address)
    admin.command("ALTER TABLE events RENAME COLUMN sequence TO sequence_of_old")
    flusher = rig.start()
    rig.seal(20)
    rig.wait(lambda: flusher.last_failure is not None)
    assert flusher.last_failure is not None
    assert flusher.last_failure.verdict.value == "schema"
    assert "sequence" in flusher.last_failure.message
    admin.command("ALTER TABLE events RENAME COLUMN sequence_of_old TO sequence")
    admin.close()
    rig.wait_until_sent()
    rig.assert_stored_once()


def test_a_memory_limit_is_retried(rig: Rig) -> None:
    class LimitedSink(Sink):
        limited = True

        def _connected(self) -> BlockConnection:
            connection = super()._connected()
            connection._client.settings["max_memory_usage"] = 1 if LimitedSink.limited else 0
            return connection

    rig.address = dataclasses.replace(rig.address, send_receive_timeout_s=5.0)
    flusher = rig.start(lambda shard: LimitedSink(lambda: rig.address, FORM, *targets(FORM)))
    rig.seal(20_000)
    rig.wait(lambda: flusher.counters.failures["memory_limit_exceeded"] >= 2)
    LimitedSink.limited = False
    rig.wait_until_sent()
    rig.assert_stored_once()


def test_a_read_only_user_is_retried(rig: Rig) -> None:
    class ReadOnlySink(Sink):
        read_only = True

        def _connected(self) -> BlockConnection:
            connection = super()._connected()
            if ReadOnlySink.read_only:
                connection._client.settings["readonly"] = 1
            else:
                connection._client.settings.pop("readonly", None)
            return connection

    flusher = rig.start(lambda shard: ReadOnlySink(lambda: rig.address, FORM, *targets(FORM)))
    rig.seal(20)
    rig.wait(lambda: flusher.counters.failures["readonly"] >= 2)
    ReadOnlySink.read_only = False
    rig.wait_until_sent()
    rig.assert_stored_once()


def test_an_earlier_send_that_still_runs_is_ended_before_asking(rig: Rig) -> None:
    """An INSERT with the segment's query id that hangs on the server, as a stalled connection leaves it."""
    import threading

    segment = write_segment(rig.spool / "dead", 30)

    def hang() -> None:
        other = BlockConnection(rig.address)
        with pytest.raises(driver_errors.ServerException):
            other._client.execute(
                "SELECT sleepEachRow(1) FROM numbers(60) SETTINGS max_block_size = 1, "
                "function_sleep_max_microseconds_per_block = 100000000",
                query_id=query_id(segment.id),
            )
        other.close()

    earlier = threading.Thread(target=hang)
    earlier.start()
    time.sleep(0.3)
    rig.start()
    rig.wait(lambda: not segment.path.exists())
    earlier.join(10)
    assert not earlier.is_alive()
    rig.assert_stored_once(segment)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ClickHouseServer]:
    with running_clickhouse(tmp_path / "clickhouse") as server:
        migrate(server.address, FORM)
        yield server


def test_a_killed_server_loses_and_doubles_nothing(tmp_path: Path, own_server: ClickHouseServer) -> None:
    rig = Rig(tmp_path, dataclasses.replace(own_server.address, connect_timeout_s=1.0, send_receive_timeout_s=2.0))
    flusher = rig.start()
    for round_ in range(4):
        for _ in range(5):
            rig.seal(2_000)
        time.sleep(0.02 * round_)
        own_server.kill()
        rig.seal(100)
        time.sleep(0.1)
        assert time.monotonic() - flusher.moved_at_s() < FLUSHER_STALL_S
        own_server.start()
    rig.wait_until_sent()
    rig.assert_stored_once()
    rig.stop()


def test_a_frozen_server_is_waited_for(tmp_path: Path, own_server: ClickHouseServer) -> None:
    rig = Rig(tmp_path, dataclasses.replace(own_server.address, connect_timeout_s=0.5, send_receive_timeout_s=0.5))
    flusher = rig.start()
    rig.seal(500)
    rig.wait_until_sent()
    own_server.freeze()
    rig.seal(500)
    rig.wait(lambda: flusher.counters.failures["network"] >= 1)
    own_server.thaw()
    rig.wait_until_sent()
    rig.assert_stored_once()
    rig.stop()


def silences(flusher: Flusher, until: Callable[[], bool]) -> float:
    """The longest time without a sign of life, looked for until something happens."""
    longest_s = 0.0
    deadline_s = time.monotonic() + WAIT_S
    while not until():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        longest_s = max(longest_s, time.monotonic() - flusher.moved_at_s())
        time.sleep(0.01)
    return longest_s


@pytest.mark.parametrize("away", ["frozen", "connecting"])
def test_waiting_for_a_store_is_no_hanging(
    rig: Rig, proxied: FaultProxy, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    """Each wait here takes four seconds; a sign of life comes in each tenth of one."""
    monkeypatch.setattr(patient_socket, "STEP_S", 0.1)
    rig.address = dataclasses.replace(rig.address, send_receive_timeout_s=4.0, connect_timeout_s=4.0)
    if away == "frozen":
        proxied.plan(Fault("stall", 2_000))
    else:
        resolve = socket.getaddrinfo
        slow = iter([4.0])

        def slow_resolver(*name: Any) -> Any:
            time.sleep(next(slow, 0.0))
            return resolve(*name)

        monkeypatch.setattr(socket, "getaddrinfo", slow_resolver)
    flusher = rig.start()
    rig.seal(3_000)
    began_s = time.monotonic()
    longest_s = silences(flusher, lambda: not rig.truth[0].path.exists())
    assert time.monotonic() - began_s > 3.5, "nothing was waited for"
    assert longest_s < 2.5
    rig.assert_stored_once()


def test_a_thread_that_hangs_or_ended_by_an_error_falls_silent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What health looks at grows older; nothing else tells that a thread is gone."""
    monkeypatch.setattr(threading, "excepthook", lambda told: None)
    hung = threading.Event()

    class Broken(Source):
        def next_sealed(self, timeout_ms: int) -> str | None:
            if hung.is_set():
                raise OSError("the disk is gone")
            hung.wait(WAIT_S)
            return None

    rig.source = Broken()
    flusher = rig.start()
    time.sleep(0.3)
    assert time.monotonic() - flusher.moved_at_s() > 0.25
    hung.set()
    rig.wait(lambda: not any(thread.is_alive() for thread in flusher._threads))
    silent_since_s = flusher.moved_at_s()
    time.sleep(0.2)
    assert flusher.moved_at_s() == silent_since_s
