"""The order of sending: oldest first, a failing shard or segment waits alone."""

from __future__ import annotations

from pathlib import Path

from server.flush_queue import FlushQueue, Job
from server.retry import Backoff


def make_queue() -> FlushQueue:
    return FlushQueue(lambda: Backoff(first_s=1.0, longest_s=8.0, draw=lambda low, high: high))


def job(name: str, shard: int = 0, created_at_ms: int = 0) -> Job:
    return Job(Path(name), sent_before=False, shard=shard, created_at_ms=created_at_ms)


def taken(queue: FlushQueue, now_s: float) -> str | None:
    found = queue.take(now_s)
    return None if found is None else found.path.name


def test_oldest_first() -> None:
    queue = make_queue()
    for name in "abc":
        queue.put(job(name))
    assert [taken(queue, 0.0) for _ in range(4)] == ["a", "b", "c", None]
    assert queue.pending() == 3


def test_a_failed_shard_waits_and_others_do_not() -> None:
    queue = make_queue()
    down = job("down", shard=1)
    queue.put(down)
    assert queue.take(0.0) is down
    assert queue.again(down, 0.0, sent_before=True) == 1.0
    queue.put(job("also down", shard=1))
    queue.put(job("up", shard=2))
    assert taken(queue, 0.5) == "up"
    assert taken(queue, 0.5) is None
    assert queue.next_ready_s(0.25) == 0.75
    assert [taken(queue, 1.0), taken(queue, 1.0)] == ["down", "also down"]
    assert down.sent_before


def test_a_segment_that_fails_alone_lets_its_shard_go_on() -> None:
    queue = make_queue()
    bad = job("bad")
    queue.put(bad)
    queue.take(0.0)
    assert queue.again(bad, 0.0, sent_before=False, only_this=True) == 1.0
    queue.put(job("good"))
    assert [taken(queue, 0.5), taken(queue, 0.5)] == ["good", None]
    assert taken(queue, 1.0) == "bad"
    assert queue.again(bad, 1.0, sent_before=False, only_this=True) == 2.0
    assert not bad.sent_before


def test_success_ends_the_backoff() -> None:
    queue = make_queue()
    first = job("first")
    queue.put(first)
    for now_s, delay_s in ((0.0, 1.0), (1.0, 2.0)):
        assert queue.take(now_s) is first
        assert queue.again(first, now_s, sent_before=True) == delay_s
    assert queue.take(3.0) is first
    queue.done(first, 3.0, stored=True)
    queue.put(job("second"))
    second = queue.take(3.0)
    assert second is not None
    assert queue.again(second, 3.0, sent_before=True) == 1.0


def test_put_back_is_next_and_no_failure() -> None:
    queue = make_queue()
    queue.put(job("a"))
    queue.put(job("b"))
    ahead = queue.take(0.0)
    assert ahead is not None
    queue.put_back(ahead)
    assert [taken(queue, 0.0), taken(queue, 0.0)] == ["a", "b"]


def test_the_oldest_is_known_while_it_is_being_sent() -> None:
    queue = make_queue()
    assert queue.oldest_ms() is None
    queue.put(job("old", created_at_ms=5))
    queue.put(job("new", created_at_ms=9))
    old = queue.take(0.0)
    assert old is not None
    assert queue.oldest_ms() == 5
    queue.done(old, 0.0, stored=True)
    assert queue.oldest_ms() == 9


def test_others_stored_since_a_failure_are_noticed() -> None:
    queue = make_queue()
    bad, good = job("bad"), job("good")
    queue.put(bad)
    queue.put(good)
    queue.take(1.0)
    queue.again(bad, 1.0, sent_before=True, only_this=True)
    assert not queue.stored_since(bad)
    queue.take(1.0)
    queue.done(good, 2.0, stored=True)
    assert queue.stored_since(bad)
