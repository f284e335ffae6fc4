"""Rows in the order of the table's key: (site_id, hour, visitor_id, time), and segment order among equals.

The whole key fits 128 bits because a segment holds one month: 32 site | 10 hour of the month | 64 visitor | 22 ms of
the hour. A stable radix sort over the high word leaves only short runs (one visitor's rows), which are put in order
by the low word: by insertion when short, by radix when somebody sent thousands of hits as one visitor. So no input
makes it slower than two linear sorts, and the order is a function of the records alone.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from core_ext.rowlog cimport HOUR_MS

cdef enum:
    # 11-bit digits: six passes cover a word, and 2,048 counters stay in the first-level cache.
    DIGIT_BITS = 11
    DIGIT_VALUES = 1 << DIGIT_BITS
    DIGITS = 6
    # A visitor with more rows in one hour is no person. Anything from 16 to 300 measures alike.
    INSERTION_MAX_ROWS = 64
    HOUR_OF_MONTH_BITS = 10
    MS_OF_HOUR_BITS = 22
    VISITOR_HIGH_BITS = 22


cdef struct RowKey:
    uint64_t high
    uint64_t low
    # Where the record's payload is in the segment.
    uint32_t offset_bytes
    uint32_t size_bytes


cdef inline void set_row_key(
    RowKey* key, uint32_t site_id, uint64_t visitor_id, int64_t ms_of_month
) noexcept nogil:
    """All of the key but the payload's place."""
    cdef uint64_t hour = <uint64_t>ms_of_month // HOUR_MS
    cdef uint64_t ms_of_hour = <uint64_t>ms_of_month % HOUR_MS
    key.high = (
        <uint64_t>site_id << (HOUR_OF_MONTH_BITS + VISITOR_HIGH_BITS)
        | hour << VISITOR_HIGH_BITS
        | visitor_id >> (64 - VISITOR_HIGH_BITS)
    )
    key.low = visitor_id << MS_OF_HOUR_BITS | ms_of_hour


cdef inline uint64_t key_word(const RowKey* key, bint by_high) noexcept nogil:
    return key.high if by_high else key.low


cdef inline RowKey* radix_sort(RowKey* rows, RowKey* spare, size_t count, bint by_high) noexcept nogil:
    """Stable, by one word. The result is in `rows` or in `spare`: the returned one."""
    cdef uint32_t[DIGIT_VALUES] starts
    cdef uint64_t differing = 0, first
    cdef uint32_t turn, digit, shift, start, size
    cdef size_t i
    cdef RowKey* swap
    if count == 0:
        return rows
    first = key_word(rows, by_high)
    for i in range(count):
        differing |= key_word(rows + i, by_high) ^ first
    for turn in range(DIGITS):
        shift = turn * DIGIT_BITS
        if (differing >> shift) & (DIGIT_VALUES - 1) == 0:
            continue
        memset(starts, 0, sizeof(starts))
        for i in range(count):
            starts[(key_word(rows + i, by_high) >> shift) & (DIGIT_VALUES - 1)] += 1
        start = 0
        for digit in range(DIGIT_VALUES):
            size = starts[digit]
            starts[digit] = start
            start += size
        for i in range(count):
            digit = (key_word(rows + i, by_high) >> shift) & (DIGIT_VALUES - 1)
            spare[starts[digit]] = rows[i]
            starts[digit] += 1
        swap = rows
        rows = spare
        spare = swap
    return rows


cdef inline void insertion_sort_by_low(RowKey* rows, size_t count) noexcept nogil:
    cdef size_t i, j
    cdef RowKey row
    for i in range(1, count):
        if rows[i - 1].low <= rows[i].low:
            continue
        row = rows[i]
        j = i
        while j > 0 and rows[j - 1].low > row.low:
            rows[j] = rows[j - 1]
            j -= 1
        rows[j] = row


cdef inline RowKey* sort_rows(RowKey* rows, RowKey* spare, size_t count) noexcept nogil:
    """Both arrays hold `count` keys; the sorted one is returned, the other is scratch."""
    cdef RowKey* ordered = radix_sort(rows, spare, count, True)
    cdef RowKey* scratch = spare if ordered == rows else rows
    cdef RowKey* part
    cdef size_t start = 0, end
    while start < count:
        end = start + 1
        while end < count and ordered[end].high == ordered[start].high:
            end += 1
        if end - start > INSERTION_MAX_ROWS:
            part = radix_sort(ordered + start, scratch + start, end - start, False)
            if part != ordered + start:
                memcpy(ordered + start, part, (end - start) * sizeof(RowKey))
        elif end - start > 1:
            insertion_sort_by_low(ordered + start, end - start)
        start = end
    return ordered
