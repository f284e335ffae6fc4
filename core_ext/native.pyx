"""Segment → block: the one entry is `encode_segment`. The promises stand in native.pyi.

Three passes, all without the GIL:

1. check: each record is judged whole (rowlog.pxd), counted into the ledger, and, when it is a hit, gets its sort key;
   the sizes of all columns add up, exactly.
2. order: rows are put in the order of the table's key (row_order.pxd).
3. build: row by row, each record is read once more, with the same bounds, into the columns (events.pxd); then the
   block is listed as pieces, and framed when asked (frames.pyx).

Ownership: a `_Batch` owns every buffer of one call. Bare parts are views that keep it alive; a framed block keeps only
its frames. The segment is borrowed during the call and not afterwards.
"""

import enum
from array import array
from datetime import datetime, timezone

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp

from core_ext.column cimport pieces_bytes, write_block_head
from core_ext.cursor cimport Cursor, load_i64, load_u16, load_u32, load_u64
from core_ext.events cimport *
from core_ext.frames cimport FRAME_RAW_MAX_BYTES, frames_bound, write_frames
from core_ext.ledger cimport Ledger, LedgerEntry, ledger_close, ledger_count, ledger_open
from core_ext.plan cimport events_plan, hash_seed
from core_ext.record_layout cimport *
from core_ext.row_order cimport RowKey, set_row_key, sort_rows
from core_ext.rowlog cimport *

from core_ext.frames import frame_block
from core_ext.plan import EVENTS_COLUMNS, LEDGER_COLUMNS, OUTCOME_LABELS, stored_string

cdef extern from *:
    """
    #ifdef FOOTFALL_CHECKED
    #define FOOTFALL_BUILD_PROFILE "checked"
    #else
    #define FOOTFALL_BUILD_PROFILE "release"
    #endif
    """
    const char* _BUILD_PROFILE "FOOTFALL_BUILD_PROFILE"


class RecordFault(enum.IntEnum):
    OUTSIDE = FAULT_OUTSIDE
    TRUNCATED = FAULT_TRUNCATED
    TOO_LONG = FAULT_TOO_LONG
    RECORD_KIND = FAULT_RECORD_KIND
    CODE = FAULT_CODE
    UTF8 = FAULT_UTF8
    PARTITION = FAULT_PARTITION
    NUMBER = FAULT_NUMBER


class SegmentFault(enum.Enum):
    HEADER = "header"
    MONTH = "month"
    CREATED_AT = "created_at"
    CHANGED = "changed"


class SegmentError(ValueError):
    def __init__(self, fault, message):
        super().__init__(message)
        self.fault = fault


_MAGIC = b"FFSEGMT\x01"

cdef enum:
    _VERSION_OFFSET = 8
    _HEADER_BYTES_OFFSET = 10
    _VERSION = 1

# How a pass ended.
cdef enum Ending:
    DONE
    NO_MEMORY
    CHANGED


