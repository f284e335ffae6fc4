"""The table of kinds refuses what would go wrong later."""

from __future__ import annotations

import pytest

from server.app_database import reading, writing
from server.models import Task
from server.tasks import ArgumentsRefused, DuplicateTaskKind, TaskRun, UnknownTaskKind, task
from tests.server.tasks import kinds  # noqa: F401 - registers the kinds
from tests.server.tasks.fixtures import Bench


def test_a_name_is_given_once() -> None:
    def other(run: TaskRun) -> None: ...

    with pytest.raises(DuplicateTaskKind, match=r"test\.act"):
        task("test.act", attempts=1, first_delay_s=1, deadline_s=1)(other)


@pytest.mark.parametrize(("name", "attempts"), [("", 1), ("n" * 65, 1), ("test.never", 0)])
def test_a_kind_needs_a_name_and_an_attempt(name: str, attempts: int) -> None:
    with pytest.raises(ValueError, match="task "):
        task(name, attempts=attempts, first_delay_s=1, deadline_s=1)


def test_an_unknown_kind_is_not_queued(bench: Bench) -> None:
    with pytest.raises(UnknownTaskKind):
        bench.enqueue("test.unheard_of")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"arguments": {"numbr": 1}}, "unexpected keyword"),
        ({"arguments": {"number": object()}}, "not JSON"),
        ({"arguments": {"number": "x" * 70_000}}, "over 65536 bytes"),
        ({"unique_key": "k" * 201}, "over 200 characters"),
    ],
)
def test_arguments_that_cannot_work_are_refused_when_queued(
    bench: Bench, options: dict[str, object], words: str
) -> None:
    with writing(bench.queue.engine) as session, pytest.raises(ArgumentsRefused, match=words):
        bench.queue.enqueue(session, "test.act", **options)  # type: ignore[arg-type]
    with reading(bench.queue.engine) as session:
        assert session.query(Task).count() == 0
