"""Summing the closed days of whole months: what lists of pages are read from (`server.closed_months`).

A page that is seen every day has a row in `daily` for each; over months that is most of what such a list reads. Rows of
a month are rows of `daily` under its last date and a version of their own, of the dimensions `ROLLED`.
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


def write_month(
    connection: BlockConnection, month: date, version: int, of_sites: Mapping[int, Mapping[date, int]]
) -> None:
    """Write the rows of a month of some sites under this version. `of_sites`: the versions of each site's days."""
    last = last_date(month)
    # Before anything else of this version, so that whatever a crash leaves can be found.
    connection.insert_rows(_BEGUN, [(site_id, last, version, 0) for site_id in sorted(of_sites)])
    pairs = [
        f"({site_id}, {of_day})"
        for site_id, versions in sorted(of_sites.items())
        for of_day in sorted(versions.values())
        if has_values(of_day)
    ]
    if not pairs:
        return
    statement = fill(
        sql_text("closing_months"),
        version=str(version),
        sites=f"({', '.join(map(str, sorted(of_sites)))})",
        dimensions=", ".join(f"'{name}'" for name in ROLLED),
        first_date=month.isoformat(),
        last_date=last.isoformat(),
        pairs=", ".join(pairs),
    )
    connection.command(statement, **SETTINGS)
