"""Below which number the numbers of a site's names stay: how long an array has to be that has a place for each.

Numbers are given in order as closings meet new names, so a bound is asked for once and remembered with room to grow.
A statement that was made with a bound says so when it meets a number beyond it (`NamesAdded`): whoever asked then
forgets the bound and asks again. Safe to use from any thread.
"""

from __future__ import annotations

import threading

from server.queries.event_reader import EventReader, Ticket
from server.queries.statements import sql_text

MOST_SITES = 10_000
"""Of which the bound is remembered; then the one that was asked for first is forgotten."""
_STEP = 4_096


class NameNumbers:
    """The bounds of all sites."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._below: dict[int, int] = {}

    def below(self, site_id: int, ticket: Ticket | None = None) -> int:
        """A number that is above all of the site's. Raises what the reader raises."""
        known = self._below.get(site_id)
        if known is not None:
            return known
        ((most,),) = self._reader.rows(sql_text("names_most"), {"site_id": site_id}, ticket)
        below = ((int(most) + 1) * 9 // 8 // _STEP + 1) * _STEP
        with self._lock:
            while len(self._below) >= MOST_SITES:
                self._below.pop(next(iter(self._below)))
            self._below[site_id] = below
        return below

    def forget(self, site_id: int) -> None:
        """Names were added beyond it."""
        with self._lock:
            self._below.pop(site_id, None)
