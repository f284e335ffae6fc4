"""Rate limits: exact counts against a naive window, who is asked about, Redis away, and the decorator."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from limits.strategies import MovingWindowRateLimiter
from tornado.web import HTTPError

from server.cache.redis_circuit import PAUSE_S
from server.config import Settings, load_settings
from server.rate_limit import (
    MAX_HITS_PER_LIMIT,
    Limit,
    LimitInvalid,
    ProcessWindows,
    RateLimiter,
    RedisWindows,
    TooManyRequests,
    limits_of,
    parse_limit,
    rate_limit,
)
from tests.server.cache.processes import Clock, metric
from tests.services.redis import RedisServer, raw_client, redis_server

SECRET_KEY = "k" * 64
ADDRESS = "203.0.113.77"


@pytest.fixture(params=["without_redis", "with_redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = request.getfixturevalue("redis_url") if request.param == "with_redis" else ""
    return load_settings(data_dir=tmp_path, redis_url=url)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(settings: Settings, clock: Clock) -> Iterator[RateLimiter]:
    limiter = RateLimiter(settings, SECRET_KEY, clock=clock)
    yield limiter
    limiter.close()


def limits(*texts: str) -> list[Limit]:
    """The limits that the texts say."""
    return [parse_limit(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "amount", "period_s"),
    [
        ("5/m", 5, 60),
        ("1/s", 1, 1),
        ("100/h", 100, 3600),
        ("10000/d", 10_000, 86_400),
        ("10/15m", 10, 900),
        ("3/30s", 3, 30),
    ],
)
def test_a_limit_is_read(text: str, amount: int, period_s: int) -> None:
    limit = parse_limit(text)
    assert (limit.amount, limit.get_expiry()) == (amount, period_s)


@pytest.mark.parametrize(
    "text", ["", "5", "5/", "/m", "5/w", "5/month", "0/m", "5/0m", "-5/m", "5 / m", "10001/d", "5/m,30/h", "٥/m", "5/M"]
)
def test_a_wrong_limit_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(LimitInvalid, match="such as 5/m, 100/h or 10/15m"):
        parse_limit(text)


def test_over_the_limit_the_wait_is_exact(limiter: RateLimiter, clock: Clock) -> None:
    five = limits("5/m")
    for _ in range(5):
        assert limiter.hit(five, "Login.post", ADDRESS) is None
        clock.tick(2.0)
    assert limiter.hit(five, "Login.post", ADDRESS) == pytest.approx(50.0)
    clock.tick(49.5)
    wait_s = limiter.hit(five, "Login.post", ADDRESS)
    assert wait_s == pytest.approx(0.5)
    clock.tick(math.ceil(wait_s or 0))
    assert limiter.hit(five, "Login.post", ADDRESS) is None, "who waits as told is admitted"
    assert limiter.hit(five, "Login.post", ADDRESS) == pytest.approx(1.5), "the second of the five ends then"


def test_a_refused_hit_prolongs_nothing(limiter: RateLimiter, clock: Clock) -> None:
    one = limits("1/m")
    assert limiter.hit(one, "Login.post", ADDRESS) is None
    for _ in range(59):
        clock.tick(1.0)
        assert limiter.hit(one, "Login.post", ADDRESS) is not None
    clock.tick(1.0)
    assert limiter.hit(one, "Login.post", ADDRESS) is None


def test_a_hit_that_one_limit_refuses_is_counted_by_none(limiter: RateLimiter, clock: Clock) -> None:
    both = limits("2/s", "4/m")
    assert [limiter.hit(both, "Login.post", ADDRESS) for _ in range(2)] == [None, None]
    for _ in range(10):
        assert limiter.hit(both, "Login.post", ADDRESS) == pytest.approx(1.0)
    clock.tick(1.0)
    assert [limiter.hit(both, "Login.post", ADDRESS) for _ in range(2)] == [None, None], "4/m has counted two so far"
    clock.tick(1.0)
    assert limiter.hit(both, "Login.post", ADDRESS) == pytest.approx(58.0)
    clock.tick(58.0)
    assert [limiter.hit(both, "Login.post", ADDRESS) is None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("texts", [("1/s", "1/h"), ("1/h", "1/s")])
def test_the_longest_wait_is_the_answer(limiter: RateLimiter, texts: tuple[str, str]) -> None:
    both = limits(*texts)
    assert limiter.hit(both, "Login.post", ADDRESS) is None
    assert limiter.hit(both, "Login.post", ADDRESS) == pytest.approx(3600.0)


def test_endpoints_and_people_have_counters_of_their_own(limiter: RateLimiter) -> None:
    one = limits("1/m")
    refused = metric("footfall_rate_limit_refusals_total", {"scope": "Login.post"})
    for scope in ("Login.post", "Login.get", "Reset.post"):
        for who in (ADDRESS, "203.0.113.78", "user:1", "user:11"):
            assert limiter.hit(one, scope, who) is None
            assert limiter.hit(one, scope, who) is not None
    assert metric("footfall_rate_limit_refusals_total", {"scope": "Login.post"}) == refused + 4


def test_a_limit_that_is_named_twice_counts_once(limiter: RateLimiter) -> None:
    twice = limits("2/m", "2/m")
    assert [limiter.hit(twice, "Login.post", ADDRESS) is None for _ in range(3)] == [True, True, False]


def test_no_limit_admits_all(limiter: RateLimiter) -> None:
    assert [limiter.hit([], "Login.post", ADDRESS) for _ in range(3)] == [None] * 3


class NaiveWindows:
    """Every admitted hit with its limits, counted anew each time."""

    def __init__(self) -> None:
        self.admitted: list[tuple[float, str, str]] = []

    def hit(self, given: list[Limit], scope: str, who: str, now_s: float) -> float | None:
        """As `RateLimiter.hit`."""
        mine = [at_s for at_s, *whose in self.admitted if whose == [scope, who]]
        waits_s = []
        for limit in given:
            inside = sorted(at_s for at_s in mine if at_s + limit.get_expiry() > now_s)
            if len(inside) >= limit.amount:
                waits_s.append(inside[-limit.amount] + limit.get_expiry() - now_s)
        if waits_s:
            return max(waits_s)
        self.admitted.append((now_s, scope, who))
        return None


@dataclass
class Examples:
    """Numbers the examples of a property: they share one Redis."""

    count: int = 0


@pytest.fixture(scope="module")
def examples() -> Examples:
    return Examples()


# Quarters of a second, which floats add exactly.
hits = st.tuples(st.integers(0, 30), st.sampled_from(["Login.post", "Reset.post"]), st.sampled_from(["a", "b"]))


@pytest.mark.parametrize("with_redis", [False, True], ids=["without_redis", "with_redis"])
@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    texts=st.sampled_from([("3/2s",), ("1/s",), ("2/s", "5/10s"), ("3/s", "4/5s", "6/m")]),
    script=st.lists(hits, max_size=60),
)
def test_counts_are_those_of_a_naive_window(
    tmp_path_factory: pytest.TempPathFactory,
    shared_redis: RedisServer,
    examples: Examples,
    with_redis: bool,
    texts: tuple[str, ...],
    script: list[tuple[int, str, str]],
) -> None:
    examples.count += 1
    clock, naive, given = Clock(), NaiveWindows(), limits(*texts)
    settings = load_settings(data_dir=Path("unused"), redis_url=shared_redis.url if with_redis else "")
    limiter = RateLimiter(settings, SECRET_KEY, clock=clock)
    try:
        for quarters, scope, who in script:
            clock.tick(quarters / 4 if quarters < 25 else quarters)
            found = limiter.hit(given, scope, f"{who}{examples.count}")
            expected = naive.hit(given, scope, who, clock.now_s)
            assert found == (None if expected is None else pytest.approx(expected, abs=1e-5))
    finally:
        limiter.close()


def test_many_threads_are_admitted_exactly_as_often_as_allowed(settings: Settings, clock: Clock) -> None:
    limiters = [RateLimiter(settings, SECRET_KEY, clock=clock) for _ in range(2 if settings.redis_url else 1)]
    admitted: list[int] = []

    def ask(number: int) -> None:
        limiter = limiters[number % len(limiters)]
        waits = [limiter.hit(limits("50/h", "70/d"), "Login.post", ADDRESS) for _ in range(40)]
        admitted.extend(number for wait_s in waits if wait_s is None)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(admitted) == 50
    clock.tick(3600.0)
    admitted.clear()
    ask(0)
    assert len(admitted) == 20, "70 a day: the refused ones took nothing from it"
    for limiter in limiters:
        limiter.close()


def test_redis_own_clock_is_used_unless_a_test_brings_one(tmp_path: Path, redis_url: str) -> None:
    limiter = RateLimiter(load_settings(data_dir=tmp_path, redis_url=redis_url), SECRET_KEY)
    began_s = time.time()
    assert limiter.hit(limits("1/m"), "Login.post", ADDRESS) is None
    wait_s = limiter.hit(limits("1/m"), "Login.post", ADDRESS)
    assert wait_s is not None
    assert 55 < wait_s <= 60
    with raw_client(redis_url) as client:
        (key,) = client.keys("*")
        assert [float(at_s) for at_s in client.lrange(str(key), 0, -1)] == [pytest.approx(began_s, abs=2)]
        assert 55 < client.ttl(str(key)) <= 61
    limiter.close()


def test_redis_keeps_no_more_hits_than_the_limit_has(tmp_path: Path, redis_url: str, clock: Clock) -> None:
    limiter = RateLimiter(load_settings(data_dir=tmp_path, redis_url=redis_url), SECRET_KEY, clock=clock)
    for _ in range(20):
        assert limiter.hit(limits("3/m"), "Login.post", ADDRESS) is None
        clock.tick(20.0)
    with raw_client(redis_url) as client:
        assert client.llen(str(client.keys("*")[0])) == 3
    limiter.close()


def test_the_library_reads_the_same_windows(redis_url: str) -> None:
    windows = RedisWindows(redis_url, None)
    limit = parse_limit("5/m")
    for _ in range(3):
        assert windows.admit([(limit.key_for("Login.post", "who"), limit.amount, limit.get_expiry())]) == 0
    theirs = MovingWindowRateLimiter(windows)
    assert theirs.get_window_stats(limit, "Login.post", "who").remaining == 2
    assert [theirs.hit(limit, "Login.post", "who") for _ in range(3)] == [True, True, False]
    assert windows.admit([(limit.key_for("Login.post", "who"), limit.amount, limit.get_expiry())]) > 0
    windows.close()


def test_nobody_is_named_in_redis(tmp_path: Path, redis_url: str, clock: Clock) -> None:
    settings = load_settings(data_dir=tmp_path, redis_url=redis_url)
    limiter, other = RateLimiter(settings, SECRET_KEY, clock=clock), RateLimiter(settings, "o" * 64, clock=clock)
    names = (ADDRESS, "2001:db8::77", "user:4711", "ann@example.com")
    for scope in ("Login.post", "Reset.post"):
        for who in names:
            limiter.hit(limits("5/m", "30/h"), scope, who)
    with raw_client(redis_url) as client:
        keys = [str(key) for key in client.keys("*")]
        everything = " ".join(keys + [str(client.lrange(key, 0, -1)) for key in keys])
        assert len(keys) == 16
        assert all(key.startswith("footfall:limits:1:") for key in keys)
        for who in names:
            assert who not in everything
            assert who.encode().hex() not in everything
        digests = {key.split("/")[2] for key in keys}
        assert len(digests) == 8, "who logs in cannot be recognised when they reset"
        client.flushall()
        other.hit(limits("5/m"), "Login.post", ADDRESS)
        assert str(client.keys("*")[0]).split("/")[2] not in digests, "another secret key, another name"
    limiter.close()
    other.close()


def test_nobody_is_named_in_memory_or_log(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    limiter = RateLimiter(load_settings(data_dir=tmp_path), SECRET_KEY, clock=clock)
    assert [limiter.hit(limits("1/m"), "Login.post", ADDRESS) is None for _ in range(2)] == [True, False]
    assert ADDRESS not in str(vars(vars(limiter)["_process"]))
    assert ADDRESS not in caplog.text


def test_memory_is_bounded(clock: Clock) -> None:
    windows = ProcessWindows(1000, clock)
    for number in range(5000):
        clock.tick(0.001)
        windows.admit([(f"address {number}", 5, 3600), (f"address {number} too", 30, 86_400)])
        assert windows.hits_held <= 1000
    assert len(windows) == 1000
    for _ in range(600):
        windows.admit([("one", 10_000, 3600)])
    assert windows.hits_held <= 1000


def test_who_keeps_trying_is_not_the_first_to_be_forgotten(clock: Clock) -> None:
    windows = ProcessWindows(100, clock)
    assert windows.admit([("guesser", 1, 3600)]) == 0
    for number in range(1000):
        windows.admit([(f"address {number}", 1, 3600)])
        assert windows.admit([("guesser", 1, 3600)]) > 0


def test_hits_that_are_over_are_forgotten(clock: Clock) -> None:
    windows = ProcessWindows(100, clock)
    for _ in range(5):
        windows.admit([("short", 5, 10), ("long", 10, 100)])
    assert windows.hits_held == 10
    clock.tick(10.0)
    assert windows.admit([("short", 5, 10), ("long", 5, 100)]) == pytest.approx(90.0)
    assert (windows.hits_held, len(windows)) == (5, 1)


def test_a_limit_is_as_long_as_one_may_be(limiter: RateLimiter) -> None:
    large = limits(f"{MAX_HITS_PER_LIMIT}/d")
    for _ in range(300):
        assert limiter.hit(large, "Stats.get", ADDRESS) is None


def test_without_redis_the_process_counts_and_then_redis_again(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    five = limits("5/h")
    with redis_server(tmp_path) as server:
        settings = load_settings(data_dir=tmp_path, redis_url=server.url)
        here, there = (RateLimiter(settings, SECRET_KEY, clock=clock) for _ in range(2))
        assert [here.hit(five, "Login.post", ADDRESS) for _ in range(3)] == [None] * 3
        assert [there.hit(five, "Login.post", ADDRESS) is None for _ in range(3)] == [True, True, False]
        server.kill()
        failures = metric("footfall_redis_failures_total", {"user": "limits"})
        for limiter in (here, there):
            outcomes = [limiter.hit(five, "Login.post", ADDRESS) is None for _ in range(50)]
            assert outcomes == [True] * 5 + [False] * 45, "counted in the process, from zero"
        assert metric("footfall_redis_failures_total", {"user": "limits"}) == failures + 2, "each tried once"
        assert metric("footfall_redis_away", {"user": "limits"}) == 1
        server.start()
        assert here.hit(five, "Login.post", ADDRESS) is not None, "left alone for a while"
        clock.tick(PAUSE_S)
        assert [here.hit(five, "Login.post", ADDRESS) is None for _ in range(3)] == [True] * 3
        assert [there.hit(five, "Login.post", ADDRESS) is None for _ in range(3)] == [True, True, False], "together"
        assert metric("footfall_redis_away", {"user": "limits"}) == 0
        here.close()
        there.close()
    messages = [record.message for record in caplog.records]
    assert messages.count("Redis is away") == messages.count("Redis is back") == 2
    assert ADDRESS not in caplog.text


def test_a_frozen_redis_costs_one_timeout(tmp_path: Path, clock: Clock) -> None:
    with redis_server(tmp_path) as server:
        limiter = RateLimiter(load_settings(data_dir=tmp_path, redis_url=server.url), SECRET_KEY, clock=clock)
        server.freeze()
        began_s = time.monotonic()
        outcomes = [limiter.hit(limits("5/h"), "Login.post", ADDRESS) is None for _ in range(50)]
        assert time.monotonic() - began_s < 3.0, "a timeout for each would be twelve seconds"
        assert outcomes == [True] * 5 + [False] * 45
        server.thaw()
        limiter.close()


def test_a_counter_that_is_something_else_is_counted_in_the_process(
    tmp_path: Path, redis_url: str, clock: Clock
) -> None:
    limiter = RateLimiter(load_settings(data_dir=tmp_path, redis_url=redis_url), SECRET_KEY, clock=clock)
    limiter.hit(limits("2/h"), "Login.post", ADDRESS)
    with raw_client(redis_url) as client:
        client.set(str(client.keys("*")[0]), "poison")
    assert [limiter.hit(limits("2/h"), "Login.post", ADDRESS) is None for _ in range(3)] == [True, True, False]
    limiter.close()


@dataclass
class Services:
    """Stands for the process's services."""

    limiter: RateLimiter


