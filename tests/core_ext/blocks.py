"""Short ways to a block and to its expectation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from core_ext.native import Block, encode_segment
from tests.reference import native_block
from tests.reference.records import Hit, Segment, Short

BATCH_ID = "00112233445566778899aabbccddeeff"


def encode(segment: Segment, *, form: Literal["tcp", "file"] = "tcp", compress: bool = False) -> Block:
    """The block of all records of a segment."""
    return encode_segment(
        segment.data, segment.offsets, segment.lengths, batch_id=BATCH_ID, form=form, compress=compress
    )


def sent(block: Block) -> bytes:
    """What would go over the wire."""
    return b"".join(block.parts)


def rows_of(records: Sequence[Hit | Short], segment: Segment) -> list[native_block.Row]:
    """The rows that the block must hold, in order."""
    return native_block.sorted_rows(records, batch_id=BATCH_ID, batch_time_s=segment.created_at_ms // 1000)


def expected(records: Sequence[Hit | Short], segment: Segment, *, form: Literal["tcp", "file"] = "tcp") -> bytes:
    """The block as the plain twin writes it."""
    return native_block.encode(rows_of(records, segment), form=form)
