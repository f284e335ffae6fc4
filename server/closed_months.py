"""Which rows of whole months readers may use instead of those of their days: sums of `daily`, in the app database.

A month's rows are made of the versions that `closed_days` names for its days, and the digest of these versions is kept
beside the month's own. Readers use a month only while its days have these very versions (`is_of`), so whatever closes,
deletes or moves a day makes the month useless at once, without knowing of months; it is made again later.

A month's version is `server.closed_days.version_of` its last date plus `MONTH_BIT`, so no day has the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from server.closed_days import closed_versions, version_of
from server.models import ClosedMonth, Site

MONTH_BIT = 2**62
"""Versions of days stay below 2^58 until the year 2039, and below this until 3084."""


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


def is_of_month(version: int) -> bool:
    """Whether a version is one of a month's rows."""
    return version >= MONTH_BIT


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


def dates_of(month: date) -> list[date]:
    """Every date of a month."""
    return [month.replace(day=number) for number in range(1, last_date(month).day + 1)]


def month_rows(session: Session, site_id: int, first: date, last: date) -> dict[date, MonthRows]:
    """What there is for a site's months from that of the first to that of the last day, by the month's first date."""
    rows = session.execute(
        select(ClosedMonth.month, ClosedMonth.version, ClosedMonth.days_digest).where(
            ClosedMonth.site_id == site_id,
            ClosedMonth.month >= month_of(first).isoformat(),
            ClosedMonth.month <= month_of(last).isoformat(),
        )
    )
    return {date.fromisoformat(month): MonthRows(version, digest) for month, version, digest in rows}


def switch_month(session: Session, site_id: int, month: date, version: int, of: Mapping[date, int]) -> bool:
    """Let readers use a month's new rows; part of the caller's transaction. Whether they do.

    `of`: the versions by day that the rows were made of. Not when the days have others by now, or the site is gone:
    rows of these versions may have been deleted while they were summed.
    """
    now = closed_versions(session, site_id, month, last_date(month))
    if session.get(Site, site_id) is None or any(now.get(day) != version for day, version in of.items()):
        return False
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    values = {"version": version, "days_digest": digest_of(of.values())}
    session.execute(
        insert(ClosedMonth)
        .values({**values, "site_id": site_id, "month": month.isoformat()})
        .on_conflict_do_update(index_elements=[ClosedMonth.site_id, ClosedMonth.month], set_=values)
    )
    return True
