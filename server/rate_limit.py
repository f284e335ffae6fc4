"""Rate limits: how often one person or address may use one endpoint, shared by all processes through Redis.

    class LoginHandler(PageHandler):
        @rate_limit("5/m", "30/h")
        async def post(self) -> None: ...

A limit `n/period` is a moving window: at no time are more than n hits admitted within the last period. Several limits
are judged together: a hit is admitted, and counted by each of them, or it is refused and counted by none. A refused hit
therefore prolongs nothing, and who waits as long as the answer said is admitted. Endpoints do not share counters.

The limits and the storage in Redis are the package `limits`', and a window is kept there as `limits` keeps it, a list
of times. Two things are ours: one script that judges all windows of a hit in one go, since one after the other they
could admit by half; and the windows inside the process, since `limits.storage.MemoryStorage` never forgets a key and
goes through all of them again and again.

Invariants:
- whom a counter belongs to is an HMAC under the secret key, for each endpoint another one; neither user nor address is
  in Redis or in memory;
- without Redis each process counts for itself, from zero: a limit then holds per process;
- memory is bounded: beyond `MAX_HITS_IN_PROCESS` the counters that were used least recently are forgotten;
- nothing here waits longer than the timeouts of `server.cache.redis_circuit`.
"""

from __future__ import annotations

import functools
import hmac
import inspect
import math
import re
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from limits import (
    RateLimitItem,
    RateLimitItemPerDay,
    RateLimitItemPerHour,
    RateLimitItemPerMinute,
    RateLimitItemPerSecond,
)
from limits.storage import RedisStorage
from prometheus_client import Counter
from tornado.web import HTTPError

from server.cache.redis_circuit import RedisAway, RedisCircuit, redis_client
from server.config import Settings
from server.metrics import REGISTRY

REFUSALS = Counter("footfall_rate_limit_refusals", "Requests over a rate limit", ["scope"], registry=REGISTRY)

# Each admitted hit is remembered for its period: this is what one counter may hold, in Redis or here.
MAX_HITS_PER_LIMIT = 10_000

# Hits remembered in this process while Redis is away or not there: about 300 bytes each when every one is another's.
MAX_HITS_IN_PROCESS = 50_000

# Raise the digit with every change of what a counter looks like.
REDIS_PREFIX = "footfall:limits:1"

_UNITS: dict[str, type[RateLimitItem]] = {
    "s": RateLimitItemPerSecond,
    "m": RateLimitItemPerMinute,
    "h": RateLimitItemPerHour,
    "d": RateLimitItemPerDay,
}

# How much of the HMAC-SHA-256 names a counter: 128 bits.
_WHO_HEX_DIGITS = 32

_ATTRIBUTE = "rate_limits"

# KEYS: a list of times for each limit, newest first. ARGV: the time or "" for Redis's own, then amount and seconds of
# each. Returns the seconds to wait as text, where "0" means admitted: Redis would cut a number down to its whole part.
_ADMIT = """
local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local wait = 0
for i, key in ipairs(KEYS) do
    local amount, period = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
    local oldest = tonumber(redis.call('LINDEX', key, amount - 1))
    if oldest and oldest + period - now > wait then
        wait = oldest + period - now
    end
end
if wait > 0 then
    return string.format('%.6f', math.max(wait, 0.000001))
end
for i, key in ipairs(KEYS) do
    redis.call('LPUSH', key, string.format('%.6f', now))
    redis.call('LTRIM', key, 0, tonumber(ARGV[2 * i]) - 1)
    redis.call('EXPIRE', key, tonumber(ARGV[2 * i + 1]) + 1)
end
return '0'
"""

Limit = RateLimitItem
"""How many hits in which period; `parse_limit` makes one."""


class LimitInvalid(ValueError):
    """A limit is not written as allowed; raised when the module that has it is imported."""


class TooManyRequests(HTTPError):
    """The request is over a limit: 429, to be answered with `Retry-After: <retry_after_s>`."""

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = max(1, math.ceil(retry_after_s))
        super().__init__(429, f"That was too often. Please try again in {_in_words(self.retry_after_s)}.")


