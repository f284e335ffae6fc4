"""ClickHouse's compressed frames, and the two algorithms inside them. All release the GIL while they work."""

from typing_extensions import Buffer

def frame_block(raw: Buffer, *, frame_raw_bytes: int = 1048576) -> bytes:
    """The bytes of a block as frames of `frame_raw_bytes` raw bytes each; the last one may be shorter. No bytes: no
    frame. Raises ValueError for a size that is not 1 to 1 MiB."""

def hash_128(data: Buffer) -> bytes:
    """CityHash128, release 1.0.2, as the 16 bytes that stand before a frame."""

def lz4_block(raw: Buffer) -> bytes:
    """One LZ4 block, without a size before it."""
