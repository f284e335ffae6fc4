"""clickhouse-driver's columnar insert path from ready columns to its socket, which here counts bytes instead.

That is `Client.execute(…, columnar=True)` from the block on: the same block class, the same block streams, the same
buffered writer. What it leaves out is slicing the columns, the kernel and the server, so the driver looks as fast as it
can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clickhouse_driver import defines
from clickhouse_driver.block import ColumnOrientedBlock
from clickhouse_driver.bufferedwriter import BufferedSocketWriter
from clickhouse_driver.client import Client
from clickhouse_driver.compression.lz4 import Compressor
from clickhouse_driver.context import Context
from clickhouse_driver.streams.compressed import CompressedBlockOutputStream
from clickhouse_driver.streams.native import BlockOutputStream

# The last revision without a serialization byte per column: what our connection speaks as well.
REVISION = 54_453


class CountingSocket:
    """Takes what the driver sends; keeps it only when asked to."""

    def __init__(self, *, keep: bool = False) -> None:
        self.sent_bytes = 0
        self.kept: list[bytes] | None = [] if keep else None

    def sendall(self, data: bytes) -> None:
        """As a socket's."""
        self.sent_bytes += len(data)
        if self.kept is not None:
            self.kept.append(bytes(data))


class _Server:
    used_revision = REVISION

    def get_timezone(self) -> str:
        return "UTC"


def driver_context() -> Context:
    """What the driver's streams ask about, as a client without special settings has it."""
    context = Context()
    context.client_settings = Client("127.0.0.1").connection.context.client_settings
    context.server_info = _Server()
    return context


class DriverColumns:
    """One table's columns, written by the driver as often as asked."""

    def __init__(self, columns: Sequence[tuple[str, str]], data: list[list[Any]], *, compress: bool) -> None:
        self._columns = list(columns)
        self._data = data
        self._compress = compress
        self._context = driver_context()

    def write(self, socket: CountingSocket) -> None:
        """One block into `socket`."""
        out = BufferedSocketWriter(socket, defines.BUFFER_SIZE)
        if self._compress:
            stream = CompressedBlockOutputStream(Compressor, defines.DEFAULT_COMPRESS_BLOCK_SIZE, out, self._context)
        else:
            stream = BlockOutputStream(out, self._context)
        stream.write(ColumnOrientedBlock(self._columns, self._data, types_check=False))
