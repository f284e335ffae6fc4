"""ClickHouse's varuint: seven bits a byte, low bits first, the high bit says that more follow."""

from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    # 64 bits in groups of seven.
    VARINT_MAX_BYTES = 10


cdef inline size_t varint_bytes(uint64_t value) noexcept nogil:
    cdef size_t size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


cdef inline size_t write_varint(uint8_t* out, uint64_t value) noexcept nogil:
    """Writes at most VARINT_MAX_BYTES and returns how many."""
    cdef size_t size = 0
    while value >= 0x80:
        out[size] = <uint8_t>(value | 0x80)
        value >>= 7
        size += 1
    out[size] = <uint8_t>value
    return size + 1
