"""Messages are ours or refused; nothing in the queue is ever unpickled."""

from __future__ import annotations

import contextlib
import os
import pickle
from datetime import datetime

import orjson
import pytest
from huey.registry import Message  # type: ignore[import-untyped]  # Huey ships no types
from hypothesis import given
from hypothesis import strategies as st

from server.tasks.messages import JsonMessages, MessageRefused, Refusal

MESSAGES = JsonMessages()


@given(st.integers(1, 2**63 - 1), st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))
def test_a_message_comes_back_as_it_was(task_id: int, expires: datetime | None) -> None:
    sent = Message(id="any", name="server.tasks.broker.work", args=(task_id,), kwargs={}, expires_resolved=expires)
    came = MESSAGES.deserialize(MESSAGES.serialize(sent))
    assert (came.name, came.args, came.kwargs) == (sent.name, (task_id,), {})
    if expires is None:
        assert came.expires_resolved is None
    else:
        assert abs((came.expires_resolved - expires).total_seconds()) < 0.002


class Bomb:
    """Unpickling it would end the process."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


OURS = {"v": 1, "name": "work", "args": [1], "expires_at_ms": None}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps(Bomb()), Refusal.NOT_JSON),
        (pickle.dumps(Bomb(), protocol=0), Refusal.NOT_JSON),
        (b"", Refusal.NOT_JSON),
        (b"\xff\xfe", Refusal.NOT_JSON),
        (b" " * 1025, Refusal.TOO_LONG),
        (b"[]", Refusal.WRONG_SHAPE),
        (b"17", Refusal.WRONG_SHAPE),
        *(
            (orjson.dumps({**OURS, **changed}), Refusal.WRONG_SHAPE)
            for changed in (
                {"v": 2},
                {"extra": 1},
                {"name": 1},
                {"name": "n" * 201},
                {"args": 1},
                {"args": [1, 2]},
                {"args": ["1"]},
                {"args": [True]},
                {"args": [0]},
                {"args": [2**63]},
                {"args": [1.5]},
                {"expires_at_ms": "soon"},
                {"expires_at_ms": 10**18},
            )
        ),
    ],
)
def test_what_is_not_ours_is_refused(content: bytes, reason: Refusal) -> None:
    with pytest.raises(MessageRefused) as caught:
        MESSAGES.deserialize(content)
    assert caught.value.reason is reason


@given(
    st.binary(max_size=1100)
    | st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*OURS, "x"]), inner, max_size=5),
    ).map(orjson.dumps)
)
def test_nothing_else_is_raised(content: bytes) -> None:
    with contextlib.suppress(MessageRefused):
        MESSAGES.deserialize(content)
