"""Which rows of whole months readers may use instead of those of their days: sums of `daily`, in the app database.

A month's rows are made of the versions that `closed_days` names for its days, and the digest of these versions is kept
beside the month's own. Readers use a month only while its days have these very versions (`is_of`), so whatever closes,
deletes or moves a day makes the month useless at once, without knowing of months; it is made again later.

Only a move between retention classes takes rows away for a moment without a new version. So whoever sums a month first
claims it (`claim_month`), which is refused while such a move is switching, and names its rows (`switch_month`) only
while the claim is there: a move that begins to switch takes it away (`forget_claims`). Both lock the site's row.

A month's version is `server.closed_days.version_of` its last date plus `MONTH_BIT`, so no day has the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from server.app_database import inserting
from server.closed_days import closed_versions, version_of
from server.models import ClosedMonth, RetentionMove, Site

MONTH_BIT = 2**62
"""Versions of days stay below 2^58 until the year 2039, and below this until 3084."""

CLAIMED = ""
"""In place of the digest while a month is being summed: no days have this one, so nobody reads such rows."""

# Made once, see `server.queries.closed_figures`.
_SUMMED = ClosedMonth.__table__.c
_MONTHS = select(_SUMMED.month, _SUMMED.version, _SUMMED.days_digest).where(
    _SUMMED.site_id == bindparam("site_id"),
    _SUMMED.month >= bindparam("first"),
    _SUMMED.month <= bindparam("last"),
)


@dataclass(frozen=True, slots=True)
class MonthRows:
    """Rows of `daily` with the sums of a month: their version, and of which days' versions they were made."""

    version: int
    days_digest: str

    def is_of(self, versions: Iterable[int]) -> bool:
        """Whether they are the sums of exactly these versions."""
        return self.days_digest == digest_of(versions)


def month_version_of(closing_ms: int, month: date) -> int:
    """The version of the month's rows that were begun then."""
    return MONTH_BIT + version_of(closing_ms, last_date(month), has_values=True)


def digest_of(versions: Iterable[int]) -> str:
    """Stands for a set of versions."""
    text = ",".join(map(str, sorted(versions)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def month_of(day: date) -> date:
    """The first date of a day's month, by which months are named."""
    return day.replace(day=1)


def last_date(month: date) -> date:
    """The last date of a month, under which its rows stand."""
    return (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)


@lru_cache(maxsize=1_200)
def dates_of(month: date) -> tuple[date, ...]:
    """Every date of a month."""
    return tuple(month.replace(day=number) for number in range(1, last_date(month).day + 1))


def month_rows(session: Session, site_id: int, first: date, last: date) -> dict[date, MonthRows]:
    """What there is for a site's months from that of the first to that of the last day, by the month's first date."""
    span = {"site_id": site_id, "first": month_of(first).isoformat(), "last": month_of(last).isoformat()}
    rows = session.execute(_MONTHS, span)
    return {date.fromisoformat(month): MonthRows(version, digest) for month, version, digest in rows}


def claim_month(session: Session, month: date, version: int, site_ids: Collection[int]) -> list[int]:
    """Say that a month of these sites is about to be summed under this version; part of the caller's transaction.

    Returns the sites it may be summed for: those that are there, and have no rows on their way to another class.
    """
    there = _lock(session, site_ids)
    switching = (RetentionMove.state == "switching") & RetentionMove.site_id.in_(site_ids)
    moving = set(session.execute(select(RetentionMove.site_id).where(switching)).scalars())
    claimed = [site_id for site_id in there if site_id not in moving]
    values = {"version": version, "days_digest": CLAIMED}
    for site_id in claimed:
        session.execute(
            inserting(session, ClosedMonth)
            .values({**values, "site_id": site_id, "month": month.isoformat()})
            .on_conflict_do_update(index_elements=[ClosedMonth.site_id, ClosedMonth.month], set_=values)
        )
    return claimed


def switch_month(session: Session, site_id: int, month: date, version: int, of: Mapping[date, int]) -> bool:
    """Let readers use a month's new rows; part of the caller's transaction. Whether they do.

    `of`: the versions by day that the rows were made of. Not when the days have others by now, or the claim is gone:
    rows of these versions may have been away while they were summed.
    """
    now = closed_versions(session, site_id, month, last_date(month))
    if any(now.get(day) != version_ for day, version_ in of.items()):
        return False
    found = session.execute(
        update(ClosedMonth)
        .where(
            ClosedMonth.site_id == site_id,
            ClosedMonth.month == month.isoformat(),
            ClosedMonth.version == version,
            ClosedMonth.days_digest == CLAIMED,
        )
        .values(days_digest=digest_of(of.values()))
        .returning(ClosedMonth.version)
        .execution_options(synchronize_session=False)
    )
    return found.scalar() is not None


def forget_claims(session: Session, site_id: int) -> None:
    """End the summing of a site's months that is under way, before its rows are away for a moment; part of the caller's
    transaction.
    """
    _lock(session, [site_id])
    claims = (ClosedMonth.site_id == site_id) & (ClosedMonth.days_digest == CLAIMED)
    session.execute(delete(ClosedMonth).where(claims))


def _lock(session: Session, site_ids: Collection[int]) -> list[int]:
    """The sites that are there, whose rows nobody else locks until the end of the transaction."""
    rows = select(Site.site_id).where(Site.site_id.in_(site_ids)).order_by(Site.site_id).with_for_update()
    return list(session.execute(rows).scalars())
