"""Destroying a site's rows in ClickHouse, so that the law of accounting still holds afterwards.

Order, each step safe to repeat: for each month the ledger gets a line for what is about to go (`destroyed`, by hour and
batch), then the rows go from `events`; then all rows go from every other table that has a `site_id`; then the parts are
written anew without them, since a deleted row stays on the disk otherwise. The ledger itself keeps its counts: what was
answered has been answered.

Rows go by the time of their batch, up to a second that the caller chose. Who calls has made sure that every hit of
those batches is stored (`server.app_database.minimum_watermark`): a batch that came later would not be counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from server.clickhouse_tcp import BlockConnection
from server.deduplication import send_again
from server.migrate import SchemaForm
from server.queries import run_query

Progress = Callable[[int, int, str], None]
"""Told (steps done, steps in all, what is done now); may raise to end the work."""

MUTATION_POLL_S = 0.2

# What ClickHouse's mutations wait for is ours to ask: a connection would time out on a long one.
_IN_BACKGROUND = {"mutations_sync": 0, "lightweight_deletes_sync": 0}

# `bot_reasons` of the lines numbers a site's destructions, and has 16 bits.
MOST_DESTRUCTIONS = 0xFFFF


class MutationFailed(Exception):
    """ClickHouse cannot carry out a deletion at the moment; `str()` says which table. It goes on trying by itself."""


def next_number(connection: BlockConnection, site_id: int) -> int:
    """The number that the lines of a site's next destruction get."""
    ((number,),) = run_query(connection, "destruction_number", site_id=site_id)
    return min(int(number) + 1, MOST_DESTRUCTIONS)


def sites_with_rows(connection: BlockConnection, form: SchemaForm, site_ids: Sequence[int]) -> list[int]:
    """Which of these sites have rows in any table but the ledger, whose counts stay."""
    found: set[int] = set()
    for (table,) in run_query(connection, "tables_of_sites"):
        if str(table) != form.ledger:
            everywhere = str(table).removesuffix("_local")
            question = f"SELECT DISTINCT site_id FROM {everywhere} WHERE site_id IN %(site_ids)s"  # noqa: S608 - our table
            found |= {int(site_id) for (site_id,) in connection.select(question, {"site_ids": list(site_ids)})}
    return sorted(found)


class RowsOfSite:
    """A site's rows in every table. Not thread-safe; `progress` is called from the caller's thread."""

    def __init__(
        self, connection: BlockConnection, form: SchemaForm, site_id: int, until_s: int, number: int, progress: Progress
    ) -> None:
        """`until_s`: the last second whose batches go. `number`: of `next_number`, the same in each repetition."""
        self._connection = connection
        self._form = form
        self._site_id = site_id
        self._until_s = until_s
        self._number = number
        self._tell = progress
        self._done = 0
        self._steps = 0

    def destroy(self, forget_closed_days: Callable[[], None]) -> None:
        """See the module. `forget_closed_days` is called once nothing of `events` is left and before closed rows go.

        Raises what ClickHouse's driver raises, `MutationFailed`, and what `progress` raises.
        """
        months = [(int(str(month)), bool(is_counted)) for month, is_counted in self._run("destruction_months")]
        tables = [str(table) for (table,) in run_query(self._connection, "tables_of_sites")]
        others = [table for table in tables if table not in (self._form.events, self._form.ledger)]
        self._steps = len(months) + len(others) + len(tables) + 1
        for month, is_counted in months:
            if is_counted:
                self._post(month)
            self._delete(
                self._form.events,
                f"toYYYYMM(hour) = {month} AND batch_time <= toDateTime({self._until_s}, 'UTC')",
                f"rows of {month // 100}-{month % 100:02d}",
            )
        self._delete(
            self._form.ledger, f"import_id != 0 AND batch_time <= toDateTime({self._until_s}, 'UTC')", "imports"
        )
        forget_closed_days()
        for table in others:
            self._delete(table, "1", table.removesuffix("_local").replace("_", " "))
        for table in tables:
            if self._has_masked_parts(table):
                self._command(f"ALTER TABLE {table} {self._form.on_cluster} APPLY DELETED MASK", table, "files on disk")
            else:
                self._step_done("files on disk")

    def _post(self, month: int) -> None:
        """Raises `TokensUsedUp`."""

        def is_posted() -> bool:
            return bool(self._run("destruction_posted", month=month))

        def post(token: str) -> None:
            settings = {"insert_deduplicate": 1, "insert_deduplication_token": token, "async_insert": 0}
            if self._form.cluster:
                settings["insert_distributed_sync"] = 1
            run_query(self._connection, "destruction_post", **self._parameters(month=month), settings=settings)

        if not is_posted():
            token = f"destroy-{self._site_id}-{self._number}-{month}"
            send_again(self._connection, self._form.ledger, token, post, is_posted)

    def _delete(self, table: str, condition: str, what: str) -> None:
        """Delete rows, if there are any: a mutation looks at every part of a table, other sites' too."""
        those = f"WHERE site_id = {self._site_id} AND {condition}"
        everywhere = table.removesuffix("_local")
        if self._connection.select(f"SELECT 1 FROM {everywhere} {those} LIMIT 1"):  # noqa: S608 - our tables and numbers
            self._command(f"DELETE FROM {table} {self._form.on_cluster} {those}", table, what)  # noqa: S608 - likewise
        else:
            self._step_done(what)

    def _has_masked_parts(self, table: str) -> bool:
        """Whether rows that were deleted are still on some disk."""
        question = (
            f"SELECT 1 FROM {self._system('parts')} "  # noqa: S608 - a checked cluster name
            "WHERE database = currentDatabase() AND table = %(table)s AND active AND has_lightweight_delete LIMIT 1"
        )
        return bool(self._connection.select(question, {"table": table}))

    def _command(self, statement: str, table: str, what: str) -> None:
        """Start a mutation and return when it has been carried out everywhere."""
        self._tell(self._done, self._steps, what)
        self._connection.command(statement, **_IN_BACKGROUND)
        ours = {str(number) for number, _ in self._unfinished(table)}
        while True:
            waiting = [(number, reason) for number, reason in self._unfinished(table) if number in ours]
            if not waiting:
                break
            if any(reason for _, reason in waiting):
                raise MutationFailed(table)
            self._tell(self._done, self._steps, what)
            time.sleep(MUTATION_POLL_S)
        self._step_done(what)

    def _step_done(self, what: str) -> None:
        self._done += 1
        self._tell(self._done, self._steps, what)

    def _unfinished(self, table: str) -> Sequence[tuple[str, str]]:
        """Mutations of a table that are not done on some replica, with the reason of a failure."""
        question = (
            f"SELECT mutation_id, latest_fail_reason FROM {self._system('mutations')} "  # noqa: S608 - a checked cluster name
            "WHERE database = currentDatabase() AND table = %(table)s AND NOT is_done"
        )
        return [(str(number), str(reason)) for number, reason in self._connection.select(question, {"table": table})]

    def _system(self, table: str) -> str:
        """A table of the server about itself, on every node."""
        cluster = self._form.cluster
        return f"clusterAllReplicas('{cluster}', system.{table})" if cluster else f"system.{table}"

    def _run(self, name: str, **parameters: object) -> list[tuple[object, ...]]:
        return run_query(self._connection, name, **self._parameters(**parameters))

    def _parameters(self, **parameters: object) -> dict[str, object]:
        return {"site_id": self._site_id, "until_s": self._until_s, "number": self._number, **parameters}
