"""The kinds of tasks that these tests queue: each calls the function that the test put into `services.extra`."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy.orm import Session

from server.tasks import GivenUp, TaskRun, task

GIVEN_UP: list[tuple[dict[str, Any], str]] = []


def given_up(session: Session, task: GivenUp) -> None:
    """Keeps what it was told."""
    assert session.in_transaction()
    GIVEN_UP.append((dict(task.arguments), task.reason))


@task("test.act", attempts=4, first_delay_s=30, longest_delay_s=100, deadline_s=600, on_given_up=given_up)
def act(run: TaskRun, *, number: int = 0) -> None:
    """Does what the test put into `services.extra`: a function of the run."""
    cast(Any, run.services).extra(run)


@task("test.quiet", attempts=1, first_delay_s=1, deadline_s=600, alerts=False)
def quiet(run: TaskRun) -> None:
    """The same without an alert."""
    cast(Any, run.services).extra(run)


def given_up_badly(session: Session, task: GivenUp) -> None:
    """Fails."""
    raise ZeroDivisionError


@task("test.bad_clean_up", attempts=1, first_delay_s=1, deadline_s=600, on_given_up=given_up_badly)
def bad_clean_up(run: TaskRun) -> None:
    """Fails too."""
    raise LookupError("secret@example.com")
