"""Imported figures in ClickHouse: rows of `daily` whose version is the import's number.

Readers take the versions of imports that are done (`server.imports.rows.figure_versions`), so figures that are being
written, or taken away, are nobody's. Both can be repeated from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from server.clickhouse_tcp import BlockConnection
from server.imports.figures import Figure
from server.migrate import SchemaForm
from server.queries.closed_tables import EMPTY_NAME_ID, NAMED, NO_NAME_ID

# Values of one INSERT, which the driver holds as Python rows.
CHUNK_ROWS = 20_000

_COLUMNS = (
    "site_id",
    "dimension",
    "value",
    "value_id",
    "currency",
    "day",
    "version",
    "visitors",
    "more_visits",
    "pageviews",
    "customs",
    "bounces",
    "engaged_ms",
    "page_engaged_ms",
    "page_visits",
    "scroll_percent",
    "scrolled_pages",
    "retention_class",
)
_INSERT = f"INSERT INTO daily ({', '.join(_COLUMNS)}) VALUES"


class FigureWriter:
    """Writes one import's figures. Collects rows until there are enough for a part."""

    def __init__(self, connection: BlockConnection, site_id: int, import_id: int, retention_class: int) -> None:
        self._connection = connection
        self._site_id = site_id
        self._import_id = import_id
        self._retention_class = retention_class
        self._rows: list[Sequence[object]] = []

    def add(self, day: str, figures: Iterable[Figure]) -> None:
        """Take a day's figures. Raises what the driver raises."""
        day_of_rows = date.fromisoformat(day)
        for figure in figures:
            is_empty_path = figure.dimension in NAMED and not figure.value
            visitors, visits, pageviews, events, _, *others = figure.counts
            self._rows.append(
                (
                    self._site_id,
                    figure.dimension,
                    figure.value,
                    EMPTY_NAME_ID if is_empty_path else NO_NAME_ID,
                    "",
                    day_of_rows,
                    self._import_id,
                    visitors,
                    max(0, visits - visitors),  # where an export tells no visits, each visitor had one
                    pageviews,
                    max(0, events - pageviews),
                    *others,
                    self._retention_class,
                )
            )
        if len(self._rows) >= CHUNK_ROWS:
            self.flush()

    def flush(self) -> None:
        """Store what was taken."""
        if self._rows:
            self._connection.insert_rows(_INSERT, self._rows)
            self._rows = []


def delete_figures(connection: BlockConnection, form: SchemaForm, site_id: int, import_id: int) -> None:
    """Take away all figures of an import; returns when they are gone. Raises what the driver raises."""
    ours = f"site_id = {site_id} AND version = {import_id}"
    ((found,),) = connection.select(f"SELECT count() FROM daily WHERE {ours}")  # noqa: S608 - our tables and numbers
    if found:
        table = form.stored("daily")
        statement = f"DELETE FROM {table} {form.on_cluster} WHERE {ours}"  # noqa: S608 - our tables and numbers
        connection.command(statement, lightweight_deletes_sync=2)


def delete_events(connection: BlockConnection, form: SchemaForm, site_id: int, import_id: int) -> None:
    """Take away all events of an import and the counts that belong to them; returns when they are gone."""
    ours = f"site_id = {site_id} AND import_id = {import_id}"
    for table, stored in (("events", form.events), ("ledger", form.ledger)):
        ((found,),) = connection.select(f"SELECT count() FROM {table} WHERE {ours}")  # noqa: S608 - our tables and numbers
        if found:
            statement = f"DELETE FROM {stored} {form.on_cluster} WHERE {ours}"  # noqa: S608 - our tables and numbers
            connection.command(statement, lightweight_deletes_sync=2)
