"""Goals: custom events by name, views by path, pages that were read so far. Patterns may hold `*`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.accounts.errors import FormError, NotAllowed, NotThere
from server.billing.plans import Feature
from server.clock import now_ms
from server.models import Funnel, Goal
from server.queries.goals import KINDS
from server.reader_handler import Reader
from server.stats_api.setup import CollectionHandler, Editor, ItemHandler, SetupKind, Shown, only_known, text_of

_FIELDS = ("kind", "display_name", "event_name", "page_pattern", "scroll_percent", "currency")


def shown_goal(goal: Goal) -> Shown:
    """A goal as the API answers it."""
    return {"goal_id": goal.goal_id, **{name: getattr(goal, name) for name in _FIELDS}}


@cache
def currencies() -> frozenset[str]:
    """Codes of ISO 4217, from Unicode's CLDR."""
    # Imported here: it reads its data at the first use.
    from babel.numbers import list_currencies

    return frozenset(list_currencies())


class Goals(SetupKind):
    """See the module."""

    name = "goals"
    model = Goal
    # Each goal is a comparison with every event, wherever goals are listed.
    most = 200
    taken = ("display_name", "There is a goal of this name already.")

    def rows(self, session: Session, site_id: int, reader: Reader) -> list[Shown]:
        """In the order in which they were made."""
        theirs = select(Goal).where(Goal.site_id == site_id).order_by(Goal.goal_id)
        return [shown_goal(goal) for goal in session.execute(theirs).scalars()]

    def add(self, session: Session, site_id: int, fields: Mapping[str, Any], editor: Editor) -> Shown:
        """Make one."""
        only_known(fields, _FIELDS)
        goal = Goal(site_id=site_id, created_at_ms=now_ms(), **checked_goal(fields))
        session.add(goal)
        session.flush()
        return shown_goal(goal)

    def change(self, session: Session, site_id: int, number: int, fields: Mapping[str, Any], editor: Editor) -> Shown:
        """Change some fields. A name that was made from what counts is made anew with it."""
        only_known(fields, _FIELDS)
        goal = self.find(session, site_id, number)
        before = {name: getattr(goal, name) for name in _FIELDS}
        if "display_name" not in fields and goal.display_name == usual_name(before):
            before["display_name"] = ""
        for name, value in checked_goal({**before, **fields}).items():
            setattr(goal, name, value)
        session.flush()
        return shown_goal(goal)

    def remove(self, session: Session, site_id: int, number: int, editor: Editor) -> None:
        """Take one away that no funnel needs. Its events stay."""
        goal = self.find(session, site_id, number)
        for funnel in session.execute(select(Funnel).where(Funnel.site_id == site_id)).scalars():
            if number in funnel.goal_ids:
                raise NotAllowed(f"The goal is a step of the funnel {funnel.name!r}: change or remove that first.")
        session.delete(goal)

    def find(self, session: Session, site_id: int, number: int) -> Goal:
        """The goal of this number. Raises `NotThere`."""
        goal = session.get(Goal, number)
        if goal is None or goal.site_id != site_id:
            raise NotThere("goal")
        return goal


def checked_goal(fields: Mapping[str, Any]) -> Shown:
    """Every column of a goal. What its kind does not use is left empty. Raises `FormError`."""
    kind = fields.get("kind")
    if kind not in KINDS:
        raise FormError("kind", f"A goal's kind is one of {', '.join(KINDS)}.")
    goal: Shown = {"kind": kind, "event_name": "", "page_pattern": "", "scroll_percent": 0, "currency": ""}
    if kind == "event":
        goal["event_name"] = text_of(fields, "event_name", 120, "The name of the event")
        currency = text_of(fields, "currency", 3, "The currency", needed=False).upper()
        if currency and currency not in currencies():
            raise FormError("currency", f"{currency} is no currency of ISO 4217, such as EUR.")
        goal["currency"] = currency
    else:
        if fields.get("currency"):
            raise FormError("currency", "Only custom events carry amounts.")
        pattern = text_of(fields, "page_pattern", 2000, "The path of the page")
        if not pattern.startswith(("/", "*")):
            raise FormError("page_pattern", "A path starts with /, such as /thanks or /blog/*.")
        goal["page_pattern"] = pattern
    if kind == "scroll":
        percent = fields.get("scroll_percent")
        if type(percent) is not int or not 1 <= percent <= 100:
            raise FormError("scroll_percent", "How far a page was read is a whole number from 1 to 100.")
        goal["scroll_percent"] = percent
    name = text_of(fields, "display_name", 120, "The name of the goal", needed=False)
    goal["display_name"] = name or usual_name(goal)[:120]
    return goal


def usual_name(goal: Mapping[str, Any]) -> str:
    """What a goal is called unless its people say otherwise; as in Plausible."""
    match goal["kind"]:
        case "event":
            return str(goal["event_name"])
        case "page":
            return f"Visit {goal['page_pattern']}"
        case _:
            return f"Scroll {goal['scroll_percent']}% on {goal['page_pattern']}"


class GoalsHandler(CollectionHandler):
    """`/api/sites/<domain>/goals`"""

    kind = Goals()

    async def post(self, domain: str) -> None:
        """One more; one that counts money is not part of every plan."""
        if self.json_object().get("currency"):
            await self.need_feature(Feature.REVENUE)
        await super().post(domain)


class GoalHandler(ItemHandler):
    """`/api/sites/<domain>/goals/<id>`"""

    kind = Goals()

    async def patch(self, domain: str, number: str) -> None:
        """What it is now."""
        if self.json_object().get("currency"):
            await self.need_feature(Feature.REVENUE)
        await super().patch(domain, number)
