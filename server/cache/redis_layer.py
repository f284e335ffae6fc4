"""The layer in Redis: answers for all processes, a lock while one of them computes, and the hint that invalidates.

| key | value |
|---|---|
| `footfall:cache:1:<key>` | a line of JSON, `{"key", "as_of", "crc32"}`, then the answer's JSON; lives as long as it |
| `footfall:cache:1:lock:<key>` | the token of the process that computes the answer; lives for `LOCK_LIFE_S` |

The digit is the format's version. Whatever is not exactly of this form, under its own key, is taken for absent: values
that are damaged, of another format, too large, without an end, or of another Redis type. One Redis database serves one
installation.

Every method raises `RedisAway`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from server.cache.redis_circuit import RedisCircuit, redis_client

# Raise the digit with every change of what a value looks like.
PREFIX = "footfall:cache:1:"

# A message here, whatever it says, means: read the invalidations.
CHANNEL = "footfall:cache"

# Beyond this an answer stays in the process that made it: Redis would stall others while it sends it.
MAX_VALUE_BYTES = 4 * 1024 * 1024

# Longer than nearly every answer takes. When the process that computes dies, the others wait this long at most; when it
# takes longer, a second one begins.
LOCK_LIFE_S = 5.0

# Delete the lock only if it is still ours: it may have ended and be another's by now.
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True)
class Found:
    """An answer in Redis, and how many seconds it still lives."""

    body: bytes
    as_of: int
    left_s: float


class RedisLayer:
    """See the module. Safe to use from any thread."""

    def __init__(self, url: str, *, clock: Callable[[], float], lock_life_s: float = LOCK_LIFE_S) -> None:
        self._client = redis_client(url)
        self._circuit = RedisCircuit("cache", clock=clock)
        self._release = self._client.register_script(_RELEASE)
        self._lock_life_ms = max(1, round(lock_life_s * 1000))

    def find(self, key: str) -> Found | None:
        """The answer, if one is there."""
        with self._circuit.attempt():
            pipeline = self._client.pipeline(transaction=False)
            self._ask(pipeline, key)
            return _parse(key, *pipeline.execute(raise_on_error=False))

    def lock_or_find(self, key: str, token: str) -> tuple[bool, Found | None]:
        """Try to become the one that computes, and look once more. The lock is this token's, or somebody has it."""
        with self._circuit.attempt():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.set(PREFIX + "lock:" + key, token, nx=True, px=self._lock_life_ms)
            self._ask(pipeline, key)
            is_ours, data, left_ms = pipeline.execute(raise_on_error=False)
            if isinstance(is_ours, Exception):
                raise is_ours
            return bool(is_ours), _parse(key, data, left_ms)

    def keep(self, key: str, body: bytes, as_of: int, left_s: float) -> None:
        """Remember an answer for `left_s`, in place of any other, unless it is too large."""
        header = orjson.dumps({"key": key, "as_of": as_of, "crc32": zlib.crc32(body)})
        value = header + b"\n" + body
        left_ms = int(left_s * 1000)
        if left_ms < 1 or len(value) > MAX_VALUE_BYTES:
            return
        with self._circuit.attempt():
            self._client.set(PREFIX + key, value, px=left_ms)

    def release(self, key: str, token: str) -> None:
        """Give the lock back, if it is still this token's."""
        with self._circuit.attempt():
            self._release([PREFIX + "lock:" + key], [token])

    def announce(self) -> None:
        """Tell every process to read the invalidations."""
        with self._circuit.attempt():
            self._client.publish(CHANNEL, "look")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @staticmethod
    def _ask(pipeline: Any, key: str) -> None:
        # One byte more than allowed is enough to see that a value is too large.
        pipeline.getrange(PREFIX + key, 0, MAX_VALUE_BYTES)
        pipeline.pttl(PREFIX + key)


def _parse(key: str, data: object, left_ms: object) -> Found | None:
    """What Redis returned for `key`, or None for anything that is no answer of ours. Raises what Redis raised."""
    for outcome in (data, left_ms):
        if isinstance(outcome, redis.ResponseError) and str(outcome).startswith("WRONGTYPE"):
            return None
        if isinstance(outcome, Exception):
            raise outcome
    if not isinstance(data, bytes) or not isinstance(left_ms, int) or left_ms <= 0 or len(data) > MAX_VALUE_BYTES:
        return None
    first, _, body = data.partition(b"\n")
    try:
        header = orjson.loads(first)
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(header, dict) or header.get("key") != key or header.get("crc32") != zlib.crc32(body):
        return None
    as_of = header.get("as_of")
    return Found(body, as_of, left_ms / 1000) if type(as_of) is int and as_of >= 0 else None
