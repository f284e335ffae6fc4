"""Vitals and timings of closed days, as sums: how many loads have a value in which bucket, read from `vitals`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from server.queries.closed_tables import EMPTY_NAME_ID, VITAL_ATTRIBUTES, names_sql, where_closed
from server.queries.conditions import Scope, condition, shown
from server.queries.daily_facts import day_bucket_sql
from server.queries.dimensions import PAGE, Dimension, Level
from server.queries.facts import CLOCK_INTERVALS, FactsRequest
from server.queries.model import Leaf, leaves
from server.queries.parameters import Parameters
from server.queries.statements import fill, sql_text
from server.queries.vital_facts import EMPTY_COUNTS, column_of


def closed_vitals_refusal(request: FactsRequest) -> str:
    """Why stored page loads cannot answer a question; empty when they can."""
    query = request.query
    if query.interval in CLOCK_INTERVALS:
        return "page loads are closed by the day"
    asked = [each for each in query.dimensions if each.level is not Level.TIME]
    asked += [leaf.dimension for leaf in leaves(query.filters) if isinstance(leaf, Leaf)]
    for each in asked:
        if each.name != PAGE and each.column and _column(each) not in VITAL_ATTRIBUTES:
            return f"{each.name} is not kept with closed page loads"
    return ""


def closed_vitals_sql(
    request: FactsRequest,
    keys: Sequence[str],
    days: Sequence[date],
    versions: Sequence[int],
    parameters: Parameters,
) -> str:
    """`SELECT d1, …, vital_lcp_ms, …` grouped by the dimensions: a part for each metric, which reads its own column."""
    query = request.query

    def leaf(comparison: Leaf) -> str | None:
        if comparison.dimension.name != PAGE:
            return None
        site = parameters.bind(query.site_id, "UInt32")
        tests = [
            condition(comparison, Scope(lambda _, name=name: name, lambda _, name=name: name), parameters)  # type: ignore[misc]
            for name in ("name", "''")
        ]
        ids = f"SELECT name_id FROM names WHERE site_id = {site} AND {tests[0]}"  # noqa: S608 - values are bound
        return f"(page_id IN ({ids}) OR (page_id = {EMPTY_NAME_ID} AND {tests[1]}))"

    def column(name: str) -> str:
        name = "hostname" if name == "visit_hostname" else name
        return f"toString({name})" if name in VITAL_ATTRIBUTES else name

    scope = Scope(column, column, leaf=leaf)
    where = where_closed(parameters, query.site_id, days[0], days[-1], versions)
    matching = condition(query.filters, scope, parameters)
    names = [f"d{index}" for index in range(1, len(query.dimensions) + 1)]
    values, read, joins = [], [], ""
    for name, each in zip(names, query.dimensions, strict=True):
        if each.level is Level.TIME:
            values.append(f"{day_bucket_sql(request, parameters)} AS {name}")
            read.append(f"f.{name} AS {name}")
        elif each.name == PAGE:
            values.append(f"page_id AS {name}")
            read.append(f"if(f.{name} = {EMPTY_NAME_ID}, '', n.name) AS {name}")
            joins = f" ANY LEFT JOIN {names_sql(parameters, query.site_id)} AS n ON n.name_id = f.{name}"
        else:
            values.append(f"toString({shown(each, scope, parameters)}) AS {name}")
            read.append(f"f.{name} AS {name}")
    parts = []
    for key in keys:
        counts = [
            f"{'sumMap(map(toInt32(f.bucket) - 1, f.loads))' if other == key else EMPTY_COUNTS} AS {column_of(other)}"
            for other in keys
        ]
        parts.append(
            fill(
                sql_text("closed_vitals"),
                read=", ".join((*read, *counts)),
                values="".join(f"{value}, " for value in values),
                names="".join(f"{name}, " for name in names),
                metric=key,
                where=where,
                matching=matching,
                joins=joins,
                grouped=f"GROUP BY {', '.join(names)}" if names else "",
            )
        )
    return " UNION ALL ".join(parts)


def _column(dimension: Dimension) -> str:
    return "hostname" if dimension.column in ("hostname", "visit_hostname") else dimension.column
