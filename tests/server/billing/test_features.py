"""What a plan lacks is refused where it is used, and nobody lacks anything where plans limit nobody."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import select

from server.accounts.keys import add_api_key
from server.accounts.share_links import add_share_link
from server.app_database import writing
from server.billing.plan_changes import Reason, change_plan
from server.billing.plans import BASIC, FREE, PLANS, PREMIUM, Feature, Plan
from server.clock import now_ms
from server.config import PlanLimits, Settings
from server.handler import BaseHandler
from server.models import Scope, Site
from server.services import Services, open_services
from server.sites import add_site
from server.stats_api.routes import stats_routes
from tests.server.accounts.people import PASSWORD, make_owner
from tests.server.pages.site_host import Browser, Host, bearer, hosted

SITE = "/api/sites/shop.example"
PAYMENT_REQUIRED = 402


@pytest.fixture
def limited(database_settings: Settings) -> Iterator[Host]:
    """The application on a server where plans hold."""
    services = open_services(database_settings.model_copy(update={"plan_limits": PlanLimits.ON}))
    make_owner(services)
    add_site(services.engine, "shop.example")
    with hosted(services) as running:
        yield running
    services.close()


def give(services: Services, plan: Plan) -> None:
    with writing(services.engine) as session:
        change_plan(session, services, 1, plan, Reason.STAFF, now_ms())


@dataclass
class Uses:
    """One way to use each feature: the status and the sentence of the answer. 402 or something else is all that counts:
    there is no event store here.
    """

    browser: Browser
    key: dict[str, str]

    def send(self, method: str, path: str, document: object) -> tuple[int, str]:
        token = {"X_Xsrftoken": self.browser.cookies["_xsrf"]}
        answer = self.browser.ask(method, path, json.dumps(document).encode(), Content_Type="application/json", **token)
        return answer.status, answer.text

    def of(self, feature: Feature) -> tuple[int, str]:
        match feature:
            case Feature.STATS_API:
                answer = self.browser.ask("GET", "/api/v1/stats/aggregate?site_id=shop.example", None, **self.key)
                return answer.status, answer.text
            case Feature.EXPORTS:
                answer = self.browser.get("/api/stats/export?site_id=shop.example&format=parquet")
                return answer.status, answer.text
            case Feature.FUNNELS:
                return self.send("POST", SITE + "/funnels", {"name": "Way", "goal_ids": []})
            case Feature.REVENUE:
                goal = {"kind": "event", "event_name": "Sale", "currency": "EUR"}
                return self.send("POST", SITE + "/goals", goal)
            case Feature.SITES_API:
                answer = self.browser.ask("GET", "/api/v1/sites", None, **self.key)
                return answer.status, answer.text
        raise AssertionError(feature)


def uses_of(host: Host) -> Uses:
    browser = host.browser()
    assert browser.log_in("owner@example.com", PASSWORD).status == 303
    key = add_api_key(host.services.engine, "all", 1, [Scope.STATS_READ, Scope.SITES_WRITE])
    return Uses(browser, bearer(key))


USED_OVER_HTTP = (Feature.STATS_API, Feature.EXPORTS, Feature.FUNNELS, Feature.REVENUE, Feature.SITES_API)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.code)
def test_each_plan_has_what_it_says_and_nothing_else(limited: Host, plan: Plan) -> None:
    give(limited.services, plan)
    uses = uses_of(limited)
    got = {feature: uses.of(feature) for feature in USED_OVER_HTTP}
    has = {feature: status != PAYMENT_REQUIRED for feature, (status, _) in got.items()}
    assert has == {feature: plan.has(feature) for feature in USED_OVER_HTTP}
    if plan is FREE:
        assert "Funnels: not part of the plan Free, but of Basic and greater ones." in got[Feature.FUNNELS][1]
    # What every plan has stays, whatever it lacks.
    assert uses.browser.get(SITE + "/goals").status == 200
    assert uses.browser.get(SITE + "/funnels").status == 200


def test_a_plan_that_changes_is_felt_at_once(limited: Host) -> None:
    uses = uses_of(limited)
    assert uses.of(Feature.REVENUE)[0] == PAYMENT_REQUIRED
    give(limited.services, BASIC)
    assert uses.of(Feature.REVENUE)[0] == 201
    give(limited.services, FREE)
    assert uses.of(Feature.REVENUE)[0] == PAYMENT_REQUIRED


def test_the_sites_own_doors_stand_before_the_plans(limited: Host) -> None:
    """Who may not come in hears nothing of the plan."""
    stranger = dataclasses.replace(uses_of(limited), browser=limited.browser(), key=bearer("ff_wrong"))
    stranger.browser.get("/login")
    for feature in USED_OVER_HTTP:
        assert stranger.of(feature)[0] == 401, feature


def test_where_plans_limit_nobody_everything_is_there(limited: Host) -> None:
    uses = uses_of(limited)
    settings = limited.services.settings.model_copy(update={"plan_limits": PlanLimits.AUTO})
    object.__setattr__(limited.services, "settings", settings)
    assert PAYMENT_REQUIRED not in {uses.of(feature)[0] for feature in USED_OVER_HTTP}


def test_a_dashboard_is_embedded_where_the_plan_has_it(limited: Host) -> None:
    services = limited.services
    with writing(services.engine) as session:
        site = session.execute(select(Site)).scalars().one()
        site.embed_origins = ["https://shop.example"]
        slug = add_share_link(session, site, "Board", "a password of the board", 1).slug
    frames = {}
    for plan in PLANS:
        give(services, plan)
        answer = limited.browser().get(f"/share/{slug}")
        assert answer.status == 200
        frames[plan] = "frame-ancestors https://shop.example" in answer.headers["content-security-policy"]
        assert frames[plan] != ("x-frame-options" in answer.headers)
    assert frames == {plan: plan.has(Feature.EMBEDDING) for plan in PLANS}


# Which method of which route is part of which feature as a whole; EXPORTS and REVENUE depend on what is asked for, and
# STATS_API on who asks.
ROUTES_OF_FEATURES = {
    ("POST", "FunnelsHandler"): Feature.FUNNELS,
    ("GET", "FunnelHandler"): Feature.FUNNELS,
    ("PATCH", "FunnelHandler"): Feature.FUNNELS,
    **{
        (method, handler): Feature.SITES_API
        for handler in (
            "CustomPropsHandler",
            "GoalItemHandler",
            "GoalListHandler",
            "GuestHandler",
            "GuestsHandler",
            "SharedLinksHandler",
            "SiteItemHandler",
            "SiteListHandler",
            "TeamsHandler",
        )
        for method in ("GET", "POST", "PUT", "DELETE")
    },
}


def test_the_routes_of_a_feature_are_these() -> None:
    handlers: set[type[BaseHandler]] = {route[1] for route in stats_routes(None)}  # type: ignore[arg-type]
    got = {
        (method, handler.__name__): feature for handler in handlers for method, feature in handler.plan_features.items()
    }
    assert got == ROUTES_OF_FEATURES
    assert PREMIUM.features >= set(got.values())
