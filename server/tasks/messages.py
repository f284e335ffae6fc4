"""The messages in the queue: JSON that says which function is to look at which task, and nothing else.

Huey would pickle them, and whoever can write to Redis or the queue's file could then run code here. One of ours is

    {"v": 1, "name": "server.tasks.broker.work", "args": [17], "expires_at_ms": null}

and anything else is refused without being loaded as anything but JSON. A message is only a hint: what is to be done,
and whether there is still something to do, stands in the table `tasks`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
from huey.registry import Message  # type: ignore[import-untyped]  # Huey ships no types

VERSION = 1

# Ours have under 150; a longer one is not even parsed.
MAX_MESSAGE_BYTES = 1024
MAX_NAME_CHARS = 200

# What the databases take as a number.
MAX_TASK_ID = 2**63

_FIELDS = frozenset(("v", "name", "args", "expires_at_ms"))


class Refusal(StrEnum):
    """Why a message is not ours."""

    TOO_LONG = "too_long"
    NOT_JSON = "not_json"
    WRONG_SHAPE = "wrong_shape"
    UNKNOWN_NAME = "unknown_name"


class MessageRefused(ValueError):
    """A message in the queue is not one of ours. It has been taken out of the queue; no task is lost by it."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(f"a message in the queue is refused: {reason}")
        self.reason = reason


class JsonMessages:
    """What Huey calls a serializer. Of a Huey message only the function's name, its number and its expiry travel."""

    def serialize(self, message: Any) -> bytes:
        """The bytes of a Huey message."""
        expires: datetime | None = message.expires_resolved
        return orjson.dumps(
            {
                "v": VERSION,
                "name": message.name,
                "args": list(message.args),
                # Huey's times are naive and in UTC.
                "expires_at_ms": expires and int(expires.replace(tzinfo=UTC).timestamp() * 1000),
            }
        )

    def deserialize(self, data: bytes) -> Any:
        """The Huey message that `serialize` made the bytes of. Raises `MessageRefused`."""
        content = bytes(data)
        if len(content) > MAX_MESSAGE_BYTES:
            raise MessageRefused(Refusal.TOO_LONG)
        try:
            fields = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise MessageRefused(Refusal.NOT_JSON) from error
        if not isinstance(fields, dict) or fields.keys() != _FIELDS or fields["v"] != VERSION:
            raise MessageRefused(Refusal.WRONG_SHAPE)
        name, args, expires_at_ms = fields["name"], fields["args"], fields["expires_at_ms"]
        is_ours = (
            isinstance(name, str)
            and len(name) <= MAX_NAME_CHARS
            and isinstance(args, list)
            and len(args) <= 1
            and all(type(number) is int and 0 < number < MAX_TASK_ID for number in args)
            and (expires_at_ms is None or type(expires_at_ms) is int)
        )
        if not is_ours:
            raise MessageRefused(Refusal.WRONG_SHAPE)
        return Message(
            id=None,
            name=name,
            args=tuple(args),
            kwargs={},
            expires_resolved=None if expires_at_ms is None else _naive_utc(expires_at_ms),
        )


def _naive_utc(at_ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).replace(tzinfo=None)
    except (OverflowError, ValueError, OSError) as error:
        raise MessageRefused(Refusal.WRONG_SHAPE) from error