cdef class _Batch:
    """Every buffer of one call."""

    cdef EventsColumns columns
    cdef Ledger ledger
    cdef Totals totals
    cdef RowKey* keys
    cdef RowKey* spare_keys
    cdef RowKey* order
    cdef uint8_t* faults
    cdef uint8_t* framed
    cdef size_t framed_bytes
    cdef size_t records
    cdef size_t rows
    cdef size_t bad

    def __dealloc__(self):
        self.drop_columns()
        free(self.framed)

    cdef void drop_scratch(self) noexcept nogil:
        ledger_close(&self.ledger)
        free(self.keys)
        free(self.spare_keys)
        free(self.faults)
        self.keys = self.spare_keys = self.order = NULL
        self.faults = NULL

    cdef void drop_columns(self) noexcept nogil:
        self.drop_scratch()
        events_close(&self.columns)

    cdef Ending check(
        self, Cursor segment, const uint8_t* offsets, const uint8_t* lengths, const Partition* partition
    ) noexcept nogil:
        """Pass 1 and 2."""
        cdef Cursor record
        cdef RowKey* key
        cdef uint32_t i
        cdef Fault fault
        cdef int64_t time_ms
        self.keys = <RowKey*>malloc((self.records + 1) * sizeof(RowKey))
        self.spare_keys = <RowKey*>malloc((self.records + 1) * sizeof(RowKey))
        self.faults = <uint8_t*>calloc(self.records + 1, 1)
        if (
            self.keys == NULL
            or self.spare_keys == NULL
            or self.faults == NULL
            or not ledger_open(&self.ledger, &hash_seed)
        ):
            return NO_MEMORY
        for i in range(<uint32_t>self.records):
            if not record_at(
                &record, segment, load_u32(offsets + 4 * <size_t>i), load_u32(lengths + 4 * <size_t>i)
            ):
                fault = FAULT_OUTSIDE
            else:
                fault = check_record(record, partition, &self.totals)
            if fault != FAULT_NONE:
                self.faults[i] = fault
                self.bad += 1
                continue
            # Sound: every fixed field is there.
            time_ms = load_i64(record.at + OFFSET_TIME_MS)
            if record.at[OFFSET_RECORD_KIND] == RECORD_HIT:
                key = self.keys + self.rows
                key.offset_bytes = load_u32(offsets + 4 * <size_t>i)
                key.size_bytes = <uint32_t>record.left
                set_row_key(
                    key,
                    load_u32(record.at + OFFSET_SITE_ID),
                    load_u64(record.at + OFFSET_VISITOR_ID),
                    time_ms - partition.month_start_ms,
                )
                self.rows += 1
            if not ledger_count(
                &self.ledger,
                load_u32(record.at + OFFSET_SITE_ID),
                <uint32_t>(<uint64_t>time_ms // HOUR_MS * HOUR_S),
                OUTCOME_ACCEPTED if record.at[OFFSET_RECORD_KIND] == RECORD_HIT else record.at[OFFSET_SHORT_OUTCOME],
                load_u16(record.at + OFFSET_BOT_REASONS),
            ):
                return NO_MEMORY
        self.order = sort_rows(self.keys, self.spare_keys, self.rows)
        return DONE

    cdef Ending build(self, Cursor segment, bint block_info) noexcept nogil:
        """Pass 3, after `events_open`."""
        cdef Cursor record
        cdef const RowKey* key
        cdef size_t row
        cdef AddResult added
        for row in range(self.rows):
            if row + PREFETCH_ROWS < self.rows:
                prefetch_record(segment, self.order + row + PREFETCH_ROWS)
            key = self.order + row
            if not record_at(&record, segment, key.offset_bytes, key.size_bytes):
                return CHANGED
            added = events_add(&self.columns, row, record)
            if added != ADD_OK:
                return NO_MEMORY if added == ADD_NO_MEMORY else CHANGED
        return DONE if events_pieces(&self.columns, block_info) else NO_MEMORY

    cdef Ending frame(self) noexcept nogil:
        cdef size_t bound = frames_bound(pieces_bytes(&self.columns.pieces), FRAME_RAW_MAX_BYTES)
        cdef uint8_t* shrunk
        self.framed = <uint8_t*>malloc(bound)
        if self.framed == NULL:
            return NO_MEMORY
        self.framed_bytes = write_frames(&self.columns.pieces, FRAME_RAW_MAX_BYTES, self.framed)
        if self.framed_bytes == 0:
            return NO_MEMORY
        shrunk = <uint8_t*>realloc(self.framed, self.framed_bytes)
        if shrunk != NULL:
            self.framed = shrunk
        return DONE


cdef inline bint record_at(Cursor* record, Cursor segment, size_t offset_bytes, size_t size_bytes) noexcept nogil:
    """The payload there; False when it is not inside the segment."""
    if offset_bytes > segment.left or size_bytes > segment.left - offset_bytes:
        return False
    record.at = segment.at + offset_bytes
    record.left = size_bytes
    return True


cdef inline void prefetch_record(Cursor segment, const RowKey* key) noexcept nogil:
    """The next rows lie anywhere in the segment: ask for their lines early. A prefetch never faults."""
    cdef const uint8_t* at = segment.at + key.offset_bytes
    cdef uint32_t done
    for done in range(PREFETCH_LINES):
        prefetch(at + LINE_BYTES * done)


cdef class _Part:
    """A read-only buffer over bytes that a batch owns."""

    cdef _Batch batch
    cdef const uint8_t* at
    cdef size_t size_bytes

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, <void*>self.at, self.size_bytes, 1, flags)

    def __releasebuffer__(self, Py_buffer* view):
        pass


cdef object _view(_Batch batch, const uint8_t* at, size_t size_bytes):
    cdef _Part part = _Part.__new__(_Part)
    part.batch = batch
    part.at = at
    part.size_bytes = size_bytes
    return memoryview(part)


