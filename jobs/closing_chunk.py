"""Closes one group of days: counts, condenses, switches. A crash anywhere leaves readers on the versions before.

| step | a crash after it leaves |
|---|---|
| count the rows of `events` | nothing |
| write `closings`, then the closed tables | rows of versions that no day names: deleted as leftovers |
| switch all days and invalidate answers, in one transaction | nothing: it is done or not |

Bounded memory: a group of many rows is halved by days, and the visits of a large day are stitched a part at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy.orm import Session

from jobs.closing_days import Group, bounds_ms
from server.app_database import writing
from server.closed_days import OPEN, Switch, closed_topic, switch, version_of
from server.queries.closed_tables import MOST_VALUES, VALUES_LEAST_EVENTS
from server.queries.closing import NOTHING, Chunk, Closing, count_rows
from server.queries.closing_store import ClosingConnection
from server.services import Services

CHUNK_ROWS = 2_000_000
"""Rows of `events` condensed at once where there are several days. A row takes 3.0 µs where a chunk has 1.1 M, 2.5
where it has 1.9 M and 2.3 where it has 3.9 M, for a third more memory; measured over days of a thousand sites."""


OPEN_LEAST_ROWS = 300_000
"""Open days with fewer rows are read from `events`: a first look at them takes no second."""
OPEN_MOST_VALUES = 2**31
"""All values of an open day are told apart: what came since is added to each by its name."""


@dataclass(frozen=True)
class ClosingLimits:
    """What tests make smaller."""

    least_events: int = VALUES_LEAST_EVENTS
    most_values: int = MOST_VALUES
    chunk_rows: int = CHUNK_ROWS
    open_least_rows: int = OPEN_LEAST_ROWS
    open_most_values: int = OPEN_MOST_VALUES


@dataclass
class Closer:
    """Closes groups. `clock` gives each attempt its version; `fence` joins the transaction of the switch."""

    services: Services
    connection: ClosingConnection
    clock: Callable[[], int]
    limits: ClosingLimits = ClosingLimits()
    fence: Callable[[Session], None] = lambda session: None
    progress: Callable[[int, str], None] = lambda rows, message: None
    days: int = 0
    """Days that were switched."""
    rows: int = 0
    """Rows of `events` that were condensed."""
    switched: set[tuple[int, date]] = field(default_factory=set)
    """Sites and days that were switched."""

    def close(self, group: Group) -> None:
        """Close a group. Raises what the stores and `progress` raise."""
        closing_ms = self.next_ms()
        chunk = Chunk(
            group.site_ids,
            group.calendar,
            group.days,
            closing_ms,
            self.limits.least_events,
            self.limits.most_values,
        )
        counts = count_rows(self.connection, chunk)
        rows = sum(each.rows for each in counts.values())
        if rows > self.limits.chunk_rows and len(group.days) > 1:
            for half in group.halves():
                self.close(half)
            return
        closed = {key: each for key, each in counts.items() if key in group.due and each.has_one_weight}
        if closed:
            closing = Closing(chunk, closed, counts.keys() - closed.keys())
            closing.run(self.connection, lambda step: self.progress(self.rows, f"{group.days[0]} {step}"))
        done = []
        for (site_id, day), before in group.due.items():
            counted = counts.get((site_id, day), NOTHING)
            has_values = counted.counted >= self.limits.least_events
            version = version_of(closing_ms, day, has_values=has_values) if counted.has_one_weight else OPEN
            starts_at_ms, ends_at_ms = bounds_ms(group.zones, day)
            done.append(Switch(site_id, day, before, version, starts_at_ms, ends_at_ms, closing_ms))
        self.progress(self.rows, f"{group.days[0]} switch")
        with writing(self.services.engine) as session:
            self.fence(session)
            switched = switch(session, done)
            for site_id in sorted({each.site_id for each in switched}):
                self.services.cache.invalidate(closed_topic(site_id), session)
        self.rows += rows
        self.days += len(switched)
        self.switched |= {(each.site_id, each.day) for each in switched}
        self.progress(self.rows, f"{group.days[-1]} closed")

    def next_ms(self) -> int:
        """A time that no other attempt of this closer has."""
        self._last_ms = max(self.clock(), self._last_ms + 1)
        return self._last_ms

    _last_ms: int = 0
