"""`/api/v1/sites/goals`: goals as Plausible's Sites API knows them: custom events and views of a path."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.accounts.access import by_method
from server.accounts.errors import FormError
from server.app_database import reading
from server.models import Goal, MemberRole, Site
from server.stats_api.api_handler import ApiError
from server.stats_api.cursors import PageAsked, page_of
from server.stats_api.goals import Goals
from server.stats_api.setup import Editor, change_setup
from server.stats_api.v1_body import SITES_KEY, SitesApiHandler

# A key with `sites:write` changes what an admin may.
_EDITOR = Editor(user_id=None, role=MemberRole.ADMIN)

_KIND = Goals()


def _shown(goal: Goal) -> dict[str, Any]:
    return {
        "id": goal.goal_id,
        "goal_type": goal.kind,
        "display_name": goal.display_name,
        "event_name": goal.event_name or None,
        "page_path": goal.page_pattern or None,
    }


class GoalListHandler(SitesApiHandler):
    """`/api/v1/sites/goals`"""

    access = by_method(GET=SITES_KEY, PUT=SITES_KEY)

    async def get(self) -> None:
        """A site's goals, page by page."""
        asked = self.page_asked
        site = await self.own_site(self.field({}, "site_id"))
        goals, meta = await self.in_thread(self._page, site.site_id, asked)
        self.write_json({"goals": goals, "meta": meta})

    async def put(self) -> None:
        """The goal that counts this; made when there is none."""
        fields = self.fields()
        site = await self.own_site(self.field(fields, "site_id"))
        kind = self.field(fields, "goal_type")
        if kind not in ("event", "page"):
            raise ApiError(400, "goal_type is event or page.")
        column, name = ("event_name", "event_name") if kind == "event" else ("page_pattern", "page_path")
        wanted = {"kind": kind, column: self.field(fields, name)}
        for more in ("display_name", "currency"):
            if fields.get(more):
                wanted[more] = str(fields[more])
        services = self.app_context.services

        def work(session: Session) -> dict[str, Any]:
            goal = self._find(session, site, wanted, column)
            if goal is None:
                made = _KIND.add(session, site.site_id, wanted, _EDITOR)
                goal = session.get_one(Goal, made["goal_id"])
            return {"domain": site.domain, **_shown(goal)}

        shown = await self.carry_out(
            lambda: change_setup(services.engine, services.cache, site.site_id, _KIND, work, adds=True)
        )
        self.write_json(shown)

    def _page(self, site_id: int, asked: PageAsked) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        theirs = select(Goal).where((Goal.site_id == site_id) & Goal.kind.in_(("event", "page")))
        with reading(self.app_context.engine) as session:
            goals, meta = page_of(session, theirs, Goal.goal_id, asked)
        return [_shown(goal) for goal in goals], meta

    @staticmethod
    def _find(session: Session, site: Site, wanted: dict[str, str], column: str) -> Goal | None:
        """A goal that counts the same, or has the name that was asked for."""
        goals = session.execute(select(Goal).where(Goal.site_id == site.site_id).order_by(Goal.goal_id)).scalars().all()
        for goal in goals:
            if goal.kind == wanted["kind"] and getattr(goal, column) == wanted[column]:
                return goal
        if "display_name" in wanted and any(goal.display_name == wanted["display_name"] for goal in goals):
            raise FormError("display_name", "There is a goal of this name already, which counts something else.")
        return None


class GoalItemHandler(SitesApiHandler):
    """`DELETE /api/v1/sites/goals/<id>`"""

    async def delete(self, number: str) -> None:
        """Take one away. Its events stay."""
        site = await self.own_site(self.field(self.fields(), "site_id"))
        services = self.app_context.services
        await self.carry_out(
            lambda: change_setup(
                services.engine,
                services.cache,
                site.site_id,
                _KIND,
                lambda session: _KIND.remove(session, site.site_id, int(number), _EDITOR),
            )
        )
        self.write_json({"deleted": True})
