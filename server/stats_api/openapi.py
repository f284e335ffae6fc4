"""`GET /api/openapi.json`: what the API offers, in OpenAPI 3.1. A test holds it and the routes against each other."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson

from server.accounts.access import PUBLIC
from server.models import GuestRole
from server.stats_api.api_handler import ApiHandler
from server.stats_api.cursors import DEFAULT_LIMIT, MOST_LIMIT
from server.stats_api.exports import FORMATS
from server.stats_api.live import MOST_SUGGESTIONS, MOST_TEXT_CHARS
from server.stats_api.openapi_schemas import TEXT, WHOLE, Schema, exactly, listed, ref, schemas
from server.stats_api.v1_sites import LONGEST_PROPERTY_BYTES
from server.stats_api.v1_stats import INTERVALS
from server.stats_api.v1_stats import MOST_LIMIT as V1_MOST_LIMIT

Operation = dict[str, Any]
Security = list[dict[str, list[str]]]

MAX_AGE_S = 300

_READERS: Security = [{"key": []}, {"login": []}, {"shareLink": []}, {"shareLinkInAddress": []}]
_MEMBERS: Security = [{"login": [], "formToken": []}]
_LOGINS: Security = [{"login": []}]
_KEYS: Security = [{"key": []}]

_ERRORS = {
    "400": "Something in the request is wrong; the sentence says what, and what is allowed.",
    "401": "Nobody is named by the request, or somebody who is not there any more.",
    "402": "The plan of the account lacks this; the sentence names one that has it.",
    "403": "The caller may not do this.",
    "404": "There is no such site for this caller, or no such thing on it.",
    "413": "The body is too large.",
    "422": "The query would exceed a limit, which `limit` names; the sentence says how to narrow it.",
    "429": "Too many requests: API keys have an hourly limit. `Retry-After` says when to come back.",
    "503": "The event store is away or busy. `Retry-After` says when to come back.",
}


def _in_query(name: str, schema: Schema, summary: str = "", *, needed: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": needed, "schema": schema, "description": summary}


_SITE = _in_query("site_id", TEXT, "domain of the site", needed=True)
_RANGE = _in_query("date_range", TEXT, "as in a query: `7d`, or two dates as JSON or separated by a comma")
_FILTERS = _in_query("filters", TEXT, "as in a query, as JSON")
_DOMAIN = {"name": "domain", "in": "path", "required": True, "schema": {**TEXT, "minLength": 1}}
_NUMBER = {"name": "number", "in": "path", "required": True, "schema": {**WHOLE, "minimum": 1, "maximum": 999_999_999}}
_PAGES = [
    _in_query("limit", {**WHOLE, "minimum": 1, "maximum": MOST_LIMIT, "default": DEFAULT_LIMIT}),
    _in_query("after", TEXT, "cursor of the page before"),
    _in_query("before", TEXT, "cursor of the page after"),
]
_V1 = [
    _SITE,
    _in_query("period", TEXT, "`12mo`, `6mo`, `month`, `30d`, `7d`, `day` as of `date`, or `custom`"),
    _in_query("date", TEXT, "a date; with `custom` two, separated by a comma"),
    _in_query("metrics", TEXT, "names, separated by commas"),
    _in_query("filters", TEXT, "such as `event:page==/blog/*;visit:source==Google|Twitter`"),
    _in_query("with_imported", {"type": "string", "enum": ["true", "false"]}),
]


def _operation(
    name: str,
    summary: str,
    answer: str | Schema | None,
    security: Security,
    *,
    parameters: list[Schema] | None = None,
    body: str | Schema | None = None,
    status: str = "200",
    as_form: bool = False,
) -> Operation:
    answers: dict[str, Any] = {
        code: {"description": text, "content": {"application/json": {"schema": ref("Error")}}}
        for code, text in _ERRORS.items()
    }
    answers[status] = {"description": summary}
    if answer is not None:
        schema = ref(answer) if isinstance(answer, str) else answer
        answers[status]["content"] = {"application/json": {"schema": schema}}
    operation: Operation = {
        "operationId": name,
        "summary": summary,
        "security": security,
        "responses": dict(sorted(answers.items())),
    }
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        schema = ref(body) if isinstance(body, str) else body
        kinds = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"]
        content = {kind: {"schema": schema} for kind in (kinds if as_form else kinds[:1])}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _setup_paths() -> dict[str, dict[str, Operation]]:
    paths: dict[str, dict[str, Operation]] = {}
    for plural, name in (
        ("goals", "Goal"),
        ("funnels", "Funnel"),
        ("segments", "Segment"),
        ("annotations", "Annotation"),
    ):
        one, fields = name.lower(), f"{name}Fields"
        paths[f"/api/sites/{{domain}}/{plural}"] = {
            "get": _operation(
                f"list{name}s",
                f"The {plural} of a site",
                exactly("*", **{plural: listed(ref(name))}),
                _READERS,
                parameters=[_DOMAIN],
            ),
            "post": _operation(
                f"add{name}", f"A new {one}", name, _MEMBERS, parameters=[_DOMAIN], body=fields, status="201"
            ),
        }
        paths[f"/api/sites/{{domain}}/{plural}/{{number}}"] = {
            "patch": _operation(
                f"change{name}",
                f"Change some fields of a {one}",
                name,
                _MEMBERS,
                parameters=[_DOMAIN, _NUMBER],
                body=fields,
            ),
            "delete": _operation(
                f"remove{name}", f"Remove a {one}", None, _MEMBERS, parameters=[_DOMAIN, _NUMBER], status="204"
            ),
        }
    paths["/api/sites/{domain}/funnels/{number}"]["get"] = _operation(
        "askFunnel",
        "How many visitors came how far",
        "FunnelAnswer",
        _READERS,
        parameters=[_DOMAIN, _NUMBER, _RANGE, _FILTERS],
    )
    return paths


def _stats_paths() -> dict[str, dict[str, Operation]]:
    export = _operation(
        "export",
        "An answer as CSV or JSON, or the raw events as Parquet",
        None,
        _READERS,
        parameters=[
            _SITE,
            _in_query("format", {"type": "string", "enum": list(FORMATS), "default": "csv"}),
            _RANGE,
            _in_query("metrics", TEXT, "names, separated by commas, or as JSON"),
            _in_query("dimensions", TEXT, "names, separated by commas, or as JSON"),
            _FILTERS,
            _in_query("order_by", TEXT, "as in a query, as JSON"),
        ],
    )
    export["responses"]["200"]["content"] = {kind.partition(";")[0]: {} for kind in FORMATS.values()}
    return {
        "/api/v2/query": {
            "post": _operation("query", "Figures of a site", "QueryAnswer", _READERS, body="Query"),
        },
        "/api/stats/realtime": {
            "get": _operation("realtime", "Who is there now", "Realtime", _READERS, parameters=[_SITE]),
        },
        "/api/stats/drops": {
            "get": _operation("drops", "Hits that were not counted", "Drops", _READERS, parameters=[_SITE, _RANGE]),
        },
        "/api/stats/suggestions": {
            "get": _operation(
                "suggest",
                "Values that a filter may have",
                "Suggestions",
                _READERS,
                parameters=[
                    _SITE,
                    _in_query("dimension", TEXT, "or `event:props` for names of custom properties", needed=True),
                    _in_query("text", {**TEXT, "maxLength": MOST_TEXT_CHARS}, "what values contain"),
                    _RANGE,
                    _FILTERS,
                    _in_query("limit", {**WHOLE, "minimum": 1, "maximum": MOST_SUGGESTIONS, "default": 20}),
                ],
            ),
        },
        "/api/stats/export": {"get": export},
        "/api/sites": {"get": _operation("overview", "All sites of a login", "Overview", _LOGINS)},
    }


def _v1_paths() -> dict[str, dict[str, Operation]]:
    limit = {**WHOLE, "minimum": 1, "maximum": V1_MOST_LIMIT}
    domain, site = {**TEXT, "minLength": 1}, {"site_id": {**TEXT, "minLength": 1}}
    email = {**TEXT, "minLength": 1, "maxLength": 254}
    link = exactly("*", **site, name={**TEXT, "minLength": 1, "maxLength": 100})
    goal = {
        "goal_type": {"type": "string", "enum": ["event", "page"]},
        "event_name": {**TEXT, "maxLength": 120},
        "page_path": {**TEXT, "maxLength": 2000},
        "display_name": {**TEXT, "maxLength": 120},
        "currency": {**TEXT, "maxLength": 3},
    }
    changed = {**exactly("", domain=domain, timezone=TEXT), "minProperties": 1}
    return {
        "/api/v1/stats/realtime/visitors": {
            "get": _operation("v1Visitors", "Visitors of the last five minutes", WHOLE, _READERS, parameters=[_SITE]),
        },
        "/api/v1/stats/aggregate": {
            "get": _operation(
                "v1Aggregate",
                "Figures of a period",
                "V1Aggregate",
                _READERS,
                parameters=[*_V1, _in_query("compare", {"type": "string", "enum": ["previous_period"]})],
            ),
        },
        "/api/v1/stats/timeseries": {
            "get": _operation(
                "v1Timeseries",
                "Figures over time",
                "V1Rows",
                _READERS,
                parameters=[*_V1, _in_query("interval", {"type": "string", "enum": list(INTERVALS)})],
            ),
        },
        "/api/v1/stats/breakdown": {
            "get": _operation(
                "v1Breakdown",
                "Figures by a property",
                "V1Rows",
                _READERS,
                parameters=[
                    *_V1,
                    _in_query("property", TEXT, needed=True),
                    _in_query("limit", limit),
                    _in_query("page", limit),
                ],
            ),
        },
        "/api/v1/sites": {
            "get": _operation(
                "v1Sites", "Sites of the account", "V1Sites", _KEYS, parameters=[*_PAGES, _in_query("team_id", TEXT)]
            ),
            "post": _operation(
                "v1AddSite",
                "A new site",
                "V1Site",
                _KEYS,
                body=exactly("domain", domain=domain, timezone=TEXT, team_id=TEXT),
                as_form=True,
            ),
        },
        "/api/v1/sites/teams": {
            "get": _operation("v1Teams", "The account of the key", "V1Teams", _KEYS, parameters=_PAGES),
        },
        "/api/v1/sites/shared-links": {
            "put": _operation(
                "v1SharedLink", "Find or make a share link", "V1SharedLink", _KEYS, body=link, as_form=True
            ),
        },
        "/api/v1/sites/goals": {
            "get": _operation("v1Goals", "Goals of a site", "V1Goals", _KEYS, parameters=[_SITE, *_PAGES]),
            "put": _operation(
                "v1Goal",
                "Find or make a goal",
                "V1Goal",
                _KEYS,
                body=exactly("site_id goal_type", **site, **goal),
                as_form=True,
            ),
        },
        "/api/v1/sites/goals/{number}": {
            "delete": _operation(
                "v1RemoveGoal", "Remove a goal", "V1Deleted", _KEYS, parameters=[_NUMBER, _in_query("site_id", TEXT)]
            ),
        },
        "/api/v1/sites/custom-props": {
            "get": _operation(
                "v1CustomProps", "Custom properties of the last 30 days", "V1CustomProps", _KEYS, parameters=[_SITE]
            ),
            "put": _operation(
                "v1CustomProp",
                "Expect a custom property; all are kept in any case",
                "V1Created",
                _KEYS,
                body=exactly("*", **site, property={**TEXT, "minLength": 1, "maxLength": LONGEST_PROPERTY_BYTES}),
                as_form=True,
            ),
        },
        "/api/v1/sites/guests": {
            "get": _operation(
                "v1Guests", "Guests of a site, and the invited", "V1Guests", _KEYS, parameters=[_SITE, *_PAGES]
            ),
            "put": _operation(
                "v1Guest",
                "Find a guest, or send an invitation",
                "V1Guest",
                _KEYS,
                body=exactly("*", **site, email=email, role={"type": "string", "enum": list(GuestRole)}),
                as_form=True,
            ),
        },
        "/api/v1/sites/guests/{email}": {
            "delete": _operation(
                "v1RemoveGuest",
                "Remove a guest, or take an invitation back",
                "V1Deleted",
                _KEYS,
                parameters=[
                    {"name": "email", "in": "path", "required": True, "schema": email},
                    _in_query("site_id", TEXT),
                ],
            ),
        },
        "/api/v1/sites/{domain}": {
            "get": _operation("v1Site", "One site", "V1SiteDetail", _KEYS, parameters=[_DOMAIN]),
            "put": _operation(
                "v1ChangeSite",
                "Another domain or zone",
                "V1Site",
                _KEYS,
                parameters=[_DOMAIN],
                body=changed,
                as_form=True,
            ),
            "delete": _operation("v1DeleteSite", "Delete a site", "V1Deleted", _KEYS, parameters=[_DOMAIN]),
        },
    }


@cache
def openapi_document() -> bytes:
    """The document."""
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Footfall",
                "version": "1",
                "description": "Figures of sites, in the shapes of Plausible's Stats API v2 and v1 and Sites API.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": {**_stats_paths(), **_setup_paths(), **_v1_paths()},
            "components": {
                "schemas": schemas(),
                "securitySchemes": {
                    "key": {"type": "http", "scheme": "bearer", "description": "an API key of the account"},
                    "login": {
                        "type": "apiKey",
                        "in": "cookie",
                        "name": "footfall_session",
                        "description": "behind TLS it is called __Host-footfall_session",
                    },
                    "formToken": {"type": "apiKey", "in": "header", "name": "X-Xsrftoken"},
                    "shareLink": {"type": "apiKey", "in": "header", "name": "X-Footfall-Share"},
                    "shareLinkInAddress": {"type": "apiKey", "in": "query", "name": "share"},
                },
            },
        }
    )


class OpenApiHandler(ApiHandler):
    """See the module."""

    access = PUBLIC

    def get(self) -> None:
        """The document."""
        self.set_header("Cache-Control", f"public, max-age={MAX_AGE_S}")
        self.write_body(openapi_document())
