"""Funnels: goals in an order, and how many visitors came how far."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from server.accounts.access import CHANGES_SITE, READER, by_method
from server.accounts.errors import FormError, NotThere
from server.app_database import reading
from server.billing.plans import Feature
from server.clock import now_ms
from server.models import Funnel, Goal
from server.queries.parsing import parse_date_range, parse_filters
from server.reader_handler import Reader
from server.stats_api.api_handler import ApiError
from server.stats_api.remembered import remembered_briefly
from server.stats_api.setup import CollectionHandler, Editor, ItemHandler, SetupKind, Shown, only_known, text_of

# Plausible's bounds: one step is no way, and beyond eight nobody arrives.
FEWEST_STEPS, MOST_STEPS = 2, 8

_FIELDS = ("name", "goal_ids")


def _shown(funnel: Funnel) -> Shown:
    return {"funnel_id": funnel.funnel_id, "name": funnel.name, "goal_ids": list(funnel.goal_ids)}


class Funnels(SetupKind):
    """See the module."""

    name = "funnels"
    model = Funnel
    most = 100
    taken = ("name", "There is a funnel of this name already.")

    def rows(self, session: Session, site_id: int, reader: Reader) -> list[Shown]:
        """By name."""
        theirs = select(Funnel).where(Funnel.site_id == site_id).order_by(Funnel.name, Funnel.funnel_id)
        return [_shown(funnel) for funnel in session.execute(theirs).scalars()]

    def add(self, session: Session, site_id: int, fields: Mapping[str, Any], editor: Editor) -> Shown:
        """Make one."""
        only_known(fields, _FIELDS)
        funnel = Funnel(site_id=site_id, created_at_ms=now_ms(), **self._checked(session, site_id, fields))
        session.add(funnel)
        session.flush()
        return _shown(funnel)

    def change(self, session: Session, site_id: int, number: int, fields: Mapping[str, Any], editor: Editor) -> Shown:
        """Another name, other steps."""
        only_known(fields, _FIELDS)
        funnel = self.find(session, site_id, number)
        checked = self._checked(session, site_id, {"name": funnel.name, "goal_ids": funnel.goal_ids, **fields})
        funnel.name, funnel.goal_ids = checked["name"], checked["goal_ids"]
        session.flush()
        return _shown(funnel)

    def remove(self, session: Session, site_id: int, number: int, editor: Editor) -> None:
        """Take one away; its goals stay."""
        session.delete(self.find(session, site_id, number))

    def find(self, session: Session, site_id: int, number: int) -> Funnel:
        """The funnel of this number. Raises `NotThere`."""
        funnel = session.get(Funnel, number)
        if funnel is None or funnel.site_id != site_id:
            raise NotThere("funnel")
        return funnel

    def _checked(self, session: Session, site_id: int, fields: Mapping[str, Any]) -> Shown:
        name = text_of(fields, "name", 100, "The name of the funnel")
        steps = fields.get("goal_ids")
        if not isinstance(steps, list) or not FEWEST_STEPS <= len(steps) <= MOST_STEPS:
            raise FormError("goal_ids", f"A funnel has {FEWEST_STEPS} to {MOST_STEPS} goals as its steps.")
        if not all(type(step) is int for step in steps) or len(set(steps)) != len(steps):
            raise FormError("goal_ids", "Each step is the number of another goal.")
        ours = select(Goal.goal_id).where((Goal.site_id == site_id) & Goal.goal_id.in_(steps))
        missing = set(steps) - set(session.execute(ours).scalars())
        if missing:
            raise FormError("goal_ids", f"This site has no goal {min(missing)}.")
        return {"name": name, "goal_ids": steps}


class FunnelsHandler(CollectionHandler):
    """`/api/sites/<domain>/funnels`"""

    plan_features: ClassVar[Mapping[str, Feature]] = MappingProxyType({"POST": Feature.FUNNELS})
    kind = Funnels()


class FunnelHandler(ItemHandler):
    """`/api/sites/<domain>/funnels/<id>`: how many came how far, and changes."""

    access = by_method(GET=READER, PATCH=CHANGES_SITE, DELETE=CHANGES_SITE)
    plan_features: ClassVar[Mapping[str, Feature]] = MappingProxyType(
        {"GET": Feature.FUNNELS, "PATCH": Feature.FUNNELS}
    )
    kind = Funnels()

    async def get(self, domain: str, number: str) -> None:
        """The funnel's visitors by step, for `date_range` and `filters` as `POST /api/v2/query` takes them."""
        site = await self.admit(domain)
        asked = {"date_range": self.json_argument("date_range", "30d"), "filters": self.json_argument("filters", [])}
        try:
            funnel = await self.in_thread(self._funnel, site.site_id, int(number))
        except NotThere:
            raise ApiError(404, "This site has no such funnel.") from None
        facts = await self.site_facts(site, asked)
        ticket = self.new_ticket()
        engine = self.stats.engine

        def answer() -> bytes:
            range_ = parse_date_range(asked["date_range"], facts)
            filters = parse_filters(asked["filters"], facts)
            arguments = {"range": repr(range_), "filters": repr(filters), "goals": repr(facts.goals), **funnel}
            return remembered_briefly(
                self.app_context.services.cache,
                "funnel",
                site.site_id,
                arguments,
                lambda: engine.funnel(facts, range_, filters, funnel["goal_ids"], ticket),
                ticket,
            )

        self.write_json({**funnel, **orjson.loads(await self.ask(answer))})

    def _funnel(self, site_id: int, number: int) -> Shown:
        with reading(self.app_context.engine) as session:
            return _shown(Funnels().find(session, site_id, number))
