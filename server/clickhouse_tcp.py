"""One native connection that sends our ready-made blocks, on clickhouse-driver's connection.

The driver speaks the protocol (hello, query packet, settings, exceptions, TLS, replicas); the rows never pass through
it: between the sample block and the terminator we write the frames that `core_ext` made. The order of calls is that of
the driver's own INSERT. `client_revision` is pinned: 54453 is the last revision without the per-column serialization
byte, and without per-block profile events that stall a long INSERT when nobody reads them.

An INSERT is one block and one query. It either returns, and then the rows are stored, or raises, and then the outcome
is unknown unless the caller asks for the batch: closing a native connection after a complete block, even without the
terminator, still commits it. After any exception the connection is closed; the next call opens a new one.

Not thread-safe: one connection per flusher thread.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from clickhouse_driver import Client
from clickhouse_driver import errors as driver_errors
from clickhouse_driver.block import RowOrientedBlock
from clickhouse_driver.protocol import ClientPacketTypes, ServerPacketTypes
from clickhouse_driver.varint import write_varint
from clickhouse_driver.writer import write_binary_str

from server.block_frames import FrameDamaged, FrameReader
from server.clickhouse_url import ClickHouseAddress
from server.patient_socket import OnWait, connect_patiently
from server.retry import SchemaMismatch

CLIENT_REVISION = 54_453
"""See the module's text."""
EXCEPTION_AFTER_CUT_S = 1.0
"""When the server closes while we write, it has often sent the reason first: wait this long to read it."""
EVERY_SHARD = "/* on every shard */"
"""Stands in a command where `ON CLUSTER` would where there is no Keeper: the command is sent to each shard in turn."""
MAX_PARTITIONS_PER_BLOCK = 1
"""A segment holds one partition, and only then is an INSERT atomic. The server refuses anything else."""

Buffer = bytes | bytearray | memoryview
Row = tuple[Any, ...]

# The driver logs each failed connect with a traceback; the flusher reports the same failure once, classified.
logging.getLogger("clickhouse_driver.connection").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Target:
    """A table and the columns of our blocks for it, in block order, with the types that the blocks have."""

    table: str
    columns: tuple[tuple[str, str], ...]

    @property
    def insert_statement(self) -> str:
        """The INSERT that announces a block."""
        return f"INSERT INTO {self.table} ({', '.join(quoted(name) for name, _ in self.columns)}) VALUES"

    def check(self, sample: Sequence[tuple[str, str]]) -> None:
        """Compare with the sample block of the server. Raises `SchemaMismatch` naming the first differing column."""
        theirs = dict(sample)
        for name, type_ in self.columns:
            if name not in theirs:
                raise SchemaMismatch(f"{self.table} has no column {name}: run `footfall migrate`")
            if canonical_type(theirs[name]) != canonical_type(type_):
                raise SchemaMismatch(f"{self.table}.{name} is {theirs[name]}, this program writes {type_}")
        if [name for name, _ in sample] != [name for name, _ in self.columns]:
            raise SchemaMismatch(f"{self.table} announces other columns than were asked for")


def canonical_type(type_: str) -> str:
    """A ClickHouse type without the spaces that have no meaning in it."""
    return re.sub(r"\s*([=,()])\s*", r"\1", type_.strip())


def quoted(name: str) -> str:
    """A column's name as statements take it: those of nested columns have a dot."""
    return f"`{name}`" if "." in name else name


def driver_options(address: ClickHouseAddress) -> dict[str, Any]:
    """What the driver's `Client` takes to reach an address; nothing is connected yet."""
    (host, port), *others = address.hosts
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "alt_hosts": ",".join(_host_text(*other) for other in others) or None,
        "database": address.database,
        "user": address.user,
        "password": address.password,
        "client_name": "footfall",
        "connect_timeout": address.connect_timeout_s,
        "send_receive_timeout": address.send_receive_timeout_s,
        "sync_request_timeout": address.connect_timeout_s,
        "compression": "lz4",
        "tcp_keepalive": True,
    }
    if address.secure:
        options |= {"secure": True, "verify": address.verify, "ca_certs": address.ca_file}
    return options


