"""Redis as it may be: full of other things, damaged, away, frozen, back again."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from server.cache import Cache, cache
from server.cache.redis_circuit import FAILURES, PAUSE_S, RedisAway, RedisCircuit
from server.cache.redis_layer import MAX_VALUE_BYTES, PREFIX, RedisLayer
from server.config import Settings
from tests.server.cache.processes import Clock, StartProcess, metric, pages_of
from tests.services.redis import RedisServer, raw_client, redis_server

KEY = "ab" * 32


@pytest.fixture
def layer(redis_url: str, clock: Clock) -> Iterator[RedisLayer]:
    layer = RedisLayer(redis_url, clock=clock)
    yield layer
    layer.close()


def framed(body: bytes, **changes: Any) -> bytes:
    """A value as the layer writes it, with changes to its first line."""
    return orjson.dumps({"key": KEY, "as_of": 7, "crc32": zlib.crc32(body)} | changes) + b"\n" + body


def test_a_value_comes_back_as_it_was_kept(layer: RedisLayer) -> None:
    assert layer.find(KEY) is None
    layer.keep(KEY, b'{"a":[1,"\\n"]}', 7, 60.0)
    found = layer.find(KEY)
    assert found is not None
    assert (found.body, found.as_of) == (b'{"a":[1,"\\n"]}', 7)
    assert 55 < found.left_s <= 60


def test_every_key_has_the_prefix_with_the_format(redis_settings: Settings, start_process: StartProcess) -> None:
    pages_of(start_process(redis_settings), 5)
    with raw_client(redis_settings.redis_url) as client:
        keys = [str(key) for key in client.keys("*")]
    assert len(keys) == 1
    assert keys[0].startswith(PREFIX)


POISON: dict[str, Callable[[redis.Redis], object]] = {
    "a text of others": lambda client: client.set(PREFIX + KEY, "hello", px=60_000),
    "nothing": lambda client: client.set(PREFIX + KEY, "", px=60_000),
    "a pickle": lambda client: client.set(PREFIX + KEY, b"\x80\x04\x95\x0b\x00\x00\x00", px=60_000),
    "no body": lambda client: client.set(PREFIX + KEY, framed(b""), px=60_000),
    "no first line": lambda client: client.set(PREFIX + KEY, b'{"a": 1}', px=60_000),
    "a first line that is a list": lambda client: client.set(PREFIX + KEY, b"[]\n1", px=60_000),
    "a body that is no JSON": lambda client: client.set(PREFIX + KEY, framed(b"{"), px=60_000),
    "a flipped digit": lambda client: client.set(PREFIX + KEY, framed(b"1234")[:-1] + b"5", px=60_000),
    "a body cut short": lambda client: client.set(PREFIX + KEY, framed(b"1234")[:-1], px=60_000),
    "another key's value": lambda client: client.set(PREFIX + KEY, framed(b"1", key="cd" * 32), px=60_000),
    "as_of is a text": lambda client: client.set(PREFIX + KEY, framed(b"1", as_of="7"), px=60_000),
    "as_of is true": lambda client: client.set(PREFIX + KEY, framed(b"1", as_of=True), px=60_000),
    "as_of is negative": lambda client: client.set(PREFIX + KEY, framed(b"1", as_of=-1), px=60_000),
    "as_of is missing": lambda client: client.set(PREFIX + KEY, b'{"key":"%s"}\n1' % KEY.encode(), px=60_000),
    "no end": lambda client: client.set(PREFIX + KEY, framed(b"1")),
    "a list": lambda client: client.rpush(PREFIX + KEY, "1", "2"),
    "a hash": lambda client: client.hset(PREFIX + KEY, "a", "1"),
    "too large": lambda client: client.set(PREFIX + KEY, framed(b'"' + b"x" * MAX_VALUE_BYTES + b'"'), px=60_000),
}


@pytest.mark.parametrize("poison", POISON)
def test_what_is_not_ours_is_taken_for_absent_and_replaced(layer: RedisLayer, redis_url: str, poison: str) -> None:
    failures = metric("footfall_redis_failures_total", {"user": "cache"})
    with raw_client(redis_url) as client:
        POISON[poison](client)
    assert layer.find(KEY) is None
    assert layer.lock_or_find(KEY, "token") == (True, None)
    layer.keep(KEY, b"2", 8, 60.0)
    found = layer.find(KEY)
    assert found is not None
    assert (found.body, found.as_of) == (b"2", 8)
    assert metric("footfall_redis_failures_total", {"user": "cache"}) == failures, "Redis did nothing wrong"


def test_a_value_that_is_ours_is_found_by_the_same_test(layer: RedisLayer, redis_url: str) -> None:
    with raw_client(redis_url) as client:
        client.set(PREFIX + KEY, framed(b"1234"), px=60_000)
    found = layer.find(KEY)
    assert found is not None
    assert (found.body, found.as_of) == (b"1234", 7)


def test_an_answer_that_is_too_large_or_over_is_not_sent(layer: RedisLayer, redis_url: str) -> None:
    layer.keep(KEY, b'"' + b"x" * MAX_VALUE_BYTES + b'"', 7, 60.0)
    layer.keep(KEY, b"1", 7, 0.0001)
    with raw_client(redis_url) as client:
        assert client.keys("*") == []


def test_poison_costs_a_computation_only(redis_settings: Settings, start_process: StartProcess) -> None:
    here, there = start_process(redis_settings), start_process(redis_settings)
    first = pages_of(here, 5)
    with raw_client(redis_settings.redis_url) as client:
        key = str(client.keys("*")[0])
        client.set(key, b"\xff" * 100, px=60_000)
        client.rpush(key.replace(":1:", ":1:lock:"), "foreign")
        client.pexpire(key.replace(":1:", ":1:lock:"), 100)
    assert pages_of(there, 5) == first
    assert len(there.computed) == 1


def test_redis_killed_and_started_again(
    redis_settings: Settings,
    tmp_path: Path,
    clock: Clock,
    start_process: StartProcess,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with redis_server(tmp_path) as server:
        settings = redis_settings.model_copy(update={"redis_url": server.url})
        here, there = start_process(settings), start_process(settings)
        pages_of(here, 1)
        assert pages_of(there, 1) == [1, "7d", {"filters": None, "number": 1}]
        server.kill()
        failures = metric("footfall_redis_failures_total", {"user": "cache"})
        for site_id in range(2, 60):
            assert pages_of(here, site_id)[0] == site_id
            assert pages_of(here, site_id)[0] == site_id
            here.cache.invalidate(f"site:{site_id}")
            assert pages_of(here, site_id)[0] == site_id
        assert pages_of(here, 1)[2]["number"] == 1, "what is in the process stays"
        assert metric("footfall_redis_failures_total", {"user": "cache"}) == failures + 1, "one attempt in five seconds"
        assert metric("footfall_redis_away", {"user": "cache"}) == 1
        there.cache.poll()
        assert pages_of(there, 59)[0] == 59
        server.start()
        clock.tick(PAUSE_S)
        here.cache.poll()
        there.cache.poll()
        pages_of(here, 100)
        pages_of(there, 100)
        assert (100, "7d", None) not in there.computed, "Redis is used again"
        assert metric("footfall_redis_away", {"user": "cache"}) == 0
    lines = [record.message for record in caplog.records if record.name == "server.cache.redis_circuit"]
    assert lines.count("Redis is away") == lines.count("Redis is back") == 2, "one line per process"


def test_redis_is_killed_while_an_answer_is_computed(
    redis_settings: Settings, tmp_path: Path, clock: Clock, start_process: StartProcess
) -> None:
    with redis_server(tmp_path) as server:
        process = start_process(redis_settings.model_copy(update={"redis_url": server.url}))

        @cache(ttl_s=60)
        def answer(_: Cache) -> int:
            server.kill()
            return 7

        assert answer(process.cache) == 7
        assert answer(process.cache) == 7


def test_a_frozen_redis_costs_one_timeout(
    redis_settings: Settings, tmp_path: Path, clock: Clock, start_process: StartProcess
) -> None:
    with redis_server(tmp_path) as server:
        settings = redis_settings.model_copy(update={"redis_url": server.url})
        process, fresh = start_process(settings), start_process(settings)
        pages_of(process, 1)
        server.freeze()
        for user in (process, fresh):
            began_s = time.monotonic()
            for site_id in range(2, 30):
                assert pages_of(user, site_id)[0] == site_id
            assert time.monotonic() - began_s < 3.0, "a timeout for each would be seven seconds"
        server.thaw()
        clock.tick(PAUSE_S)
        process.cache.poll()
        pages_of(process, 50)
        with raw_client(server.url) as client:
            assert len(client.keys(PREFIX + "*")) == 2


def test_a_redis_that_refuses_to_write_is_done_without(
    redis_settings: Settings, tmp_path: Path, start_process: StartProcess
) -> None:
    with redis_server(tmp_path) as server, raw_client(server.url) as client:
        client.config_set("maxmemory", "1")
        client.config_set("maxmemory-policy", "noeviction")
        process = start_process(redis_settings.model_copy(update={"redis_url": server.url}))
        assert [pages_of(process, 5) for _ in range(3)] == [[5, "7d", {"filters": None, "number": 1}]] * 3
        assert metric("footfall_redis_away", {"user": "cache"}) == 1


def test_a_redis_that_was_never_there(redis_settings: Settings, tmp_path: Path, start_process: StartProcess) -> None:
    url = RedisServer(tmp_path).url
    process = start_process(redis_settings.model_copy(update={"redis_url": url}))
    assert [pages_of(process, 5) for _ in range(3)] == [[5, "7d", {"filters": None, "number": 1}]] * 3


def test_a_circuit_lets_one_try_and_the_others_go_on(clock: Clock) -> None:
    circuit = RedisCircuit("test", clock=clock, pause_s=5.0)
    outcomes: list[str] = []

    def attempt(error: Exception | None) -> None:
        try:
            with circuit.attempt():
                outcomes.append("tried")
                if error is not None:
                    raise error
        except RedisAway:
            outcomes.append("away")

    attempt(None)
    attempt(redis.ConnectionError())
    attempt(None)
    assert outcomes == ["tried", "tried", "away", "away"]
    clock.tick(4.9)
    attempt(None)
    assert outcomes[4:] == ["away"]
    clock.tick(0.1)
    with circuit.attempt():
        attempt(None)
    assert outcomes[5:] == ["away"], "one tries, the others do not wait for it"
    assert not circuit.is_away
    attempt(OSError())
    attempt(None)
    assert outcomes[6:] == ["tried", "away", "away"]
    assert FAILURES.labels(user="test")._value.get() == 2


def test_a_circuit_leaves_other_errors_alone(clock: Clock) -> None:
    circuit = RedisCircuit("test", clock=clock)
    with pytest.raises(ZeroDivisionError), circuit.attempt():
        raise ZeroDivisionError
    assert not circuit.is_away
