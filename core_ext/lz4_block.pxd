"""One LZ4 block (the format's specification: token, literals, 16-bit offset, match), fast and greedy.

Written for this place because it runs without the GIL inside the batch and straight into the frame; bench/encode.py
compares it with PyPI's lz4. A table of recent positions by a five-byte hash proposes one candidate; where nothing
matches, the steps grow, so incompressible columns cost little.

The format asks: the last five bytes are literals, and the last match starts at least twelve bytes before the end.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from core_ext.cursor cimport load_u32, load_u64

cdef extern from *:
    int trailing_zeros "__builtin_ctzll"(unsigned long long value) noexcept nogil

cdef enum:
    MIN_MATCH_BYTES = 4
    LAST_LITERAL_BYTES = 5
    MATCH_START_MARGIN_BYTES = 12
    MAX_OFFSET_BYTES = 0xFFFF
    # 4,096 positions of four bytes: the first-level cache holds them beside the data.
    TABLE_BITS = 12
    TABLE_ENTRIES = 1 << TABLE_BITS
    # The step grows by one byte after each 64 misses.
    MISSES_PER_STEP_LOG2 = 6
    # Literals are copied in whole chunks, so this much may be written beyond their end.
    COPY_CHUNK_BYTES = 16


cdef inline size_t lz4_bound(size_t size_bytes) noexcept nogil:
    """Room that `lz4_compress` needs: incompressible input, its lengths, one chunk written too far."""
    return size_bytes + size_bytes // 255 + 16 + COPY_CHUNK_BYTES


cdef inline uint32_t table_slot(uint64_t bytes_ahead) noexcept nogil:
    # The five lowest bytes, multiplied by a large odd number (2**64 / golden ratio), its top bits.
    return <uint32_t>(((bytes_ahead << 24) * <uint64_t>0x9E3779B97F4A7C15) >> (64 - TABLE_BITS))


cdef inline size_t common_bytes(const uint8_t* one, const uint8_t* other, size_t limit) noexcept nogil:
    cdef size_t size = 0
    cdef uint64_t difference
    while size + 8 <= limit:
        difference = load_u64(one + size) ^ load_u64(other + size)
        if difference:
            return size + (trailing_zeros(difference) >> 3)
        size += 8
    while size < limit and one[size] == other[size]:
        size += 1
    return size


cdef inline uint8_t* put_length(uint8_t* out, size_t rest) noexcept nogil:
    """What exceeds the token's 15: 255 as often as it goes, then the remainder."""
    while rest >= 255:
        out[0] = 255
        out += 1
        rest -= 255
    out[0] = <uint8_t>rest
    return out + 1


cdef inline uint8_t* put_last_literals(uint8_t* out, const uint8_t* literals, size_t size) noexcept nogil:
    """A token and its literals, copied exactly, and no match: the block's end."""
    out[0] = <uint8_t>((15 if size >= 15 else size) << 4)
    out += 1
    if size >= 15:
        out = put_length(out, size - 15)
    memcpy(out, literals, size)
    return out + size


cdef inline size_t lz4_compress(const uint8_t* raw, size_t size, uint8_t* out, uint32_t* table) noexcept nogil:
    """Bytes written. `out` has `lz4_bound(size)` bytes, `table` TABLE_ENTRIES; 1 ≤ `size` < 2**32."""
    cdef uint8_t* start = out
    cdef uint8_t* token
    cdef size_t at = 0, done = 0, candidate, literals, match, misses
    cdef size_t last_start, match_end
    cdef uint32_t slot
    cdef uint64_t ahead
    if size <= MATCH_START_MARGIN_BYTES:
        return put_last_literals(out, raw, size) - start
    last_start = size - MATCH_START_MARGIN_BYTES
    match_end = size - LAST_LITERAL_BYTES
    # Position 0 stands in every slot: an honest candidate, checked like any other.
    memset(table, 0, TABLE_ENTRIES * sizeof(uint32_t))
    at = 1
    misses = 1 << MISSES_PER_STEP_LOG2
    while at <= last_start:
        ahead = load_u64(raw + at)
        slot = table_slot(ahead)
        candidate = table[slot]
        table[slot] = <uint32_t>at
        if <uint32_t>ahead != load_u32(raw + candidate) or at - candidate > MAX_OFFSET_BYTES:
            at += misses >> MISSES_PER_STEP_LOG2
            misses += 1
            continue
        while at > done and candidate > 0 and raw[at - 1] == raw[candidate - 1]:
            at -= 1
            candidate -= 1

        literals = at - done
        token = out
        out += 1
        if literals >= 15:
            token[0] = 15 << 4
            out = put_length(out, literals - 15)
            memcpy(out, raw + done, literals)
        else:
            token[0] = <uint8_t>(literals << 4)
            # `at` is at least twelve bytes before the end and `literals` at most 14: the chunk may cross the input's
            # end only when fewer than 16 bytes follow `done`.
            if done + COPY_CHUNK_BYTES <= size:
                memcpy(out, raw + done, COPY_CHUNK_BYTES)
            else:
                memcpy(out, raw + done, literals)
        out += literals

        match = MIN_MATCH_BYTES + common_bytes(
            raw + at + MIN_MATCH_BYTES, raw + candidate + MIN_MATCH_BYTES, match_end - at - MIN_MATCH_BYTES
        )
        out[0] = <uint8_t>(at - candidate)
        out[1] = <uint8_t>((at - candidate) >> 8)
        out += 2
        if match - MIN_MATCH_BYTES >= 15:
            token[0] |= 15
            out = put_length(out, match - MIN_MATCH_BYTES - 15)
        else:
            token[0] |= <uint8_t>(match - MIN_MATCH_BYTES)
        at += match
        done = at
        misses = 1 << MISSES_PER_STEP_LOG2
        if at <= last_start:
            table[table_slot(load_u64(raw + at - 2))] = <uint32_t>(at - 2)
    return put_last_literals(out, raw + done, size - done) - start
