"""The visitor salts: 16 random bytes per calendar date, made ahead and forgotten.

A site hashes its visitors with the salt of its own local date. A date begins first at UTC+14 and ends last at UTC−12:
up to three dates are current at any moment. A salt is made 24 h before its date begins anywhere, by whoever comes first
(insert if absent), and deleted 12 h after its date has ended everywhere. It is never derivable from anything.

All times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import secrets
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Engine, delete, select

from server.app_database import bump_version, inserting, reading, scrub_deleted, writing
from server.models import Salt

SALT_BYTES = 16

# The first and the last time zone that a date begins and ends in.
EARLIEST_ZONE = timedelta(hours=14)
LATEST_ZONE = timedelta(hours=-12)

MADE_AHEAD = timedelta(hours=24)
DELETED_AFTER = timedelta(hours=12)


def kept_dates(now_ms: int) -> list[str]:
    """The dates whose salts exist at this time, ascending."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    # A date D has ended everywhere at D+1 00:00 in the latest zone; its salt goes DELETED_AFTER later.
    first = (now + LATEST_ZONE - DELETED_AFTER).date()
    last = (now + EARLIEST_ZONE + MADE_AHEAD).date()
    return [str(first + timedelta(days=day)) for day in range((last - first).days + 1)]


def is_kept(day: str, now_ms: int) -> bool:
    """Whether the salt of this date may still be used: not once it is to be deleted."""
    return date.fromisoformat(day) >= date.fromisoformat(kept_dates(now_ms)[0])


def keep_salts(engine: Engine, now_ms: int) -> bool:
    """Make the salts that are missing and delete those that are over. True when something changed."""
    wanted = kept_dates(now_ms)
    with reading(engine) as session:
        present = set(session.execute(select(Salt.date)).scalars())
    missing = [day for day in wanted if day not in present]
    over = [day for day in present if day < wanted[0]]
    if not missing and not over:
        return False
    with writing(engine) as session:
        for day in missing:
            # Another process may make it at the same moment: the first one stays.
            session.execute(
                inserting(session, Salt).values(date=day, salt=secrets.token_bytes(SALT_BYTES)).on_conflict_do_nothing()
            )
        if over:
            session.execute(delete(Salt).where(Salt.date.in_(over)))
        bump_version(session)
    if over:
        scrub_deleted(engine)
    return True
