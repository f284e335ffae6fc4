"""What one page did, for the panel under it while developing (`env = development`): SQL with times, and mails.

A trace is made for each request, travels with its context into threads, and is shown by `debug_panel.html`. In
production no trace exists, and none of this runs.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event

if TYPE_CHECKING:
    from server.mail import QueuedMail

# One page should never come near; a runaway loop must not fill the memory.
MOST_STATEMENTS = 500


@dataclass
class Statement:
    """One SQL statement, without its parameters: they may be personal."""

    text: str
    duration_ms: float


@dataclass
class PageTrace:
    """What happened for one page."""

    started_at_s: float = field(default_factory=time.perf_counter)
    statements: list[Statement] = field(default_factory=list)
    left_out: int = 0
    mails: list[QueuedMail] = field(default_factory=list)

    @property
    def duration_ms(self) -> float:
        """Since the request came in."""
        return (time.perf_counter() - self.started_at_s) * 1000

    @property
    def sql_ms(self) -> float:
        """In the app database."""
        return sum(statement.duration_ms for statement in self.statements)


PAGE_TRACE: ContextVar[PageTrace | None] = ContextVar("footfall_page_trace", default=None)

_STARTED = "footfall_statement_started_s"


def trace_statements(engine: Engine) -> None:
    """Let an engine tell the trace of the page about its statements."""
    event.listen(engine, "before_cursor_execute", _before)
    event.listen(engine, "after_cursor_execute", _after)


def _before(connection: Any, _cursor: Any, _statement: str, _parameters: Any, _context: Any, _many: bool) -> None:
    connection.info[_STARTED] = time.perf_counter()


def _after(connection: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool) -> None:
    trace = PAGE_TRACE.get()
    if trace is None:
        return
    if len(trace.statements) >= MOST_STATEMENTS:
        trace.left_out += 1
        return
    duration_ms = (time.perf_counter() - connection.info[_STARTED]) * 1000
    trace.statements.append(Statement(" ".join(statement.split()), duration_ms))