cdef class Block:
    cdef readonly size_t rows
    cdef readonly int month
    cdef readonly int retention_class
    cdef readonly object created_at_ms
    cdef readonly bytes segment_id
    cdef readonly size_t bare_bytes
    cdef readonly size_t parts_bytes
    cdef readonly size_t held_bytes
    cdef readonly list parts
    cdef readonly list ledger
    cdef readonly list bad_records

    def __init__(self):
        raise TypeError("a Block comes from encode_segment or encode_ledger")

    def __repr__(self):
        return f"<Block of {self.rows} rows, {self.month}, {self.parts_bytes} bytes>"


cdef Block _new_block():
    cdef Block block = Block.__new__(Block)
    block.segment_id = b""
    block.created_at_ms = 0
    block.parts = []
    block.ledger = []
    block.bad_records = []
    return block


def build_profile():
    return _BUILD_PROFILE.decode()


def _month_bounds_ms(month):
    """The first millisecond of a yyyymm month in UTC, and of the next; None when the number is not a month."""
    year, number = divmod(month, 100)
    # DateTime is unsigned 32-bit seconds: the last whole month it holds.
    if not (1970 <= year <= 2105 and 1 <= number <= 12):
        return None
    start = datetime(year, number, 1, tzinfo=timezone.utc)
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=timezone.utc)
    return int(start.timestamp()) * 1000, int(end.timestamp()) * 1000


cdef _check_form(form):
    if form not in ("tcp", "file"):
        raise ValueError(f"form: {form!r} is not 'tcp' or 'file'")


cdef list _ledger_entries(const Ledger* ledger):
    cdef size_t i
    cdef const LedgerEntry* entry
    cdef list entries = []
    for i in range(ledger.mask + 1):
        entry = ledger.entries + i
        if entry.count:
            entries.append((
                entry.place >> 32,
                entry.place & 0xFFFFFFFF,
                entry.verdict >> 16,
                entry.verdict & 0xFFFF,
                entry.count,
            ))
    entries.sort()
    return entries


cdef Partition _read_header(const uint8_t[::1] segment, Block block) except *:
    """Fills the block's identity from the segment's header, and says which rows it may hold."""
    cdef Partition partition
    cdef const uint8_t* header
    if segment.shape[0] < SEGMENT_HEADER_BYTES:
        raise SegmentError(SegmentFault.HEADER, "the segment is shorter than its header")
    header = &segment[0]
    if memcmp(header, PyBytes_AS_STRING(_MAGIC), 8) or load_u16(header + _VERSION_OFFSET) != _VERSION:
        raise SegmentError(SegmentFault.HEADER, "not a segment of this version")
    if load_u16(header + _HEADER_BYTES_OFFSET) != SEGMENT_HEADER_BYTES:
        raise SegmentError(SegmentFault.HEADER, "the segment's header has another size")
    block.month = load_u32(header + SEGMENT_MONTH_OFFSET)
    bounds = _month_bounds_ms(load_u32(header + SEGMENT_MONTH_OFFSET))
    if bounds is None:
        raise SegmentError(SegmentFault.MONTH, "the segment's month is not a yyyymm that DateTime holds")
    partition.month_start_ms, partition.month_end_ms = bounds
    partition.retention_class = header[SEGMENT_RETENTION_CLASS_OFFSET]
    block.retention_class = partition.retention_class
    block.created_at_ms = load_i64(header + SEGMENT_CREATED_AT_MS_OFFSET)
    if not 0 <= load_i64(header + SEGMENT_CREATED_AT_MS_OFFSET) < (<int64_t>1 << 32) * 1000:
        raise SegmentError(SegmentFault.CREATED_AT, "the segment's creation time is not one that DateTime holds")
    block.segment_id = bytes(segment[SEGMENT_ID_OFFSET:SEGMENT_ID_OFFSET + SEGMENT_ID_BYTES])
    return partition