class BlockConnection:
    """A connection to one shard's replicas: the first that answers is used, the next one after a failure."""

    def __init__(
        self, address: ClickHouseAddress, *, settings: Mapping[str, Any] | None = None, on_wait: OnWait | None = None
    ) -> None:
        """`on_wait` is called about once a second while the connection waits for the server; it must not raise."""
        self.address = address
        self.may_have_sent = False
        """Set once bytes of a block were written; whoever cares clears it first."""
        options = {**driver_options(address), "client_revision": CLIENT_REVISION}
        self._client = Client(**options, settings={**(settings or {})})
        if on_wait is not None:
            connection = self._client.connection
            create = connection._create_socket  # the driver has no other place to give it a socket
            connection._create_socket = lambda *host: connect_patiently(partial(create, *host), on_wait)

    def insert_block(
        self,
        target: Target,
        parts: Sequence[Buffer],
        *,
        token: str,
        query_id: str,
        while_waiting: Callable[[], None] | None = None,
    ) -> None:
        """Store one block: `parts` are its compressed frames. Returns when the server has acknowledged it.

        `while_waiting` is called once everything is sent, while the server works; it must not raise.
        """
        self.insert_blocks(target, [parts], token=token, query_id=query_id, while_waiting=while_waiting)

    def insert_blocks(
        self,
        target: Target,
        blocks: Iterable[Sequence[Buffer]],
        *,
        token: str,
        query_id: str,
        while_waiting: Callable[[], None] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Store several blocks by one INSERT, which is atomic only where the server makes one part of them."""
        client = self._client
        try:
            client.establish_connection({**self._insert_settings(token), **(settings or {})})
            connection = client.connection
            connection.server_info.session_timezone = None
            connection.send_query(target.insert_statement, query_id=query_id)
            connection.send_external_tables(None)
            target.check(client.receive_sample_block().columns_with_types)
            self.may_have_sent = True
            for parts in blocks:
                self._send_frames(parts)
            connection.send_data(RowOrientedBlock())
            connection.fout.flush()
            if while_waiting is not None:
                while_waiting()
            client.receive_end_of_insert_query()
        except BaseException:
            client.disconnect()
            raise

    def _send_frames(self, parts: Sequence[Buffer]) -> None:
        """The data packet: its type, no table name, then our frames straight to the socket."""
        connection = self._client.connection
        write_varint(ClientPacketTypes.DATA, connection.fout)
        write_binary_str("", connection.fout)
        try:
            connection.fout.flush()
            for part in parts:
                connection.socket.sendall(part)
        except OSError as error:
            raise self._exception_behind(error) from error

    def _exception_behind(self, cut: OSError) -> Exception:
        """The server's own reason when it closed the connection while we wrote, else `cut`."""
        connection = self._client.connection
        try:
            connection.socket.settimeout(EXCEPTION_AFTER_CUT_S)
            packet = connection.receive_packet()
        except (OSError, EOFError, driver_errors.Error):
            return cut
        if packet.type == ServerPacketTypes.EXCEPTION and packet.exception is not None:
            reason: Exception = packet.exception
            return reason
        return cut

    def _insert_settings(self, token: str) -> dict[str, Any]:
        # A server that lost us inside a block would otherwise hold the half INSERT for its own 300 s, unkillable.
        silence_s = math.ceil(self.address.send_receive_timeout_s)
        return {
            "receive_timeout": silence_s,
            "send_timeout": silence_s,
            "async_insert": 0,  # on by default since 26.3; an acknowledgement must mean a written part
            "insert_deduplicate": 1,
            "insert_deduplication_token": token,
            "max_partitions_per_insert_block": MAX_PARTITIONS_PER_BLOCK,
            "throw_on_max_partitions_per_insert_block": 1,
            "optimize_on_insert": 0,  # plain MergeTree has nothing to collapse
        }

    def select(self, query: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> list[Row]:
        """Rows of a query; `%(name)s` parameters are quoted by the driver."""
        rows: list[Row] = self._client.execute(query, dict(parameters or {}) or None, settings=settings or None)
        return rows

    def select_blocks(
        self, query: str, parameters: Mapping[str, Any], **settings: Any
    ) -> Generator[list[bytes], None, int]:
        """The answer as it comes over the wire: the compressed frames of each block that has rows, as `insert_blocks`
        takes them. Nothing is decoded, and one block is held at a time.

        Raises what the driver raises, and `FrameDamaged`. Ends by returning the number of rows.
        """
        client = self._client
        rows = announced = given = 0
        try:
            client.establish_connection({**settings, "send_profile_events": 0})
            connection = client.connection
            connection.server_info.session_timezone = None
            connection.block_in = FrameReader(connection)
            connection.send_query(client.substitute_params(query, parameters, connection.context))
            connection.send_external_tables(None)
            while (packet := connection.receive_packet()).type != ServerPacketTypes.END_OF_STREAM:
                if packet.type == ServerPacketTypes.EXCEPTION:
                    raise packet.exception
                if packet.type == ServerPacketTypes.PROFILE_INFO:
                    rows, announced = packet.profile_info.rows, packet.profile_info.blocks
                elif packet.type == ServerPacketTypes.DATA and not packet.block.is_bare:
                    given += 1
                    yield packet.block.frames
            if given != announced:
                raise FrameDamaged(f"ClickHouse announced {announced} blocks and sent {given}")
            return rows
        finally:
            # The reader of frames is the connection's: the next call opens one that decodes.
            client.disconnect()

    def insert_rows(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Store a few rows of Python values by `INSERT INTO … (…) VALUES`; for blocks of many see `insert_block`."""
        # A block of theirs that was deleted may be stored again, whatever its hash.
        settings = {"insert_deduplicate": 0, "async_insert": 0}
        self._client.execute(statement, rows, settings=settings)

    def command(self, statement: str, **settings: Any) -> None:
        """A statement without rows; on each shard if it says so (`EVERY_SHARD`), this one first."""
        self._client.execute(statement, settings=settings or None)
        for other in self.address.other_shards if EVERY_SHARD in statement else ():
            connection = BlockConnection(dataclasses.replace(other, database=self.address.database))
            try:
                connection.command(statement, **settings)
            finally:
                connection.close()

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        self._client.disconnect()


def _host_text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