def parse_limit(text: str) -> Limit:
    """A limit such as `5/m`, `100/h` or `10/15m`. Raises `LimitInvalid`."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{0,4})([smhd])", text)
    if match is not None:
        amount, count = int(match[1]), int(match[2] or 1)
        if 1 <= amount <= MAX_HITS_PER_LIMIT and count >= 1:
            return _UNITS[match[3]](amount, count)
    raise LimitInvalid(
        f"{text!r} is no limit: expected hits/period such as 5/m, 100/h or 10/15m, with 1 to {MAX_HITS_PER_LIMIT} hits "
        "and the units s, m, h and d"
    )


class RateLimiter:
    """The counters of one process, or of all that share Redis. Safe to use from any thread; `hit` may block.

    `clock` (seconds) is for tests and holds wherever the windows are. Without it Redis uses its own, so that machines
    need not agree, and this process one that nobody sets back.
    """

    def __init__(
        self,
        settings: Settings,
        secret_key: str,
        *,
        clock: Callable[[], float] | None = None,
        max_hits_in_process: int = MAX_HITS_IN_PROCESS,
    ) -> None:
        self._who_key = hmac.digest(secret_key.encode(), b"footfall rate limits", "sha256")
        self._process = ProcessWindows(max_hits_in_process, clock or time.monotonic)
        self._redis = RedisWindows(settings.redis_url, clock) if settings.redis_url else None
        self._circuit = RedisCircuit("limits", clock=clock or time.monotonic)

    def hit(self, limits: Sequence[Limit], scope: str, who: str) -> float | None:
        """Count one hit of `who` on `scope`: None when it is admitted, else how many seconds to wait."""
        digest = hmac.digest(self._who_key, f"{scope}\0{who}".encode(), "sha256").hex()[:_WHO_HEX_DIGITS]
        windows = [(limit.key_for(scope, digest), limit.amount, limit.get_expiry()) for limit in dict.fromkeys(limits)]
        wait_s: float | None = None
        if self._redis is not None:
            try:
                with self._circuit.attempt():
                    wait_s = self._redis.admit(windows)
            except RedisAway:
                wait_s = None
        if wait_s is None:
            wait_s = self._process.admit(windows)
        if wait_s <= 0:
            return None
        REFUSALS.labels(scope=scope).inc()
        return wait_s

    def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            self._redis.close()


# A counter's name, how many hits it admits, and in how many seconds.
Window = tuple[str, int, int]


class RedisWindows(RedisStorage):
    """The windows of `limits` in Redis, several at once. Raises what Redis raises."""

    def __init__(self, url: str, clock: Callable[[], float] | None) -> None:
        self._client = redis_client(url)
        super().__init__(url, connection_pool=self._client.connection_pool, key_prefix=REDIS_PREFIX)
        self._clock = clock
        self._admit = self._client.register_script(_ADMIT)

    def admit(self, windows: Sequence[Window]) -> float:
        """Admit a hit to all windows and return 0, or to none and return the seconds to wait."""
        now = "" if self._clock is None else f"{self._clock():.6f}"
        limits = [number for _, amount, period_s in windows for number in (amount, period_s)]
        return float(self._admit([self.prefixed_key(key) for key, _, _ in windows], [now, *limits]))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class ProcessWindows:
    """The windows of one process, at most `max_hits` remembered hits. Safe to use from any thread."""

    def __init__(self, max_hits: int, clock: Callable[[], float]) -> None:
        self._max_hits = max_hits
        self._clock = clock
        self._lock = threading.Lock()
        # Times of admitted hits, ascending; the counter used least recently comes first.
        self._hits: OrderedDict[str, list[float]] = OrderedDict()
        self.hits_held = 0

    def __len__(self) -> int:
        return len(self._hits)

    def admit(self, windows: Sequence[Window]) -> float:
        """Admit a hit to all windows and return 0, or to none and return the seconds to wait."""
        with self._lock:
            now_s = self._clock()
            wait_s = max((self._wait_s(window, now_s) for window in windows), default=0.0)
            if wait_s > 0:
                return wait_s
            for key, _, _ in windows:
                self._hits.setdefault(key, []).append(now_s)
            self.hits_held += len(windows)
            while self.hits_held > self._max_hits:
                self.hits_held -= len(self._hits.popitem(last=False)[1])
            return 0.0

    def _wait_s(self, window: Window, now_s: float) -> float:
        key, amount, period_s = window
        times = self._hits.get(key)
        if times is None:
            return 0.0
        over = bisect_right(times, now_s - period_s)
        del times[:over]
        self.hits_held -= over
        if not times:
            del self._hits[key]
            return 0.0
        self._hits.move_to_end(key)
        return times[-amount] + period_s - now_s if len(times) >= amount else 0.0


class _ServicesWithLimiter(Protocol):
    @property
    def limiter(self) -> RateLimiter: ...


class _ContextWithServices(Protocol):
    @property
    def services(self) -> _ServicesWithLimiter: ...


class LimitedHandler(Protocol):
    """What `rate_limit` needs of a handler."""

    @property
    def app_context(self) -> _ContextWithServices:
        """Has the process's limiter as `.services.limiter`."""

    def rate_key(self) -> str:
        """Who asks: a user, or the client's address."""

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run what blocks outside the event loop."""


Handler = TypeVar("Handler", bound=LimitedHandler)
P = ParamSpec("P")
Method = Callable[Concatenate[Handler, P], Awaitable[None]]


def rate_limit(*limits: str) -> Callable[[Method[Handler, P]], Method[Handler, P]]:
    """Limit a handler's method for each user or address: `@rate_limit("5/m", "30/h")`, outside every other decorator.

    The handler's class and the method's name are the scope: each has counters of its own. Over a limit the method does
    not run and `TooManyRequests` is raised. Raises `LimitInvalid`, and TypeError for a method that is not `async`.
    """
    parsed = tuple(parse_limit(limit) for limit in limits)
    if not parsed:
        raise LimitInvalid("a rate limit needs at least one limit, such as 5/m")

    def decorate(method: Method[Handler, P]) -> Method[Handler, P]:
        if not inspect.iscoroutinefunction(method):
            raise TypeError(
                f"{getattr(method, '__qualname__', method)} is not async: its rate limit could not be awaited"
            )
        name = method.__name__

        @functools.wraps(method)
        async def limited(self: Handler, /, *args: P.args, **kwargs: P.kwargs) -> None:
            scope = f"{type(self).__name__}.{name}"
            wait_s = await self.in_thread(self.app_context.services.limiter.hit, parsed, scope, self.rate_key())
            if wait_s is not None:
                raise TooManyRequests(wait_s)
            await method(self, *args, **kwargs)

        setattr(limited, _ATTRIBUTE, parsed)
        return limited

    return decorate


def limits_of(method: object) -> tuple[Limit, ...]:
    """The limits of a handler's method, none when it has no `rate_limit`."""
    found: tuple[Limit, ...] = getattr(method, _ATTRIBUTE, ())
    return found


def _in_words(duration_s: int) -> str:
    """A duration for people, rounded up: `40 seconds`, `5 minutes`, `2 hours`."""
    count, unit = duration_s, "second"
    if duration_s > 2 * 3600:
        count, unit = math.ceil(duration_s / 3600), "hour"
    elif duration_s > 2 * 60:
        count, unit = math.ceil(duration_s / 60), "minute"
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
