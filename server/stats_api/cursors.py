"""Pages of a list as Plausible's Sites API cuts them: `after`, `before` and `limit`, and `meta` to go on with.

A cursor names the row that it stands beside, by its number. It is no secret: what it points at is looked up among the
rows that the caller may see.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from server.stats_api.api_handler import ApiError

DEFAULT_LIMIT, MOST_LIMIT = 100, 1000


@dataclass(frozen=True)
class PageAsked:
    """Which page is asked for."""

    limit: int = DEFAULT_LIMIT
    after: int | None = None
    before: int | None = None

    @classmethod
    def of(cls, limit: str, after: str, before: str) -> PageAsked:
        """The page of a request's parameters. Raises `ApiError` 400."""
        limit = limit or str(DEFAULT_LIMIT)
        if not limit.isascii() or not limit.isdecimal() or not 1 <= int(limit[:6]) <= MOST_LIMIT:
            raise ApiError(400, f"limit is a whole number from 1 to {MOST_LIMIT}.")
        if after and before:
            raise ApiError(400, "A page is after one cursor or before one, not both.")
        return cls(int(limit), _decoded(after), _decoded(before))


def page_of(
    session: Session, rows: Select[Any], number: InstrumentedAttribute[int], asked: PageAsked
) -> tuple[Sequence[Any], dict[str, Any]]:
    """The rows of a page in the order of their numbers, and `meta`."""
    if asked.before is not None:
        backwards = rows.where(number < asked.before).order_by(number.desc()).limit(asked.limit)
        found = list(reversed(session.execute(backwards).scalars().all()))
    else:
        forwards = rows if asked.after is None else rows.where(number > asked.after)
        found = list(session.execute(forwards.order_by(number).limit(asked.limit)).scalars().all())
    meta: dict[str, Any] = {"after": None, "before": None, "limit": asked.limit}
    if found:
        first, last = (getattr(row, number.key) for row in (found[0], found[-1]))
        meta["after"] = _encoded(last) if _has_any(session, rows.where(number > last)) else None
        meta["before"] = _encoded(first) if _has_any(session, rows.where(number < first)) else None
    return found, meta


def _has_any(session: Session, rows: Select[Any]) -> bool:
    return session.execute(select(func.count()).select_from(rows.limit(1).subquery())).scalar_one() > 0


def _encoded(number: int) -> str:
    return base64.urlsafe_b64encode(f"n{number}".encode()).decode().rstrip("=")


def _decoded(cursor: str) -> int | None:
    if not cursor:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor[:40] + "=" * (-len(cursor[:40]) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if text[:1] != "n" or not text[1:].isdecimal() or len(text) > 10:
        raise ApiError(400, "This cursor is of no page: begin without one.")
    return int(text[1:])
