"""What a query's meaning depends on besides its text, from the app database: days, goals, segments of a site."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from sqlalchemy import Engine, bindparam, func, or_, select
from sqlalchemy.orm import Session

from server.app_database import reading
from server.models import Goal, Import, Segment, Site
from server.queries.closed_figures import FIGURE_IMPORTS
from server.queries.goals import GoalRule
from server.queries.parsing import SiteFacts
from server.queries.periods import SiteCalendar
from server.site_zones import zones_of

# Made once, see `closed_figures`.
_GOALS = select(Goal).where(Goal.site_id == bindparam("site_id")).order_by(Goal.goal_id)
_SEGMENTS = select(Segment).where(
    Segment.site_id == bindparam("site_id"),
    or_(Segment.is_personal.is_(False), Segment.created_by_user_id == bindparam("user_id")),
)


def load_site_facts(
    engine: Engine,
    site: Site,
    now_ms: int,
    *,
    user_id: int | None = None,
    first_day: Callable[[SiteCalendar], date | None] | None = None,
) -> SiteFacts:
    """The facts of a site at a moment. `user_id`: whose personal segments may be used besides the shared ones.

    `first_day` finds the first day with figures; it is only needed, and only then given, for `all`.
    """
    site_id = {"site_id": site.site_id}
    with reading(engine) as session:
        calendar = SiteCalendar(zones_of(session, site))
        rules = tuple(GoalRule.of(goal) for goal in session.execute(_GOALS, site_id).scalars())
        # No user has the number 0.
        filters = {
            segment.segment_id: segment.filters
            for segment in session.execute(_SEGMENTS, site_id | {"user_id": user_id or 0}).scalars()
        }
        imported = _first_imported_day(session, site.site_id) if first_day is not None else None
    return SiteFacts(
        site_id=site.site_id,
        calendar=calendar,
        now_ms=now_ms,
        first_day=None if first_day is None else _earlier(first_day(calendar), imported),
        goals=rules,
        segments=filters,
    )


def _first_imported_day(session: Session, site_id: int) -> date | None:
    day = session.execute(
        select(func.min(Import.first_day)).where(
            Import.site_id == site_id, Import.kind.in_(FIGURE_IMPORTS), Import.state == "done", Import.first_day != ""
        )
    ).scalar()
    return date.fromisoformat(day) if day else None


def _earlier(one: date | None, other: date | None) -> date | None:
    return min((day for day in (one, other) if day is not None), default=None)
