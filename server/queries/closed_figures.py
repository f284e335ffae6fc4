"""What a query may read besides `events`: the versions of a site's closed days, and the imports that it has.

One cheap look into the app database per query. `DataVersion` says whether an answer can still change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import BindParameter, Engine, bindparam, func, select

from server.app_database import reading
from server.closed_days import OPEN
from server.closed_months import MonthRows, month_rows
from server.models import ClosedDay, Import, OpenDay
from server.open_days import NOTHING_YET
from server.queries.periods import TimeRange

FIGURE_IMPORTS = ("plausible", "ga4")
"""Kinds of imports that bring figures of days, not events."""

# Made once: every question of every page asks these, and to put a statement together takes longer than to run it. Of
# tables, not of models: rows of a year take two thirds of the time.
_SITE: BindParameter[int] = bindparam("site_id")
_FIRST: BindParameter[str] = bindparam("first")
_LAST: BindParameter[str] = bindparam("last")
_DAYS, _BROUGHT, _OPENED = ClosedDay.__table__.c, Import.__table__.c, OpenDay.__table__.c
_CLOSED_DAYS = select(_DAYS.day, _DAYS.version, _DAYS.is_dirty).where(
    _DAYS.site_id == _SITE, _DAYS.day >= _FIRST, _DAYS.day <= _LAST, _DAYS.version != OPEN
)
_IMPORTS = (
    select(_BROUGHT.import_id)
    .where(
        _BROUGHT.site_id == _SITE,
        _BROUGHT.kind.in_(FIGURE_IMPORTS),
        _BROUGHT.state == "done",
        _BROUGHT.first_day <= _LAST,
        (_BROUGHT.last_day >= _FIRST) | (_BROUGHT.last_day == ""),
    )
    .order_by(_BROUGHT.import_id)
)
_BEGUN = select(_OPENED.day, _OPENED.version, _OPENED.starts_at_ms, _OPENED.cut_ms).where(
    _OPENED.site_id == _SITE, _OPENED.day >= _FIRST, _OPENED.day <= _LAST, _OPENED.version != NOTHING_YET
)


@dataclass(frozen=True, slots=True)
class Begun:
    """What is condensed of a day that is not over: a version of its rows before `cut_ms`."""

    version: int
    starts_at_ms: int
    cut_ms: int


@dataclass(frozen=True)
class ClosedFigures:
    """`versions` of closed days, `dirty` ones among them; `import_ids` with figures in the range; `begun` open days;
    `months` of which there are sums, by their first dates; `begins_on`: no event of the ranges is of an earlier day, as
    far as that was asked. To be told so takes the store a few milliseconds, to stitch the visits of no event tens, and
    the period before the one that is shown is often before the first hit.
    """

    versions: Mapping[date, int] = field(default_factory=dict)
    dirty: frozenset[date] = frozenset()
    import_ids: tuple[int, ...] = ()
    begun: Mapping[date, Begun] = field(default_factory=dict)
    months: Mapping[date, MonthRows] = field(default_factory=dict)
    begins_on: date | None = None


@dataclass(frozen=True)
class DataVersion:
    """`token` differs when closed days or imports differ; settled: nothing that arrives now changes the answer."""

    token: str
    is_settled: bool


def load_closed_figures(engine: Engine, site_id: int, ranges: Iterable[TimeRange]) -> ClosedFigures:
    """What is closed and imported from the first to the last day of these ranges."""
    days = [day for range_ in ranges for day in (range_.first_day, range_.last_day)]
    first, last = min(days), max(days)
    span = {"site_id": site_id, "first": first.isoformat(), "last": last.isoformat()}
    with reading(engine) as session:
        rows = session.execute(_CLOSED_DAYS, span).all()
        begun = session.execute(_BEGUN, span).all()
        return ClosedFigures(
            versions={date.fromisoformat(day): version for day, version, _ in rows},
            dirty=frozenset(date.fromisoformat(day) for day, _, is_dirty in rows if is_dirty),
            import_ids=tuple(session.execute(_IMPORTS, span).scalars()),
            begun={date.fromisoformat(day): Begun(*known) for day, *known in begun},
            months=month_rows(session, site_id, first, last),
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
