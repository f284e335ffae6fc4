"""Records of an import as batches for the store, with the import's number in an own column.

Each batch is one (shard, month), like a segment. Its id is made of the import, the chunk and these two, so a chunk that
is made again after a crash has the same ids, and `server.sink` asks for them before it sends anything again. The rows
are encoded by `core_ext` like those of hits; to the bare block a column `import_id` is added, since the encoder knows
only what a segment holds.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core_ext.frames import frame_block
from core_ext.native import EVENTS_COLUMNS, LEDGER_COLUMNS, Block, encode_ledger, encode_segment
from core_ext.plan import stored_string
from server.batch import Batch
from server.clickhouse_tcp import Target
from server.imports.past_events import Judged
from server.imports.rules import yyyymm
from server.migrate import SchemaForm
from server.sink import Sink
from server.store import Store

_COLUMN = ("import_id", "UInt32")
_COLUMN_HEADER = stored_string(_COLUMN[0]) + stored_string(_COLUMN[1])

# BlockInfo of the native protocol; the number of columns follows, in one byte as long as there are fewer than 128.
_BLOCK_INFO = bytes([1, 0, 2, 255, 255, 255, 255, 0])

# The segment's header: rust_ext/ingest/src/segment.rs. Nobody checks the checksum of a segment that was never a file.
_HEADER = struct.Struct("<8sHHI16sqIB15sI")
_MAGIC = b"FFSEGMT\x01"


@dataclass(frozen=True, slots=True)
class ImportedRows:
    """A block with the import's number in each row."""

    rows: int
    parts: Sequence[bytes | memoryview]

    @property
    def parts_bytes(self) -> int:
        """What is sent."""
        return sum(len(part) for part in self.parts)


def import_batches(
    judged: Iterable[Judged], *, import_id: int, created_at_ms: int, chunk: int, retention_class: int, now_ms: int
) -> list[Batch]:
    """The batches of a chunk. The same records give the same ids and rows; `now_ms` is when they are made.

    `created_at_ms` of the import: a database that gives its number out again must not give its batches' ids, too.
    """
    groups: dict[tuple[int, int], list[bytes]] = {}
    for each in judged:
        groups.setdefault((each.shard, yyyymm(each.time_ms)), []).append(each.payload)
    return [
        _batch(
            payloads,
            f"import-{import_id}-{created_at_ms}-{chunk}-{month}-{shard}",
            import_id,
            shard,
            month,
            retention_class,
            now_ms,
        )
        for (shard, month), payloads in sorted(groups.items())
    ]


def _batch(
    payloads: list[bytes], batch_id: str, import_id: int, shard: int, month: int, retention_class: int, now_ms: int
) -> Batch:
    segment = bytearray(_HEADER.pack(_MAGIC, 1, _HEADER.size, shard, bytes(16), now_ms, month, retention_class, b"", 0))
    offsets, lengths = array("I"), array("I")
    for payload in payloads:
        offsets.append(len(segment))
        lengths.append(len(payload))
        segment += payload
    events = encode_segment(
        segment, offsets.tobytes(), lengths.tobytes(), batch_id=batch_id, form="tcp", compress=False
    )
    assert not events.bad_records, "the core made these records"
    ledger = encode_ledger(events.ledger, batch_id=batch_id, batch_time_s=now_ms // 1000, form="tcp", compress=False)
    return Batch(
        id=batch_id,
        shard=shard,
        created_at_ms=now_ms,
        segment_bytes=len(segment),
        records=len(payloads),
        lost_records=0,
        damage=(),
        entries=tuple(events.ledger),
        events=with_import_id(events, len(EVENTS_COLUMNS), import_id),
        ledger=with_import_id(ledger, len(LEDGER_COLUMNS), import_id),
    )


def with_import_id(block: Block, columns: int, import_id: int) -> ImportedRows:
    """A bare block of so many columns as frames, with one column more."""
    if not block.rows:
        return ImportedRows(0, ())
    raw = b"".join(block.parts)
    start = len(_BLOCK_INFO)
    assert raw[: start + 1] == _BLOCK_INFO + bytes([columns]), "core_ext frames a block like this"
    column = _COLUMN_HEADER + struct.pack("<I", import_id) * block.rows
    extended = _BLOCK_INFO + bytes([columns + 1]) + raw[start + 1 :] + column
    return ImportedRows(block.rows, (frame_block(extended),))


def import_targets(form: SchemaForm) -> tuple[Target, Target]:
    """Where the rows and the counts of imports go."""
    return Target(form.events, (*EVENTS_COLUMNS, _COLUMN)), Target(form.ledger, (*LEDGER_COLUMNS, _COLUMN))


def import_sink(store: Store, shard: int) -> Sink:
    """A sink for the batches of one shard."""
    return Sink(store.addresses[shard % len(store.addresses)], store.form, *import_targets(store.form))
