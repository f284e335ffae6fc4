"""Frames: LZ4 and CityHash128 around the bytes of a block. The layout stands in frames.pxd.

`write_frames` cuts a list of pieces into frames of equal raw size, across the pieces' borders, without the GIL. A
piece that holds a whole frame is compressed where it lies; smaller ones are gathered first.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from core_ext.cityhash cimport Pair, cityhash128
from core_ext.column cimport Piece, Pieces
from core_ext.lz4_block cimport TABLE_ENTRIES, lz4_bound, lz4_compress


cdef size_t frames_bound(size_t raw_bytes, size_t frame_raw_bytes) noexcept nogil:
    """Room that `write_frames` needs."""
    cdef size_t whole = raw_bytes // frame_raw_bytes
    return (
        (whole + 1) * (FRAME_HASH_BYTES + FRAME_HEAD_BYTES)
        + whole * lz4_bound(frame_raw_bytes)
        + lz4_bound(raw_bytes % frame_raw_bytes)
    )


cdef inline uint8_t* write_frame(const uint8_t* raw, uint32_t size, uint8_t* out, uint32_t* table) noexcept nogil:
    cdef uint8_t* head = out + FRAME_HASH_BYTES
    cdef uint32_t packed = FRAME_HEAD_BYTES + <uint32_t>lz4_compress(raw, size, head + FRAME_HEAD_BYTES, table)
    cdef Pair hashed
    head[0] = FRAME_METHOD_LZ4
    memcpy(head + 1, &packed, sizeof(packed))
    memcpy(head + 5, &size, sizeof(size))
    hashed = cityhash128(head, packed)
    memcpy(out, &hashed.low, sizeof(uint64_t))
    memcpy(out + 8, &hashed.high, sizeof(uint64_t))
    return head + packed


cdef size_t write_frames(const Pieces* pieces, size_t frame_raw_bytes, uint8_t* out) noexcept nogil:
    """Bytes written; 0: out of memory (a block is never empty). `out` has `frames_bound` bytes."""
    cdef uint32_t* table = <uint32_t*>malloc(TABLE_ENTRIES * sizeof(uint32_t))
    cdef uint8_t* gathered = <uint8_t*>malloc(frame_raw_bytes)
    cdef uint8_t* start = out
    cdef size_t i, left, size, filled = 0
    cdef const uint8_t* at
    if table != NULL and gathered != NULL:
        for i in range(pieces.count):
            at = pieces.list[i].at
            left = pieces.list[i].size_bytes
            while left:
                if filled == 0 and left >= frame_raw_bytes:
                    size = frame_raw_bytes
                    out = write_frame(at, <uint32_t>size, out, table)
                else:
                    size = frame_raw_bytes - filled
                    if size > left:
                        size = left
                    memcpy(gathered + filled, at, size)
                    filled += size
                    if filled == frame_raw_bytes:
                        out = write_frame(gathered, <uint32_t>filled, out, table)
                        filled = 0
                at += size
                left -= size
        if filled:
            out = write_frame(gathered, <uint32_t>filled, out, table)
    free(table)
    free(gathered)
    return out - start


def frame_block(const uint8_t[::1] raw not None, *, size_t frame_raw_bytes=FRAME_RAW_MAX_BYTES):
    """The bytes of a block as frames of `frame_raw_bytes` raw bytes; the last one may be shorter."""
    cdef Piece piece
    cdef Pieces pieces
    cdef size_t bound, size
    cdef uint8_t* out
    if not 1 <= frame_raw_bytes <= FRAME_RAW_MAX_BYTES:
        raise ValueError(f"frame_raw_bytes: {frame_raw_bytes} is not 1 to {FRAME_RAW_MAX_BYTES}")
    if raw.shape[0] == 0:
        return b""
    piece.at = &raw[0]
    piece.size_bytes = raw.shape[0]
    pieces.list = &piece
    pieces.count = pieces.capacity = 1
    bound = frames_bound(piece.size_bytes, frame_raw_bytes)
    out = <uint8_t*>malloc(bound)
    if out == NULL:
        raise MemoryError
    try:
        with nogil:
            size = write_frames(&pieces, frame_raw_bytes, out)
        if size == 0:
            raise MemoryError
        return PyBytes_FromStringAndSize(<char*>out, size)
    finally:
        free(out)


def hash_128(const uint8_t[::1] data not None):
    """CityHash128 as the 16 bytes that stand before a frame."""
    cdef Pair hashed
    cdef uint8_t[16] out
    cdef const uint8_t* at = NULL
    if data.shape[0]:
        at = &data[0]
    hashed = cityhash128(at, data.shape[0])
    memcpy(out, &hashed.low, sizeof(uint64_t))
    memcpy(<uint8_t*>out + 8, &hashed.high, sizeof(uint64_t))
    return PyBytes_FromStringAndSize(<char*>out, 16)


def lz4_block(const uint8_t[::1] raw not None):
    """One LZ4 block without any size before it."""
    cdef uint32_t* table
    cdef uint8_t* out
    cdef size_t size
    if raw.shape[0] == 0:
        return b"\0"
    if <uint64_t>raw.shape[0] >= <uint64_t>1 << 32:
        raise ValueError("an LZ4 block here is under 4 GiB")
    table = <uint32_t*>malloc(TABLE_ENTRIES * sizeof(uint32_t))
    out = <uint8_t*>malloc(lz4_bound(raw.shape[0]))
    try:
        if table == NULL or out == NULL:
            raise MemoryError
        with nogil:
            size = lz4_compress(&raw[0], raw.shape[0], out, table)
        return PyBytes_FromStringAndSize(<char*>out, size)
    finally:
        free(table)
        free(out)
