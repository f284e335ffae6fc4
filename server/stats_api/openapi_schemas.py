"""The schemas of the OpenAPI document. What is allowed comes from the tables that the parser itself uses."""

from __future__ import annotations

from typing import Any

from server.models import GuestRole
from server.queries.dimensions import DIMENSIONS, PROPS_PREFIX, Level
from server.queries.filters import MAX_VALUES, OPERATORS
from server.queries.goals import KINDS
from server.queries.metrics import METRICS, VITALS, vital_metric_forms
from server.queries.model import DEFAULT_LIMIT_ROWS, MAX_LIMIT_ROWS, MAX_OFFSET_ROWS
from server.queries.parsing import COMPARISON_MODES, DATE_RANGES, MAX_DIMENSIONS, MAX_METRICS
from server.stats_api.funnels import FEWEST_STEPS, MOST_STEPS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
TRUTH: Schema = {"type": "boolean"}


def ref(name: str) -> Schema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Schema, **more: Any) -> Schema:
    """A list."""
    return {"type": "array", "items": items, **more}


def exactly(_needed: str = "", **properties: Schema) -> Schema:
    """An object with these properties and no others; `_needed` names those that have to be there, `*` all."""
    needed = list(properties) if _needed == "*" else _needed.split()
    return {
        "type": "object",
        "properties": properties,
        **({"required": needed} if needed else {}),
        "additionalProperties": False,
    }


