"""A bounds-checked reader: the bytes that are left, never a bare pointer.

Every read of segment bytes goes through `take`, which hands out a span only when all of it is there. A Cursor is a
value: copying it forks the position. It borrows; whoever made it keeps the memory alive.

All integers of the row log are little-endian and unaligned, and the loads below copy bytes as they are, so the host
must be little-endian. The check is at compile time.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "core_ext copies little-endian integers as they are: a big-endian host is not supported"
    #endif
    """


cdef struct Cursor:
    const uint8_t* at
    size_t left


cdef inline const uint8_t* take(Cursor* cursor, size_t size_bytes) noexcept nogil:
    """The next `size_bytes`, consumed; NULL, and nothing consumed, when fewer are left."""
    cdef const uint8_t* span = cursor.at
    if size_bytes > cursor.left:
        return NULL
    cursor.at += size_bytes
    cursor.left -= size_bytes
    return span


# Loads from a span that `take` returned, at an offset inside it.

cdef inline uint16_t load_u16(const uint8_t* at) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, at, sizeof(value))
    return value


cdef inline uint32_t load_u32(const uint8_t* at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, sizeof(value))
    return value


cdef inline uint64_t load_u64(const uint8_t* at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, sizeof(value))
    return value


cdef inline int64_t load_i64(const uint8_t* at) noexcept nogil:
    cdef int64_t value
    memcpy(&value, at, sizeof(value))
    return value


cdef inline float load_f32(const uint8_t* at) noexcept nogil:
    cdef float value
    memcpy(&value, at, sizeof(value))
    return value


cdef inline bint same_bytes(const uint8_t* one, const uint8_t* other, size_t size_bytes) noexcept nogil:
    """Both spans hold the same. Inline, as the strings compared here are short: a call of memcmp costs more than they do."""
    cdef uint64_t differing = 0
    cdef size_t i = 0
    if size_bytes >= 8:
        while i + 8 < size_bytes:
            if load_u64(one + i) != load_u64(other + i):
                return False
            i += 8
        return load_u64(one + size_bytes - 8) == load_u64(other + size_bytes - 8)
    if size_bytes >= 4:
        return load_u32(one) == load_u32(other) and load_u32(one + size_bytes - 4) == load_u32(other + size_bytes - 4)
    while i < size_bytes:
        differing |= one[i] ^ other[i]
        i += 1
    return differing == 0
