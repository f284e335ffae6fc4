"""Where the events are: one `Store` from the settings, the same for the embedded server, a server and a cluster.

`serve`'s parent runs the embedded server (`server.embedded`); every process then makes its `Store` with
`configured_store`, which only asks where the server is. CLI commands use `open_store`, which starts the embedded
server when nobody has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from server.batch import targets
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import AddressSource, ClickHouseAddress, ClickHouseUrlError, parse_clickhouse_url
from server.config import PREFIX, SettingError, Settings, masked
from server.embedded import embedded_session, home_folder, published_address
from server.migrate import SchemaForm, migrate
from server.sink import Sink


@dataclass(frozen=True)
class Store:
    """One address per shard, or one for all, and the form of the schema there."""

    addresses: tuple[AddressSource, ...]
    form: SchemaForm

    def make_sink(self, shard: int) -> Sink:
        """A sink for one flusher thread and shard."""
        events, ledger = targets(self.form)
        return Sink(self.addresses[shard % len(self.addresses)], self.form, events, ledger)

    def connection(self) -> BlockConnection:
        """A connection for reading; in a cluster the Distributed tables see every shard from any of them."""
        return BlockConnection(self.addresses[0]())

    def migrate(self) -> list[str]:
        """Bring the schema up to date, where shards are servers of their own on each. Returns what was applied now."""
        places = self.addresses if self.form.cluster and not self.form.replicated else self.addresses[:1]
        applied = [migrate(replace(address(), other_shards=()), self.form) for address in places]
        return sorted({name for names in applied for name in names})


def configured_store(settings: Settings) -> Store:
    """The store that the settings name. Connects to nothing. Raises `SettingError`."""
    form = SchemaForm(settings.cluster, settings.durability.value, settings.cluster_replicated)
    if not settings.clickhouse_url:
        if settings.cluster:
            raise SettingError(f"{PREFIX}CLUSTER", settings.cluster, "empty while clickhouse_url is empty")
        return Store((partial(published_address, home_folder(settings.data_dir)),), form)
    try:
        addresses = parse_clickhouse_url(settings.clickhouse_url)
    except ClickHouseUrlError as error:
        name, value = f"{PREFIX}CLICKHOUSE_URL", masked("clickhouse_url", settings.clickhouse_url)
        raise SettingError(name, value, str(error)) from None
    if len(addresses) not in (1, settings.shards):
        expected = f"one shard, or as many as {PREFIX}CLICKHOUSE_URL names ({len(addresses)})"
        raise SettingError(f"{PREFIX}SHARDS", str(settings.shards), expected)
    if len(addresses) > 1 and not settings.cluster:
        raise SettingError(f"{PREFIX}CLUSTER", "", "the name of a cluster: several shards are read through it")
    if settings.cluster and not settings.cluster_replicated:
        if len(addresses) != settings.shards or any(len(address.hosts) > 1 for address in addresses):
            expected = f"true, unless {PREFIX}CLICKHOUSE_URL names one server for each of {PREFIX}SHARDS"
            raise SettingError(f"{PREFIX}CLUSTER_REPLICATED", "false", expected)
        addresses = tuple(
            replace(address, other_shards=addresses[:number] + addresses[number + 1 :])
            for number, address in enumerate(addresses)
        )
    return Store(tuple(partial(_given, address) for address in addresses), form)


def _given(address: ClickHouseAddress) -> ClickHouseAddress:
    return address


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """A store that answers: the embedded server beside `serve`, or started for as long as the `with` lasts."""
    store = configured_store(settings)
    if settings.clickhouse_url:
        yield store
        return
    with embedded_session(home_folder(settings.data_dir), settings.chdb_library):
        yield store