def nullable(schema: Schema) -> Schema:
    """The schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def _metric_pattern() -> str:
    names = "|".join(sorted({name for vital in VITALS for name in (vital.name, vital.key)}))
    rated = "|".join(sorted({name for vital in VITALS if vital.good is not None for name in (vital.name, vital.key)}))
    return rf"^(?:p[1-9][0-9]?_(?:{names})|samples_(?:{names})|rating_(?:{rated}))$"


def _table(rows: dict[str, str]) -> str:
    return "\n".join(f"- `{name}`: {summary}" for name, summary in rows.items())


def _metric() -> Schema:
    summaries = {metric.name: metric.summary for metric in METRICS.values()}
    return {
        "description": _table(summaries)
        + "\n- of page loads: "
        + ", ".join(f"`{form}`" for form in vital_metric_forms()),
        "anyOf": [{"type": "string", "enum": list(METRICS)}, {"type": "string", "pattern": _metric_pattern()}],
    }


def _dimension(*, with_time: bool) -> Schema:
    names = [each.name for each in DIMENSIONS.values() if with_time or each.level is not Level.TIME]
    return {
        "description": _table({name: DIMENSIONS[name].summary for name in names})
        + f"\n- `{PROPS_PREFIX}<name>`: value of a custom property",
        "anyOf": [
            {"type": "string", "enum": names},
            {"type": "string", "pattern": rf"^{PROPS_PREFIX}.{{1,300}}$"},
        ],
    }


def _goal_fields() -> dict[str, Schema]:
    return {
        "kind": {"type": "string", "enum": list(KINDS)},
        "display_name": {**TEXT, "maxLength": 120},
        "event_name": {**TEXT, "maxLength": 120},
        "page_pattern": {**TEXT, "maxLength": 2000},
        "scroll_percent": {**WHOLE, "minimum": 0, "maximum": 100},
        "currency": {**TEXT, "maxLength": 3},
    }


def _funnel_fields() -> dict[str, Schema]:
    steps = listed(WHOLE, minItems=FEWEST_STEPS, maxItems=MOST_STEPS, uniqueItems=True)
    return {"name": {**TEXT, "minLength": 1, "maxLength": 100}, "goal_ids": steps}


def _segment_fields() -> dict[str, Schema]:
    return {
        "name": {**TEXT, "minLength": 1, "maxLength": 100},
        "filters": listed(ref("Filter"), minItems=1),
        "is_personal": TRUTH,
    }


def _annotation_fields() -> dict[str, Schema]:
    return {
        "day": {"type": "string", "format": "date"},
        "text": {**TEXT, "minLength": 1, "maxLength": 300},
    }


def _query() -> Schema:
    include = exactly(
        imports=TRUTH,
        time_labels=TRUTH,
        total_rows=TRUTH,
        explain={**TRUTH, "description": "how the answer was found"},
        comparisons=nullable(
            exactly(
                "mode",
                mode={"type": "string", "enum": list(COMPARISON_MODES)},
                date_range=ref("DateRange"),
                match_day_of_week=TRUTH,
            )
        ),
        compare={
            "anyOf": [
                {"type": "string", "enum": [mode for mode in COMPARISON_MODES if mode != "custom"]},
                listed(TEXT, minItems=2, maxItems=2),
                {"type": "null"},
            ]
        },
        compare_match_day_of_week=TRUTH,
    )
    order = {"type": "array", "prefixItems": [TEXT, {"enum": ["asc", "desc"]}], "minItems": 2, "maxItems": 2}
    pagination = exactly(
        limit={**WHOLE, "minimum": 1, "maximum": MAX_LIMIT_ROWS, "default": DEFAULT_LIMIT_ROWS},
        offset={**WHOLE, "minimum": 0, "maximum": MAX_OFFSET_ROWS, "default": 0},
    )
    return exactly(
        "site_id metrics date_range",
        site_id={**TEXT, "description": "domain of the site"},
        metrics=listed(ref("Metric"), minItems=1, maxItems=MAX_METRICS, uniqueItems=True),
        date_range=ref("DateRange"),
        dimensions=listed(ref("Dimension"), maxItems=MAX_DIMENSIONS, uniqueItems=True),
        filters=listed(ref("Filter")),
        order_by=listed(order),
        include=include,
        pagination=pagination,
    )


def _row() -> Schema:
    values = {
        "dimensions": listed(nullable(TEXT)),
        "metrics": listed(ref("Value")),
    }
    comparison = {
        "type": "object",
        "properties": {**values, "change": listed(nullable(NUMBER))},
        "required": ["dimensions", "metrics", "change"],
    }
    return {
        "type": "object",
        "properties": {**values, "comparison": comparison},
        "required": ["dimensions", "metrics"],
    }


def _named() -> Schema:
    return listed(exactly("*", name=TEXT, visitors=WHOLE))


def _page_meta() -> Schema:
    return exactly("*", after=nullable(TEXT), before=nullable(TEXT), limit=WHOLE)


def _site() -> dict[str, Schema]:
    return {"domain": TEXT, "timezone": TEXT}


def _v1_goal() -> dict[str, Schema]:
    return {
        "id": WHOLE,
        "goal_type": {"enum": ["event", "page"]},
        "display_name": TEXT,
        "event_name": nullable(TEXT),
        "page_path": nullable(TEXT),
    }


def _v1_guest() -> dict[str, Schema]:
    status: Schema = {"enum": ["invited", "accepted"]}
    return {"email": TEXT, "role": {"enum": list(GuestRole)}, "status": status, "accepted": TRUTH}


def _value() -> Schema:
    money = exactly("*", value=NUMBER, currency=TEXT, short=TEXT, long=TEXT)
    shares = exactly("*", good=NUMBER, needs_improvement=NUMBER, poor=NUMBER)
    return {"anyOf": [NUMBER, {"type": "null"}, money, shares]}


def schemas() -> dict[str, Schema]:
    """`components.schemas`."""
    goal, funnel, segment, annotation = _goal_fields(), _funnel_fields(), _segment_fields(), _annotation_fields()
    page_meta = _page_meta()
    return {
        "Error": {
            "type": "object",
            "properties": {
                "error": {
                    "description": "a sentence that says what to change; at an address that is none, an object with it",
                    "anyOf": [TEXT, {"type": "object", "required": ["message"]}],
                },
                "request_id": TEXT,
                "field": {**TEXT, "description": "what of the body is wrong"},
                "limit": {**TEXT, "description": "the limit that would be exceeded"},
            },
            "required": ["error"],
        },
        "Metric": _metric(),
        "Dimension": _dimension(with_time=True),
        "DateRange": {
            "description": f"{', '.join(DATE_RANGES)}, `<n>d`, `<n>mo`, two dates, or two times with their offset.",
            "anyOf": [
                {"type": "string", "enum": list(DATE_RANGES)},
                {"type": "string", "pattern": "^[1-9][0-9]{0,3}(?:d|mo)$"},
                listed(TEXT, minItems=2, maxItems=2),
            ],
        },
        "Filter": {
            "description": '`["is", "visit:country", ["EE"], {"case_sensitive": false}]`; `["and"|"or", '
            '[filter, …]]`; `["not"|"has_done"|"has_not_done", filter]`; `["is", "segment", [id]]`. At most '
            f"{MAX_VALUES} values.",
            "type": "array",
            "prefixItems": [{"type": "string", "enum": [str(operator) for operator in OPERATORS]}],
            "minItems": 2,
            "maxItems": 4,
        },
        "Query": _query(),
        "Value": _value(),
        "QueryAnswer": exactly("*", results=listed(_row()), meta={"type": "object"}, query={"type": "object"}),
        "Realtime": {
            "type": "object",
            "properties": {
                "visitors": {**WHOLE, "description": "of the last five minutes"},
                "visitors_30m": WHOLE,
                "minutes": listed(exactly("*", minute=TEXT, visitors=WHOLE, pageviews=WHOLE)),
                "pages": _named(),
                "sources": _named(),
                "countries": _named(),
            },
            "required": ["visitors", "minutes", "pages", "sources", "countries"],
        },
        "Drops": {
            "type": "object",
            "properties": {
                "answered": WHOLE,
                "accepted": WHOLE,
                "dropped": WHOLE,
                "days": listed({"type": "object", "required": ["day", "accepted", "dropped"]}),
                "reasons": listed({"type": "object", "required": ["reason", "label", "hits"]}),
            },
            "required": ["answered", "accepted", "dropped", "days", "reasons"],
        },
        "Suggestions": exactly("*", suggestions=listed(exactly("*", value=TEXT, visitors=nullable(WHOLE)))),
        "Overview": exactly(
            "*",
            sites=listed(
                exactly(
                    "*",
                    domain=TEXT,
                    account_id=nullable({**WHOLE, "description": "null to guests of the site"}),
                    account=nullable(TEXT),
                    timezone=TEXT,
                    visitors=nullable({**WHOLE, "description": "of the last 24 hours"}),
                    change=nullable({**WHOLE, "description": "in percent, against the 24 hours before"}),
                    sparkline=nullable(listed(WHOLE)),
                )
            ),
            left_out=WHOLE,
        ),
        "GoalFields": exactly("", **goal),
        "Goal": exactly("*", goal_id=WHOLE, **goal),
        "FunnelFields": exactly("", **funnel),
        "Funnel": exactly("*", funnel_id=WHOLE, **funnel),
        "FunnelAnswer": {
            "type": "object",
            "properties": {"funnel_id": WHOLE, **funnel, "steps": listed({"type": "object"})},
            "required": ["funnel_id", "name", "goal_ids", "steps"],
        },
        "SegmentFields": exactly("", **segment),
        "Segment": exactly("*", segment_id=WHOLE, **segment),
        "AnnotationFields": exactly("", **annotation),
        "Annotation": exactly("*", annotation_id=WHOLE, **annotation),
        "V1Aggregate": exactly(
            "results",
            results={
                "type": "object",
                "additionalProperties": exactly("value", value=ref("Value"), change=nullable(NUMBER)),
            },
            warning=TEXT,
        ),
        "V1Rows": exactly("results", results=listed({"type": "object"}), warning=TEXT),
        "V1Site": exactly("*", **_site()),
        "V1SiteDetail": exactly("*", **_site(), custom_properties=listed(TEXT)),
        "V1Sites": exactly("*", sites=listed(ref("V1Site")), meta=page_meta),
        "V1Teams": exactly("*", teams=listed(exactly("*", id=TEXT, name=TEXT, api_available=TRUTH)), meta=page_meta),
        "V1SharedLink": exactly("*", name=TEXT, url=TEXT),
        "V1Goal": exactly("*", domain=TEXT, **_v1_goal()),
        "V1Goals": exactly("*", goals=listed(exactly("*", **_v1_goal())), meta=page_meta),
        "V1CustomProps": exactly("*", custom_properties=listed(exactly("*", property=TEXT))),
        "V1Created": exactly("*", created={"const": True}),
        "V1Guest": exactly("*", **_v1_guest()),
        "V1Guests": exactly("*", guests=listed(ref("V1Guest")), meta=page_meta),
        "V1Deleted": exactly("*", deleted={"const": True}),
    }
