"""What closed days come to as a whole, remembered by the version of their rows: headlines and charts are sums of these.

Rows of a version never change, and which versions count is looked up for each question (`closed_figures`), so what is
remembered is right as long as the rows are there. A first look asks for the same days three times, for a headline, for
the one before it and for a chart; whoever asks first reads all of them and the others wait, and another range of the
same site finds most of its days known.

Rows can only go: when their retention ends, and for a moment while a month moves between retention classes. So days are
forgotten after `KEPT_S`, and days without a row after `ABSENT_S`. Safe to use from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

from server.queries.closed_tables import VISIT_COMPONENTS, where_closed
from server.queries.event_reader import EventReader, Ticket
from server.queries.parameters import Parameters
from server.queries.statements import fill, sql_text

KEPT_S = 600.0
ABSENT_S = 10.0
MOST_DAYS = 20_000
"""Of all sites together, about 8 MB; beyond it the site that was first asked for is forgotten."""

Sums = tuple[int, ...]
"""In the order of `VISIT_COMPONENTS`."""
NOTHING: Sums = (0,) * len(VISIT_COMPONENTS)


@dataclass
class _Site:
    """What is known of one. `lock`: held while its days are read."""

    began_s: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    sums: dict[int, Sums] = field(default_factory=dict)
    absent_s: dict[int, float] = field(default_factory=dict)
    """When it was found that a version has no row."""


class DayTotals:
    """The totals of all sites. `seconds`: a clock that never goes back."""

    def __init__(self, reader: EventReader, seconds: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._seconds = seconds
        self._lock = threading.Lock()
        self._sites: dict[int, _Site] = {}

    def of(
        self, site_id: int, wanted: Mapping[date, int], near: Mapping[date, int], ticket: Ticket | None = None
    ) -> dict[date, Sums]:
        """The totals of days, by the versions of their rows. `near`: days that are read as well if any has to be.

        Blocks; raises what the reader raises.
        """
        site = self._site(site_id)
        with site.lock:
            if any(not self._is_known(site, version) for version in wanted.values()):
                both = {**near, **wanted}
                self._read(site_id, site, {d: v for d, v in both.items() if not self._is_known(site, v)}, ticket)
            return {day: site.sums.get(version, NOTHING) for day, version in wanted.items()}

    def _site(self, site_id: int) -> _Site:
        now_s = self._seconds()
        with self._lock:
            site = self._sites.get(site_id)
            if site is None or now_s - site.began_s >= KEPT_S:
                site = self._sites[site_id] = _Site(now_s)
            return site

    def _is_known(self, site: _Site, version: int) -> bool:
        return version in site.sums or self._seconds() - site.absent_s.get(version, -ABSENT_S) < ABSENT_S

    def _read(self, site_id: int, site: _Site, missing: Mapping[date, int], ticket: Ticket | None) -> None:
        parameters = Parameters()
        where = where_closed(parameters, site_id, min(missing), max(missing), list(missing.values()), "total")
        sums = ", ".join(f"toInt64(sum({name})) AS {name}_sum" for name in VISIT_COMPONENTS)
        statement = fill(sql_text("day_totals"), sums=sums, where=where)
        found = {version: tuple(row) for version, *row in self._reader.rows(statement, parameters.values, ticket)}
        now_s = self._seconds()
        site.absent_s = {version: now_s for version in missing.values() if version not in found}
        site.sums.update(found)
        with self._lock:
            # It may have been forgotten meanwhile.
            self._sites.setdefault(site_id, site)
            days = sum(len(each.sums) for each in self._sites.values())
            for other_id in list(self._sites):
                if days <= MOST_DAYS or other_id == site_id:
                    continue
                days -= len(self._sites.pop(other_id).sums)
