"""The routes of the API. Fixed addresses come before those that hold a domain, which may have slashes."""

from __future__ import annotations

from typing import Any

from server.handler import AppContext
from server.stats_api.annotations import AnnotationHandler, AnnotationsHandler
from server.stats_api.exports import ExportHandler
from server.stats_api.funnels import FunnelHandler, FunnelsHandler
from server.stats_api.goals import GoalHandler, GoalsHandler
from server.stats_api.live import DropsHandler, RealtimeHandler, SuggestionsHandler
from server.stats_api.openapi import OpenApiHandler
from server.stats_api.overview import OverviewHandler
from server.stats_api.query import QueryHandler
from server.stats_api.segments import SegmentHandler, SegmentsHandler
from server.stats_api.v1_goals import GoalItemHandler, GoalListHandler
from server.stats_api.v1_guests import GuestHandler, GuestsHandler
from server.stats_api.v1_sites import (
    CustomPropsHandler,
    SharedLinksHandler,
    SiteItemHandler,
    SiteListHandler,
    TeamsHandler,
)
from server.stats_api.v1_stats import AggregateHandler, BreakdownHandler, TimeseriesHandler, VisitorsNowHandler

_DOMAIN = r"(?P<domain>[^?]+)"
_NUMBER = r"(?P<number>[0-9]{1,9})"
_EMAIL = r"(?P<email>[^/?]{1,300})"


def stats_routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    setup = {
        "goals": (GoalsHandler, GoalHandler),
        "funnels": (FunnelsHandler, FunnelHandler),
        "segments": (SegmentsHandler, SegmentHandler),
        "annotations": (AnnotationsHandler, AnnotationHandler),
    }
    routes: list[Any] = [
        (r"/api/openapi\.json", OpenApiHandler, given),
        (r"/api/v2/query", QueryHandler, given),
        (r"/api/stats/realtime", RealtimeHandler, given),
        (r"/api/stats/drops", DropsHandler, given),
        (r"/api/stats/suggestions", SuggestionsHandler, given),
        (r"/api/stats/export", ExportHandler, given),
        (r"/api/sites", OverviewHandler, given),
        (r"/api/v1/stats/realtime/visitors", VisitorsNowHandler, given),
        (r"/api/v1/stats/aggregate", AggregateHandler, given),
        (r"/api/v1/stats/timeseries", TimeseriesHandler, given),
        (r"/api/v1/stats/breakdown", BreakdownHandler, given),
        (r"/api/v1/sites", SiteListHandler, given),
        (r"/api/v1/sites/teams", TeamsHandler, given),
        (r"/api/v1/sites/shared-links", SharedLinksHandler, given),
        (r"/api/v1/sites/custom-props", CustomPropsHandler, given),
        (r"/api/v1/sites/goals", GoalListHandler, given),
        (rf"/api/v1/sites/goals/{_NUMBER}", GoalItemHandler, given),
        (r"/api/v1/sites/guests", GuestsHandler, given),
        (rf"/api/v1/sites/guests/{_EMAIL}", GuestHandler, given),
        (rf"/api/v1/sites/{_DOMAIN}", SiteItemHandler, given),
    ]
    for name, (collection, item) in setup.items():
        routes.append((rf"/api/sites/{_DOMAIN}/{name}", collection, given))
        routes.append((rf"/api/sites/{_DOMAIN}/{name}/{_NUMBER}", item, given))
    return routes
