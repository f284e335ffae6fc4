"""Which version of a day that is not over yet readers use: of its rows before a cut, made again and again.

Such a version is a closing like others (`server.closed_days`), in the same tables, but nothing depends on it: without
one the day is read from `events`. Readers add who came since the cut (`server.queries.planner`). Rows of a time before
the cut that are stored after it was made wait for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from server.app_database import inserting
from server.closed_days import OPEN
from server.models import ClosedDay, OpenDay, Site

NOTHING_YET = 0
"""In place of a version while the first one of a day is being made."""


@dataclass(frozen=True, slots=True)
class OpenVersion:
    """A version of a day, of its rows before `cut_ms`. None is made before `next_at_ms`."""

    site_id: int
    day: date
    version: int
    starts_at_ms: int
    cut_ms: int
    next_at_ms: int


def open_version(session: Session, site_id: int, day: date) -> OpenVersion | None:
    """What readers use of a day that is not over; None when there is nothing yet."""
    row = session.get(OpenDay, (site_id, day.isoformat()))
    if row is None or row.version == NOTHING_YET:
        return None
    return OpenVersion(site_id, day, row.version, row.starts_at_ms, row.cut_ms, row.next_at_ms)


def begin_open(session: Session, site_id: int, day: date) -> OpenVersion:
    """Leave a row that says that a first version is being made; part of the caller's transaction.

    To be called before the events are read: `forget_open` takes the row away, and so tells `switch_open` that the
    figures were deleted meanwhile. Readers do not see it.
    """
    nothing = {"version": NOTHING_YET, "starts_at_ms": 0, "cut_ms": 0, "next_at_ms": 0}
    if session.get(Site, site_id) is not None:
        added = inserting(session, OpenDay).values({**nothing, "site_id": site_id, "day": day.isoformat()})
        session.execute(added.on_conflict_do_nothing())
    return OpenVersion(site_id, day, **nothing)


def switch_open(session: Session, before: OpenVersion, new: OpenVersion) -> bool:
    """Let readers use the new version; part of the caller's transaction. Whether they do.

    Not when the one before (or that of `begin_open`) is no longer there: somebody was faster, or the site's figures
    were deleted meanwhile.
    """
    found = session.execute(
        update(OpenDay)
        .where(OpenDay.site_id == new.site_id, OpenDay.day == new.day.isoformat(), OpenDay.version == before.version)
        .values(version=new.version, starts_at_ms=new.starts_at_ms, cut_ms=new.cut_ms, next_at_ms=new.next_at_ms)
        .returning(OpenDay.version)
        .execution_options(synchronize_session=False)
    )
    return found.scalar() is not None


def forget_open(session: Session, site_id: int) -> None:
    """Have a site's open day read from `events` again; part of the caller's transaction."""
    session.execute(delete(OpenDay).where(OpenDay.site_id == site_id))


def forget_closed(session: Session) -> None:
    """Forget the versions of days that have been closed since; part of the caller's transaction."""
    closed = exists(
        select(ClosedDay.day).where(
            ClosedDay.site_id == OpenDay.site_id, ClosedDay.day == OpenDay.day, ClosedDay.version != OPEN
        )
    )
    session.execute(delete(OpenDay).where(closed).execution_options(synchronize_session=False))