def encode_segment(segment, offsets, lengths, *, batch_id, form="tcp", compress=True):
    cdef const uint8_t[::1] segment_view = memoryview(segment).cast("B")
    cdef const uint8_t[::1] offsets_view = memoryview(offsets).cast("B")
    cdef const uint8_t[::1] lengths_view = memoryview(lengths).cast("B")
    cdef bytes batch_text = batch_id.encode()
    cdef const uint8_t* batch_at = <const uint8_t*>PyBytes_AS_STRING(batch_text)
    cdef uint32_t batch_bytes = PyBytes_GET_SIZE(batch_text)
    cdef bint framed = compress
    cdef bint block_info = form == "tcp"
    cdef const uint8_t* offsets_at = NULL
    cdef const uint8_t* lengths_at = NULL
    cdef Block block = _new_block()
    cdef _Batch batch = _Batch()
    cdef Partition partition
    cdef uint32_t batch_time_s
    cdef Ending ending
    cdef Cursor bytes_left
    cdef size_t i
    _check_form(form)
    if offsets_view.shape[0] != lengths_view.shape[0] or offsets_view.shape[0] % 4:
        raise ValueError("offsets and lengths: one 32-bit number for each record, in both")
    partition = _read_header(segment_view, block)
    batch_time_s = block.created_at_ms // 1000
    batch.records = offsets_view.shape[0] // 4
    if batch.records:
        offsets_at = &offsets_view[0]
        lengths_at = &lengths_view[0]
    bytes_left.at = &segment_view[0]
    bytes_left.left = segment_view.shape[0]

    with nogil:
        ending = batch.check(bytes_left, offsets_at, lengths_at, &partition)
        if ending == DONE and batch.rows:
            free(batch.spare_keys if batch.order == batch.keys else batch.keys)
            batch.keys = batch.order
            batch.spare_keys = NULL
            if not events_open(
                &batch.columns,
                &events_plan,
                batch.rows,
                &batch.totals,
                &partition,
                batch_time_s,
                batch_at,
                batch_bytes,
                &hash_seed,
            ):
                ending = NO_MEMORY
            if ending == DONE:
                ending = batch.build(bytes_left, block_info)
            if ending == DONE and framed:
                ending = batch.frame()
    if ending == NO_MEMORY:
        raise MemoryError
    if ending == CHANGED:
        raise SegmentError(SegmentFault.CHANGED, "the segment changed while it was encoded")

    block.rows = batch.rows
    block.ledger = _ledger_entries(&batch.ledger)
    if batch.bad:
        for i in range(batch.records):
            if batch.faults[i]:
                block.bad_records.append((i, RecordFault(batch.faults[i])))
    batch.drop_scratch()
    if batch.rows:
        block.bare_bytes = pieces_bytes(&batch.columns.pieces)
        if framed:
            batch.drop_columns()
            block.parts.append(_view(batch, batch.framed, batch.framed_bytes))
        else:
            for i in range(batch.columns.pieces.count):
                block.parts.append(
                    _view(batch, batch.columns.pieces.list[i].at, batch.columns.pieces.list[i].size_bytes)
                )
        block.parts_bytes = sum(map(len, block.parts))
        block.held_bytes = block.parts_bytes
    return block


def _dictionary(values):
    """A LowCardinality(String) column of fewer than 257 different values."""
    numbers = {}
    rows = bytes([numbers.setdefault(value, len(numbers)) for value in values])
    return b"".join((
        (1).to_bytes(8, "little"),
        LOW_CARDINALITY_FLAGS.to_bytes(8, "little"),
        len(numbers).to_bytes(8, "little"),
        *map(stored_string, numbers),
        len(rows).to_bytes(8, "little"),
        rows,
    ))


def encode_ledger(entries, *, batch_id, batch_time_s, form="tcp", compress=True):
    cdef Block block = _new_block()
    _check_form(form)
    entries = sorted(entries)
    if not entries:
        return block
    block.rows = len(entries)
    sites, hours, outcomes, bot_reasons, counts = zip(*entries)
    first = datetime.fromtimestamp(hours[0], tz=timezone.utc)
    block.month = first.year * 100 + first.month
    block.created_at_ms = batch_time_s * 1000
    bodies = (
        array("I", sites).tobytes(),
        array("I", hours).tobytes(),
        _dictionary([OUTCOME_LABELS[outcome] for outcome in outcomes]),
        array("H", bot_reasons).tobytes(),
        array("Q", counts).tobytes(),
        array("I", [batch_time_s]).tobytes() * block.rows,
        _dictionary([batch_id] * block.rows),
    )
    head = bytearray(BLOCK_HEAD_MAX_BYTES)
    cdef uint8_t[::1] head_view = head
    cdef uint8_t* end = write_block_head(&head_view[0], len(LEDGER_COLUMNS), block.rows, form == "tcp")
    bare = bytes(head[:end - &head_view[0]]) + b"".join(
        stored_string(name) + stored_string(type_name) + body
        for (name, type_name), body in zip(LEDGER_COLUMNS, bodies, strict=True)
    )
    block.bare_bytes = len(bare)
    block.parts.append(frame_block(bare) if compress else bare)
    block.parts_bytes = block.held_bytes = len(block.parts[0])
    return block
