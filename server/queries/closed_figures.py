"""What a query may read besides `events`: the versions of a site's closed days, and the imports that it has.

One cheap look into the app database per query. `DataVersion` says whether an answer can still change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import Engine, func, select

from server.app_database import reading
from server.closed_days import OPEN
from server.closed_months import MonthRows, month_rows
from server.models import ClosedDay, Import, OpenDay
from server.open_days import NOTHING_YET
from server.queries.periods import TimeRange

FIGURE_IMPORTS = ("plausible", "ga4")
"""Kinds of imports that bring figures of days, not events."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What is condensed of a day that is not over: a version of its rows before `cut_ms`."""

    version: int
    starts_at_ms: int
    cut_ms: int


@dataclass(frozen=True)
class ClosedFigures:
    """`versions` of closed days, `dirty` ones among them; `import_ids` with figures in the range; `begun` open days;
    `months` of which there are sums, by their first dates.
    """

    versions: Mapping[date, int] = field(default_factory=dict)
    dirty: frozenset[date] = frozenset()
    import_ids: tuple[int, ...] = ()
    begun: Mapping[date, Begun] = field(default_factory=dict)
    months: Mapping[date, MonthRows] = field(default_factory=dict)


@dataclass(frozen=True)
class DataVersion:
    """`token` differs when closed days or imports differ; settled: nothing that arrives now changes the answer."""

    token: str
    is_settled: bool


def load_closed_figures(engine: Engine, site_id: int, ranges: Iterable[TimeRange]) -> ClosedFigures:
    """What is closed and imported from the first to the last day of these ranges."""
    days = [day for range_ in ranges for day in (range_.first_day, range_.last_day)]
    first, last = min(days).isoformat(), max(days).isoformat()
    with reading(engine) as session:
        rows = session.execute(
            select(ClosedDay.day, ClosedDay.version, ClosedDay.is_dirty).where(
                ClosedDay.site_id == site_id,
                ClosedDay.day >= first,
                ClosedDay.day <= last,
                ClosedDay.version != OPEN,
            )
        ).all()
        imports = session.execute(
            select(Import.import_id)
            .where(
                Import.site_id == site_id,
                Import.kind.in_(FIGURE_IMPORTS),
                Import.state == "done",
                Import.first_day <= last,
                (Import.last_day >= first) | (Import.last_day == ""),
            )
            .order_by(Import.import_id)
        ).scalars()
        begun = session.execute(
            select(OpenDay).where(
                OpenDay.site_id == site_id, OpenDay.day >= first, OpenDay.day <= last, OpenDay.version != NOTHING_YET
            )
        ).scalars()
        return ClosedFigures(
            versions={date.fromisoformat(day): version for day, version, _ in rows},
            dirty=frozenset(date.fromisoformat(day) for day, _, is_dirty in rows if is_dirty),
            import_ids=tuple(imports),
            begun={date.fromisoformat(each.day): Begun(each.version, each.starts_at_ms, each.cut_ms) for each in begun},
            months=month_rows(session, site_id, date.fromisoformat(first), date.fromisoformat(last)),
        )


def first_imported_day(engine: Engine, site_id: int) -> date | None:
    """The first day of which a site's imports have figures."""
    ours = (Import.site_id == site_id) & Import.kind.in_(FIGURE_IMPORTS) & (Import.state == "done")
    with reading(engine) as session:
        first = session.execute(select(func.min(Import.first_day)).where(ours & (Import.first_day != ""))).scalar()
    return None if first is None else date.fromisoformat(first)


def data_version(figures: ClosedFigures, ranges: Iterable[TimeRange]) -> DataVersion:
    """The version of what a query about these ranges reads."""
    digest = hashlib.sha256()
    is_settled = True
    for range_ in ranges:
        for day in range_.days:
            version = figures.versions.get(day, OPEN)
            is_settled = is_settled and version != OPEN and day not in figures.dirty
            begun = figures.begun.get(day) if version == OPEN else None
            digest.update(f"{day}:{version}:{day in figures.dirty}:{begun.version if begun else OPEN};".encode())
    digest.update(repr(figures.import_ids).encode())
    return DataVersion(digest.hexdigest()[:32], is_settled)
