"""Summing the closed days of whole months: what lists of pages are read from (`server.closed_months`).

A page that is seen every day has a row in `daily` for each; over months that is most of what such a list reads. Rows of
a month are rows of `daily` under its last date and a version of their own, of the dimensions `ROLLED`. What they add up
to is known beforehand from the days' totals (`sums_agree`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from server.clickhouse_tcp import BlockConnection
from server.closed_days import has_values
from server.closed_months import last_date
from server.queries.closed_tables import ROLLED
from server.queries.closing import SETTINGS
from server.queries.statements import fill, sql_text

_BEGUN = "INSERT INTO closings (site_id, day, version, event_rows) VALUES"


Versions = Mapping[int, Mapping[date, int]]
"""By site and day."""


def write_month(connection: BlockConnection, month: date, version: int, of_sites: Versions) -> None:
    """Write the rows of a month of some sites under this version. `of_sites`: of the days to add up."""
    # Before anything else of this version, so that whatever a crash leaves can be found.
    connection.insert_rows(_BEGUN, [(site_id, last_date(month), version, 0) for site_id in sorted(of_sites)])
    connection.command(_filled("closing_months", month, version, of_sites), **SETTINGS)


def sums_agree(connection: BlockConnection, month: date, version: int, of_sites: Versions) -> list[int]:
    """The sites whose month's rows add up to the totals of their days, each of which is there."""
    found: dict[int, dict[str, tuple[int, ...]]] = {site_id: {} for site_id in of_sites}
    rows = connection.select(_filled("closing_months_check", month, version, of_sites), None, **SETTINGS)
    for site_id, dimension, *sums in rows:
        found[int(site_id)][str(dimension)] = tuple(map(int, sums))
    return [site_id for site_id, sums in sorted(found.items()) if _agree(sums, len(_with_values(of_sites[site_id])))]


def _agree(sums: Mapping[str, tuple[int, ...]], days: int) -> bool:
    """`sums`: (rows, views, events, visits, bounces, engaged ms) of the days' totals and of each dimension's month."""
    rows, *whole = sums.get("total", (0,) * 6)
    # A page is told by its views and events; whole visits stand at the others.
    expected = {name: whole[:2] if name == "path" else whole for name in ROLLED}
    seen = {name: list(sums.get(name, (0,) * 6)[1 : len(expected[name]) + 1]) for name in ROLLED}
    return rows == days and seen == expected


def _filled(name: str, month: date, version: int, of_sites: Versions) -> str:
    pairs = [f"({site_id}, {each})" for site_id, of in sorted(of_sites.items()) for each in _with_values(of)]
    return fill(
        sql_text(name),
        version=str(version),
        sites=f"({', '.join(map(str, sorted(of_sites)))})",
        dimensions=", ".join(f"'{name}'" for name in ROLLED),
        first_date=month.isoformat(),
        last_date=last_date(month).isoformat(),
        pairs=", ".join(pairs),
    )


def _with_values(of: Mapping[date, int]) -> list[int]:
    return [version for version in sorted(of.values()) if has_values(version)]
