"""Bytes of columns: plain values, Strings, and the list of pieces that a block consists of.

Every buffer here is allocated once, at the size that the checking pass counted. `text_put` still asks whether the bytes
fit, so a segment that changes underneath costs an error, never memory.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from core_ext.varint cimport varint_bytes, write_varint


cdef inline uint8_t* put_u64(uint8_t* out, uint64_t value) noexcept nogil:
    memcpy(out, &value, sizeof(value))
    return out + sizeof(value)


cdef inline uint8_t* put_bytes(uint8_t* out, const uint8_t* source, size_t size_bytes) noexcept nogil:
    if size_bytes:
        memcpy(out, source, size_bytes)
    return out + size_bytes


cdef inline uint8_t* put_string(uint8_t* out, const uint8_t* text, size_t size_bytes) noexcept nogil:
    out += write_varint(out, size_bytes)
    return put_bytes(out, text, size_bytes)


cdef inline uint8_t* write_block_head(uint8_t* out, size_t columns, size_t rows, bint block_info) noexcept nogil:
    """What stands before the first column. BlockInfo (not an overflow block, no bucket) only on TCP."""
    cdef uint8_t* info = [1, 0, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0]
    if block_info:
        out = put_bytes(out, info, 8)
    out += write_varint(out, columns)
    return out + write_varint(out, rows)


# A String column, or the values of a Map: texts one after the other, each with its length.
cdef struct TextColumn:
    uint8_t* start
    size_t size_bytes
    size_t capacity_bytes


cdef inline bint text_open(TextColumn* column, size_t capacity_bytes) noexcept nogil:
    """False: out of memory. The struct must have been zeroed."""
    column.start = <uint8_t*>malloc(capacity_bytes if capacity_bytes else 1)
    column.capacity_bytes = capacity_bytes
    return column.start != NULL


cdef inline void text_close(TextColumn* column) noexcept nogil:
    free(column.start)
    column.start = NULL


cdef inline bint text_put(TextColumn* column, const uint8_t* text, size_t size_bytes) noexcept nogil:
    """False: more text than was counted."""
    cdef uint8_t* out = column.start + column.size_bytes
    if varint_bytes(size_bytes) + size_bytes > column.capacity_bytes - column.size_bytes:
        return False
    column.size_bytes = put_string(out, text, size_bytes) - column.start
    return True


# A run of a block's bytes. It borrows.
cdef struct Piece:
    const uint8_t* at
    size_t size_bytes


cdef struct Pieces:
    Piece* list
    size_t count
    size_t capacity


cdef inline bint pieces_open(Pieces* pieces, size_t capacity) noexcept nogil:
    """False: out of memory. The struct must have been zeroed."""
    pieces.list = <Piece*>malloc(capacity * sizeof(Piece))
    pieces.capacity = capacity
    return pieces.list != NULL


cdef inline void pieces_close(Pieces* pieces) noexcept nogil:
    free(pieces.list)
    pieces.list = NULL


cdef inline void pieces_add(Pieces* pieces, const uint8_t* at, size_t size_bytes) noexcept nogil:
    """Joined to the piece before when it continues it. The capacity is a count of the columns' pieces, made before."""
    if size_bytes == 0:
        return
    if pieces.count and pieces.list[pieces.count - 1].at + pieces.list[pieces.count - 1].size_bytes == at:
        pieces.list[pieces.count - 1].size_bytes += size_bytes
        return
    pieces.list[pieces.count].at = at
    pieces.list[pieces.count].size_bytes = size_bytes
    pieces.count += 1


cdef inline size_t pieces_bytes(const Pieces* pieces) noexcept nogil:
    cdef size_t total = 0, i
    for i in range(pieces.count):
        total += pieces.list[i].size_bytes
    return total