@dataclass
class Context:
    """Stands for the context of handlers."""

    services: Services


@dataclass
class LoginHandler:
    """Stands for a handler: what `rate_limit` needs, and a body that counts."""

    app_context: Context
    who: str = ADDRESS
    ran: list[Any] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)

    def rate_key(self) -> str:
        return self.who

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.threads.append(function.__name__)
        return await asyncio.to_thread(function, *arguments)

    @rate_limit("2/m", "3/h")
    async def post(self, *path: str) -> None:
        """The form was sent."""
        self.ran.append(path)

    @rate_limit("1/m")
    async def get(self) -> None:
        self.ran.append("get")

    async def head(self) -> None:
        self.ran.append("head")


class SignupHandler(LoginHandler):
    """Has the same methods at another address."""


def run(method: Awaitable[None]) -> None:
    """Let a handler's method run."""

    async def wait() -> None:
        await method

    asyncio.run(wait())


def test_the_decorator_refuses_over_the_limit(limiter: RateLimiter, clock: Clock) -> None:
    handler = LoginHandler(Context(Services(limiter)))
    run(handler.post("a"))
    run(handler.post("b", "c"))
    clock.tick(10.5)
    with pytest.raises(TooManyRequests) as refused:
        run(handler.post("d"))
    assert handler.ran == [("a",), ("b", "c")]
    assert handler.threads == ["hit"] * 3, "counting blocks, and is not done on the event loop"
    assert isinstance(refused.value, HTTPError)
    assert refused.value.status_code == 429
    assert refused.value.retry_after_s == 50
    assert refused.value.log_message == "That was too often. Please try again in 50 seconds."
    clock.tick(refused.value.retry_after_s)
    run(handler.post("e"))
    assert handler.ran[-1] == ("e",)


