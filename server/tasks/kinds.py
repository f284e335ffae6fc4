"""The kinds of tasks: a table of name, function and limits that `@task` fills.

A function gets a `TaskRun` and the arguments of its row as keywords. It may be called again after a crash or a failure,
also when the earlier call had done its work and only the record of it was lost: it must be safe to repeat.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from sqlalchemy.orm import Session

JSON: TypeAlias = bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"] | None


Function = TypeVar("Function", bound=Callable[..., None])

# The width of the column.
MAX_KIND_CHARS = 64


@dataclass(frozen=True)
class GivenUp:
    """A task that failed for good or was cancelled, as its kind's `on_given_up` hears of it."""

    task_id: int
    arguments: Mapping[str, Any]
    reason: str
    at_ms: int


OnGivenUp: TypeAlias = Callable[[Session, GivenUp], None]


class DuplicateTaskKind(ValueError):
    """Two functions were registered under one name: the second would never run. A programming error."""


class UnknownTaskKind(KeyError):
    """A task was to be queued of a kind that this process does not know. Nothing was queued."""


class ArgumentsRefused(ValueError):
    """A task's arguments do not fit its function, are not JSON, or are too large. Nothing was queued."""


@dataclass(frozen=True)
class TaskKind:
    """One line of the table.

    `attempts`: how often it is tried in all. The delay before a retry starts at `first_delay_s` and doubles up to
    `longest_delay_s`, each drawn between half and all of itself. `deadline_s`: how long one attempt may take; then
    `run.progress` raises and the lease is no longer renewed. `alerts`: whether a final failure raises an alert.
    `on_given_up` is called in the transaction that records that the task will not be tried again.
    """

    name: str
    function: Callable[..., None]
    attempts: int
    first_delay_s: float
    longest_delay_s: float
    deadline_s: float
    alerts: bool
    on_given_up: OnGivenUp | None

    def check_arguments(self, arguments: Mapping[str, JSON]) -> None:
        """Raises `ArgumentsRefused` when the function could not be called with them."""
        try:
            inspect.signature(self.function).bind(None, **arguments)
        except TypeError as error:
            raise ArgumentsRefused(f"{self.name}: {error}") from error


KINDS: dict[str, TaskKind] = {}
"""Every kind that this process knows, by name. A worker takes no task of another kind."""


def task(
    name: str,
    *,
    attempts: int,
    first_delay_s: float,
    deadline_s: float,
    longest_delay_s: float = 3600.0,
    alerts: bool = True,
    on_given_up: OnGivenUp | None = None,
) -> Callable[[Function], Function]:
    """Register the decorated function as a kind of task. Raises `DuplicateTaskKind`."""
    if not name or len(name) > MAX_KIND_CHARS or attempts < 1:
        raise ValueError(f"task {name!r}: a name of 1 to {MAX_KIND_CHARS} characters and at least one attempt")

    def register(function: Function) -> Function:
        if name in KINDS:
            raise DuplicateTaskKind(f"there is a task {name!r} already: {KINDS[name].function.__qualname__}")
        KINDS[name] = TaskKind(
            name=name,
            function=function,
            attempts=attempts,
            first_delay_s=first_delay_s,
            longest_delay_s=longest_delay_s,
            deadline_s=deadline_s,
            alerts=alerts,
            on_given_up=on_given_up,
        )
        return function

    return register


def known_kind(name: str) -> TaskKind:
    """The kind of this name. Raises `UnknownTaskKind`."""
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownTaskKind(f"there is no task {name!r}") from None
