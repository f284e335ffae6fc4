"""Segment → ClickHouse Native block.

Promises:

- The block is a pure function of the segment's bytes, the list of records and `batch_id`: a replay sends the same.
- Rows stand in the order of the table's key (site_id, hour, visitor_id, time); among equals in segment order.
- All rows belong to one partition, the header's (retention class, month), and all ledger entries to that month. A
  record of another one is bad.
- A bad record never stops its neighbours: it is listed, the rest is encoded.
- Nothing outside the given buffers is read. They must not change during the call; they are not used after it.
- The GIL is released for the whole batch.

Memory during a call, beside the segment: 48 bytes a record for the sort, about 100 bytes a row of columns plus the
texts of `path`, `referrer` and props, and when framed an upper bound of the frames' size in address space, of which
the frames' real size is touched. Afterwards a bare block holds its columns, a framed one its frames (`held_bytes`).
"""

import enum
from collections.abc import Iterable
from typing import Literal, final

from typing_extensions import Buffer

from core_ext.plan import EVENTS_COLUMNS as EVENTS_COLUMNS
from core_ext.plan import LEDGER_COLUMNS as LEDGER_COLUMNS
from core_ext.plan import OUTCOME_LABELS as OUTCOME_LABELS

class RecordFault(enum.IntEnum):
    """Why a record became neither a row nor a ledger count. Never retriable: its bytes belong in quarantine."""

    OUTSIDE = 1
    """Its offset and length are not inside the segment."""
    TRUNCATED = 2
    """It ends before its fixed fields or its stated lengths do."""
    TOO_LONG = 3
    """It goes on after its stated lengths end."""
    RECORD_KIND = 4
    """Its first byte is neither a hit's nor a short record's."""
    CODE = 5
    """An event kind, device, channel, metric, outcome, flag or scroll depth outside its table."""
    UTF8 = 6
    """A string is not UTF-8."""
    PARTITION = 7
    """Outside the month that the segment's header says, or a hit of another retention class."""
    NUMBER = 8
    """A metric is infinite or not a number."""

class SegmentFault(enum.Enum):
    """Why a segment as a whole was refused. Nothing was encoded. Never retriable."""

    HEADER = "header"
    """Shorter than a header, or not of this version."""
    MONTH = "month"
    """The header's month is not a yyyymm that DateTime holds."""
    CREATED_AT = "created_at"
    """The header's creation time is not one that DateTime holds."""
    CHANGED = "changed"
    """The bytes changed during the call: somebody else writes to this buffer."""

class SegmentError(ValueError):
    """The segment was refused; `fault` says why."""

    fault: SegmentFault
    def __init__(self, fault: SegmentFault, message: str) -> None: ...

@final
class Block:
    """One encoded block, ready for `sendall`, part by part. No rows: no parts, and nothing to send."""

    @property
    def rows(self) -> int: ...
    @property
    def month(self) -> int:
        """yyyymm of the segment's header; of a ledger block, the month of its first hour."""
    @property
    def retention_class(self) -> int: ...
    @property
    def created_at_ms(self) -> int: ...
    @property
    def segment_id(self) -> bytes:
        """16 bytes; empty for a ledger block."""
    @property
    def parts(self) -> list[bytes | memoryview]: ...
    @property
    def parts_bytes(self) -> int:
        """What is sent."""
    @property
    def bare_bytes(self) -> int:
        """The block's size before frames."""
    @property
    def held_bytes(self) -> int:
        """Memory that lives as long as the parts do."""
    @property
    def ledger(self) -> list[tuple[int, int, int, int, int]]:
        """(site_id, hour in seconds, outcome code, bot_reasons, count) of all sound records, sorted."""
    @property
    def bad_records(self) -> list[tuple[int, RecordFault]]:
        """(position in `offsets`, why), in order."""

def build_profile() -> Literal["release", "checked"]:
    """ "checked" has bounds checks and sanitizers: for tests, never for measuring."""

def encode_segment(
    segment: Buffer,
    offsets: Buffer,
    lengths: Buffer,
    *,
    batch_id: str,
    form: Literal["tcp", "file"] = "tcp",
    compress: bool = True,
) -> Block:
    """The `events` block of a segment whose records' CRCs were checked.

    `offsets` and `lengths`: u32 little-endian, one for each record's payload, as `rust_ext.scan_segment` gives them.
    `form`: "tcp" starts with BlockInfo, for a connection of revision < 54454; "file" is FORMAT Native.
    `compress`: LZ4 frames (TCP with compression on; HTTP with `decompress=1`); a `.native` file for clickhouse-client
    must be bare. Raises SegmentError, ValueError for uneven offsets or an unknown form, MemoryError.
    """

def encode_ledger(
    entries: Iterable[tuple[int, int, int, int, int]],
    *,
    batch_id: str,
    batch_time_s: int,
    form: Literal["tcp", "file"] = "tcp",
    compress: bool = True,
) -> Block:
    """The `ledger` block of these counts, one row each, sorted; see `Block.ledger`.

    `batch_time_s`: the segment's creation time (`Block.created_at_ms // 1000`), the anchor of the column TTL. Raises
    KeyError for an outcome code without a label, OverflowError for a number that its column does not hold.
    """
