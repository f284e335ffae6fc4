"""CityHash128 of the CityHash release 1.0.2: the checksum before each ClickHouse frame.

ClickHouse froze that release; later ones give other values. Written from the algorithm, compared with PyPI's
clickhouse-cityhash and with the plain twin in tests/reference at every length.
"""

from libc.stdint cimport uint8_t, uint64_t

from core_ext.cursor cimport load_u32, load_u64

cdef extern from *:
    """
    static const uint64_t FOOTFALL_CITY_K0 = 0xc3a5c85c97cb3127ULL;
    static const uint64_t FOOTFALL_CITY_K1 = 0xb492b66fbe98f273ULL;
    static const uint64_t FOOTFALL_CITY_K2 = 0x9ae16a3b2f90404fULL;
    static const uint64_t FOOTFALL_CITY_K3 = 0xc949d7c7509e6557ULL;
    static const uint64_t FOOTFALL_CITY_MIX = 0x9ddfea08eb382d69ULL;
    """
    const uint64_t K0 "FOOTFALL_CITY_K0"
    const uint64_t K1 "FOOTFALL_CITY_K1"
    const uint64_t K2 "FOOTFALL_CITY_K2"
    const uint64_t K3 "FOOTFALL_CITY_K3"
    const uint64_t MIX "FOOTFALL_CITY_MIX"


cdef struct Pair:
    uint64_t low
    uint64_t high


cdef inline uint64_t rotate(uint64_t value, unsigned int bits) noexcept nogil:
    """Right, by 1 … 63."""
    return value >> bits | value << (64 - bits)


cdef inline uint64_t fold(uint64_t value) noexcept nogil:
    return value ^ (value >> 47)


cdef inline uint64_t mix(uint64_t low, uint64_t high) noexcept nogil:
    cdef uint64_t first = fold((low ^ high) * MIX)
    return fold((high ^ first) * MIX) * MIX


cdef inline uint64_t hash_upto_16(const uint8_t* data, size_t size) noexcept nogil:
    cdef uint64_t head, tail
    if size > 8:
        tail = load_u64(data + size - 8)
        return mix(load_u64(data), rotate(tail + size, <unsigned int>size)) ^ tail
    if size >= 4:
        return mix(size + (<uint64_t>load_u32(data) << 3), load_u32(data + size - 4))
    if size:
        head = data[0] + (<uint64_t>data[size >> 1] << 8)
        return fold(head * K2 ^ (size + (<uint64_t>data[size - 1] << 2)) * K3) * K2
    return K2


cdef inline Pair weak_32(const uint8_t* data, uint64_t first, uint64_t second) noexcept nogil:
    cdef Pair result
    cdef uint64_t carried
    first += load_u64(data)
    second = rotate(second + first + load_u64(data + 24), 21)
    carried = first
    first += load_u64(data + 8) + load_u64(data + 16)
    second += rotate(first, 44)
    result.low = first + load_u64(data + 24)
    result.high = second + carried
    return result


cdef inline Pair hash_under_128(const uint8_t* data, size_t size, uint64_t a, uint64_t b) noexcept nogil:
    cdef Pair result
    cdef uint64_t c, d
    cdef size_t at = 0
    if size <= 16:
        a = fold(a * K1) * K1
        c = b * K1 + hash_upto_16(data, size)
        d = fold(a + (load_u64(data) if size >= 8 else c))
    else:
        c = mix(load_u64(data + size - 8) + K1, a)
        d = mix(b + size, c + load_u64(data + size - 16))
        a += d
        while at < size - 16:
            a = (a ^ fold(load_u64(data + at) * K1) * K1) * K1
            b ^= a
            c = (c ^ fold(load_u64(data + at + 8) * K1) * K1) * K1
            d ^= c
            at += 16
    a = mix(a, c)
    b = mix(d, b)
    result.low = a ^ b
    result.high = mix(b, a)
    return result


cdef inline Pair hash_from_128(const uint8_t* data, size_t size, uint64_t x, uint64_t y) noexcept nogil:
    """`size` ≥ 128: two rounds of 64 bytes at a time, then 32 at a time backwards from the end."""
    cdef Pair v, w, result
    cdef uint64_t z = size * K1, swap
    cdef size_t at = 0, done = 0, left
    v.low = rotate(y ^ K1, 49) * K1 + load_u64(data)
    v.high = rotate(v.low, 42) * K1 + load_u64(data + 8)
    w.low = rotate(y + z, 35) * K1 + x
    w.high = rotate(x + load_u64(data + 88), 53) * K1
    left = size - size % 128
    while at < left:
        x = rotate(x + y + v.low + load_u64(data + at + 16), 37) * K1 ^ w.high
        y = rotate(y + v.high + load_u64(data + at + 48), 42) * K1 ^ v.low
        z = rotate(z ^ w.low, 33)
        v = weak_32(data + at, v.high * K1, x + w.low)
        w = weak_32(data + at + 32, z + w.high, y)
        swap = z
        z = x
        x = swap
        at += 64
    y += rotate(w.low, 37) * K0 + z
    x += rotate(v.low + z, 49) * K0
    left = size - at
    while done < left:
        done += 32
        y = rotate(y - x, 42) * K0 + v.high
        w.low += load_u64(data + size - done + 16)
        x = rotate(x, 49) * K0 + w.low
        w.low += v.low
        v = weak_32(data + size - done, v.low, v.high)
    x = mix(x, v.low)
    y = mix(y, w.low)
    result.low = mix(x + v.high, w.high) + y
    result.high = mix(x + w.high, y + v.high)
    return result


cdef inline Pair cityhash128(const uint8_t* data, size_t size) noexcept nogil:
    if size < 8:
        return hash_under_128(data, size, K0, K1)
    if size < 16:
        return hash_under_128(data, 0, load_u64(data) ^ size * K0, load_u64(data + size - 8) ^ K1)
    if size < 16 + 128:
        return hash_under_128(data + 16, size - 16, load_u64(data) ^ K3, load_u64(data + 8))
    return hash_from_128(data + 16, size - 16, load_u64(data) ^ K3, load_u64(data + 8))