def test_each_class_and_method_has_its_own_counters(limiter: RateLimiter) -> None:
    context = Context(Services(limiter))
    for kind in (LoginHandler, SignupHandler):
        handler = kind(context)
        for _ in range(2):
            run(handler.post())
        run(handler.get())
        with pytest.raises(TooManyRequests):
            run(handler.get())
        run(kind(context, who="203.0.113.78").get())


def test_limits_can_be_listed() -> None:
    assert limits_of(LoginHandler.post) == tuple(limits("2/m", "3/h"))
    assert limits_of(SignupHandler.get) == tuple(limits("1/m"))
    assert limits_of(LoginHandler.head) == ()
    assert LoginHandler.post.__doc__ == "The form was sent."


def test_a_wrong_limit_fails_when_the_module_is_imported() -> None:
    with pytest.raises(LimitInvalid):
        rate_limit("5 per minute")
    with pytest.raises(LimitInvalid):
        rate_limit()


def test_only_a_coroutine_can_be_limited() -> None:
    def post(self: LoginHandler) -> None:
        self.ran.append("post")

    with pytest.raises(TypeError, match="not async"):
        rate_limit("5/m")(post)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wait_s", "retry_after_s", "words"),
    [
        (0.001, 1, "1 second"),
        (1.0, 1, "1 second"),
        (1.2, 2, "2 seconds"),
        (120.0, 120, "120 seconds"),
        (120.5, 121, "3 minutes"),
        (3600.0, 3600, "60 minutes"),
        (7200.0, 7200, "120 minutes"),
        (7200.5, 7201, "3 hours"),
        (86_400.0, 86_400, "24 hours"),
    ],
)
def test_the_wait_is_said_in_words_and_rounded_up(wait_s: float, retry_after_s: int, words: str) -> None:
    error = TooManyRequests(wait_s)
    assert error.retry_after_s == retry_after_s
    assert str(error.log_message).endswith(f" in {words}.")
