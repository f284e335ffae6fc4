"""The store as those who close days reach it: a connection that may write the closed tables, and the form of these."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from server.clickhouse_tcp import BlockConnection
from server.config import Settings
from server.migrate import SchemaForm
from server.store import open_store

ClosingConnection = BlockConnection


@dataclass(frozen=True)
class ClosingStore:
    """Belongs to one thread."""

    connection: ClosingConnection
    form: SchemaForm


@contextmanager
def open_closing_store(settings: Settings, *, migrates: bool = False) -> Iterator[ClosingStore]:
    """The configured store for as long as the `with` lasts; first brought up to date when asked."""
    with open_store(settings) as store:
        if migrates:
            store.migrate()
        connection = store.connection()
        try:
            yield ClosingStore(connection, store.form)
        finally:
            connection.close()


@contextmanager
def open_nodes(settings: Settings) -> Iterator[list[ClosingConnection]]:
    """A connection to each shard, for what has to be done on each of them."""
    with open_store(settings) as store, ExitStack() as stack:
        yield [stack.enter_context(closing(BlockConnection(address()))) for address in store.addresses]
