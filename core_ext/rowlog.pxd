"""Reading records: is the payload a record of this segment, and what does it hold?

The byte tables stand at the top of rust_ext/ingest/src/record.rs; `record_layout.pxd` is generated from them.
`check_record` judges a payload once, before any column is built; it believes no length, and it never fails halfway:
a record is a row, a short record, or a `Fault`. The CRC was checked by the scan; a fault here therefore means that a
writer made the record wrong, or that two versions disagree. Its neighbours are not touched.
"""

from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from core_ext.cursor cimport Cursor, load_f32, load_i64, load_u16, load_u32, take
from core_ext.record_layout cimport *
from core_ext.utf8 cimport is_ascii, is_utf8
from core_ext.varint cimport varint_bytes

# Seconds and milliseconds of an hour, the grain of the table's second key column.
cdef enum:
    HOUR_S = 3600
    HOUR_MS = 3600 * 1000
    # u8 metric, f32 value.
    METRIC_ENTRY_BYTES = 5
    # u16 key bytes, u16 value bytes.
    PROP_HEAD_BYTES = 4
    METRIC_CODES = METRIC_TRANSFER_BYTES + 1

# Mirrored in Python as `native.RecordFault`; a test walks both and shows each one.
cdef enum Fault:
    FAULT_NONE = 0
    FAULT_OUTSIDE = 1
    FAULT_TRUNCATED = 2
    FAULT_TOO_LONG = 3
    FAULT_RECORD_KIND = 4
    FAULT_CODE = 5
    FAULT_UTF8 = 6
    FAULT_PARTITION = 7
    FAULT_NUMBER = 8


# What all records of the segment share: the one partition that its blocks may hold.
cdef struct Partition:
    int64_t month_start_ms
    int64_t month_end_ms
    uint8_t retention_class


# What the columns of variable size will need, exactly; grown by each accepted hit.
cdef struct Totals:
    size_t path_bytes
    size_t referrer_bytes
    size_t props
    size_t prop_value_bytes
    size_t metrics


cdef inline bint is_metric(uint8_t code) noexcept nogil:
    return METRIC_LCP_MS <= code <= METRIC_TTFB_MS or METRIC_DNS_MS <= code <= METRIC_TRANSFER_BYTES


cdef inline bint is_outcome_of_short(uint8_t code) noexcept nogil:
    return OUTCOME_BOT <= code <= OUTCOME_BLOCKED_PATH or OUTCOME_JSON <= code <= OUTCOME_FIELD_RANGE


cdef inline size_t stored_string_bytes(size_t size_bytes) noexcept nogil:
    """A String value in a column: its length, then its bytes."""
    return varint_bytes(size_bytes) + size_bytes


cdef inline Fault check_strings(const uint8_t* lengths, const uint8_t* strings, size_t total_bytes) noexcept nogil:
    """All strings at once when they are ASCII; else one by one, as a border may not split a character."""
    cdef size_t field, size, done = 0
    if is_ascii(strings, total_bytes):
        return FAULT_NONE
    for field in range(STRING_FIELDS):
        size = load_u16(lengths + 2 * field)
        if not is_utf8(strings + done, size):
            return FAULT_UTF8
        done += size
    return FAULT_NONE


cdef inline bint in_month(int64_t time_ms, const Partition* partition) noexcept nogil:
    return partition.month_start_ms <= time_ms < partition.month_end_ms


cdef inline Fault check_hit(Cursor record, const Partition* partition, Totals* totals) noexcept nogil:
    cdef const uint8_t* fixed = take(&record, HIT_FIXED_BYTES)
    cdef const uint8_t* lengths
    cdef const uint8_t* strings
    cdef const uint8_t* entry
    cdef const uint8_t* text
    cdef uint32_t field, strings_bytes = 0
    cdef size_t prop_value_bytes = 0
    cdef uint16_t key_bytes, value_bytes
    cdef uint8_t i, props, metrics
    cdef Fault fault
    if fixed == NULL:
        return FAULT_TRUNCATED
    if (
        not EVENT_PAGEVIEW <= fixed[OFFSET_EVENT_KIND] <= EVENT_TIMINGS
        or fixed[OFFSET_DEVICE] > DEVICE_BOT
        or fixed[OFFSET_CHANNEL] > CHANNEL_AUDIO
        or fixed[OFFSET_INTERACTIVE] > 1
        or (fixed[OFFSET_SCROLL_DEPTH_PERCENT] > 100 and fixed[OFFSET_SCROLL_DEPTH_PERCENT] != SCROLL_DEPTH_ABSENT)
    ):
        return FAULT_CODE
    lengths = fixed + OFFSET_STRING_LENGTHS
    for field in range(STRING_FIELDS):
        strings_bytes += load_u16(lengths + 2 * field)
    strings = take(&record, strings_bytes)
    if strings == NULL:
        return FAULT_TRUNCATED
    fault = check_strings(lengths, strings, strings_bytes)
    if fault != FAULT_NONE:
        return fault

    props = fixed[OFFSET_PROPS_COUNT]
    for i in range(props):
        entry = take(&record, PROP_HEAD_BYTES)
        if entry == NULL:
            return FAULT_TRUNCATED
        key_bytes = load_u16(entry)
        value_bytes = load_u16(entry + 2)
        text = take(&record, <size_t>key_bytes + value_bytes)
        if text == NULL:
            return FAULT_TRUNCATED
        if not (is_ascii(text, <size_t>key_bytes + value_bytes)
                or (is_utf8(text, key_bytes) and is_utf8(text + key_bytes, value_bytes))):
            return FAULT_UTF8
        prop_value_bytes += stored_string_bytes(value_bytes)

    metrics = fixed[OFFSET_METRICS_COUNT]
    for i in range(metrics):
        entry = take(&record, METRIC_ENTRY_BYTES)
        if entry == NULL:
            return FAULT_TRUNCATED
        if not is_metric(entry[0]):
            return FAULT_CODE
        if not isfinite(load_f32(entry + 1)):
            return FAULT_NUMBER
    if record.left:
        return FAULT_TOO_LONG

    if not (
        in_month(load_i64(fixed + OFFSET_TIME_MS), partition)
        and fixed[OFFSET_RETENTION_CLASS] == partition.retention_class
    ):
        return FAULT_PARTITION

    totals.path_bytes += stored_string_bytes(load_u16(lengths + 2 * STRING_PATH))
    totals.referrer_bytes += stored_string_bytes(load_u16(lengths + 2 * STRING_REFERRER))
    totals.props += props
    totals.prop_value_bytes += prop_value_bytes
    totals.metrics += metrics
    return FAULT_NONE


cdef inline Fault check_short(Cursor record, const Partition* partition) noexcept nogil:
    cdef const uint8_t* fixed = take(&record, SHORT_RECORD_BYTES)
    if fixed == NULL:
        return FAULT_TRUNCATED
    if record.left:
        return FAULT_TOO_LONG
    if not is_outcome_of_short(fixed[OFFSET_SHORT_OUTCOME]):
        return FAULT_CODE
    # The ledger's block, too, belongs to one month.
    if not in_month(load_i64(fixed + OFFSET_SHORT_TIME_MS), partition):
        return FAULT_PARTITION
    return FAULT_NONE


cdef inline Fault check_record(Cursor record, const Partition* partition, Totals* totals) noexcept nogil:
    """Whole structure, every code, every string. `totals` grows only when the record is a sound hit."""
    if record.left == 0:
        return FAULT_TRUNCATED
    if record.at[OFFSET_RECORD_KIND] == RECORD_HIT:
        return check_hit(record, partition, totals)
    if record.at[OFFSET_RECORD_KIND] == RECORD_SHORT:
        return check_short(record, partition)
    return FAULT_RECORD_KIND
