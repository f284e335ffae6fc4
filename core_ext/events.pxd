"""The columns of `events` while they are built, one row at a time, in the order of the table's key.

Ownership: `EventsColumns` owns every buffer below it; dictionary keys and runs borrow from the segment until
`events_pieces` has written the keys out. Call order: `events_open` with exact counts, `events_add` for rows 0, 1,
2 …, `events_pieces` once, `events_close` always.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from core_ext.column cimport (
    Pieces,
    TextColumn,
    pieces_add,
    pieces_close,
    pieces_open,
    put_bytes,
    put_string,
    put_u64,
    text_close,
    text_open,
    text_put,
    write_block_head,
)
from core_ext.cursor cimport Cursor, load_i64, load_u16, load_u32, load_u64, same_bytes, take
from core_ext.dictionary cimport (
    LOW_CARDINALITY_FLAGS,
    LOW_CARDINALITY_VERSION,
    Dictionary,
    Seed,
    dictionary_close,
    dictionary_close_keys,
    dictionary_head_bytes,
    dictionary_numbers_bytes,
    dictionary_open,
    dictionary_put,
    dictionary_repeat,
    write_dictionary_head,
)
from core_ext.record_layout cimport *
from core_ext.rowlog cimport (
    HOUR_MS,
    HOUR_S,
    METRIC_CODES,
    METRIC_ENTRY_BYTES,
    PROP_HEAD_BYTES,
    Partition,
    Totals,
    stored_string_bytes,
)
from core_ext.varint cimport VARINT_MAX_BYTES, write_varint

# Columns in block order; `plan.EVENTS_COLUMNS` gives their names and types, and a test holds the two together.
cdef enum:
    SITE_ID
    HOUR
    TIME
    KIND
    VISITOR_ID
    LOAD_ID
    EVENT_NAME
    HOSTNAME
    PATH
    REFERRER_SOURCE
    REFERRER
    CHANNEL
    UTM_SOURCE
    UTM_MEDIUM
    UTM_CAMPAIGN
    UTM_TERM
    UTM_CONTENT
    CLICK_ID
    COUNTRY
    LANGUAGE
    TIMEZONE
    BROWSER
    BROWSER_VERSION
    OS
    OS_VERSION
    DEVICE
    SCREEN_WIDTH_PX
    SCREEN_HEIGHT_PX
    ENGAGED_MS
    SCROLL_DEPTH_PERCENT
    INTERACTIVE
    SEQUENCE
    REVENUE_MICROS
    REVENUE_CURRENCY
    PROPS
    METRICS
    BOT_REASONS
    SAMPLE_WEIGHT
    RETENTION_CLASS
    BATCH_TIME
    BATCH_ID
    EVENTS_COLUMN_COUNT

cdef enum:
    # Dictionaries are numbered as the record's strings are; two more follow them.
    DICTIONARY_PROPS = STRING_FIELDS
    DICTIONARY_BATCH_ID = STRING_FIELDS + 1
    DICTIONARIES = STRING_FIELDS + 2
    # Pieces of one column at most: glue (header, prefix), ends, glue (keys), numbers, values.
    PIECES_PER_COLUMN = 5
    # BlockInfo of the TCP form, then columns and rows as varints.
    BLOCK_HEAD_MAX_BYTES = 8 + 2 * VARINT_MAX_BYTES
    # A metric that has no key number in this block yet; there are fewer than 255.
    NO_METRIC = 0xFF
    # Records ahead whose first lines are fetched while one is encoded.
    PREFETCH_ROWS = 6
    # Most records end within four cache lines.
    PREFETCH_LINES = 4
    LINE_BYTES = 64


# How a column is stored; read off its type in plan.pyx.
cdef enum Shape:
    SHAPE_FIXED
    SHAPE_TEXT
    SHAPE_DICTIONARY
    SHAPE_PROPS
    SHAPE_METRICS


cdef struct ColumnPlan:
    Shape shape
    # Bytes of one value of SHAPE_FIXED.
    uint8_t width_bytes
    # Which text or dictionary, by number.
    uint8_t source
    # Name and type as the block states them; borrowed from the module.
    const uint8_t* header
    size_t header_bytes


cdef struct MetricName:
    const uint8_t* text
    size_t size_bytes


# The module's tables, filled once.
cdef struct EventsPlan:
    ColumnPlan[EVENTS_COLUMN_COUNT] columns
    MetricName[METRIC_CODES] metric_names


cdef enum AddResult:
    ADD_OK
    ADD_NO_MEMORY
    # The bytes are no longer those that were checked.
    ADD_CHANGED


# Neighbouring strings of `row`, the last that was not a repetition; NULL before the first. The rows after it repeat them,
# and get their numbers together when one does not. Borrowed from the segment.
cdef struct Run:
    const uint8_t* sizes
    const uint8_t* texts
    size_t size_bytes
    size_t row


cdef struct EventsColumns:
    const EventsPlan* plan
    size_t rows
    int64_t month_start_ms
    # Of each SHAPE_FIXED column, `rows` values.
    uint8_t *fixed[EVENTS_COLUMN_COUNT]
    Dictionary[DICTIONARIES] dictionaries
    # utm_source … click_id
    Run campaign
    # country … os_version
    Run client
    # event_name, revenue_currency
    Run event
    TextColumn path
    TextColumn referrer
    # Props: where each row's end, the keys' numbers (a dictionary), the values.
    uint64_t* props_ends
    size_t props
    TextColumn prop_values
    # Metrics: where each row's end, the keys' numbers, the values.
    uint64_t* metrics_ends
    size_t metrics
    size_t metrics_room
    uint8_t* metric_numbers
    float* metric_values
    # Code → key number in this block; key number → code.
    uint8_t[METRIC_CODES] metric_number
    uint8_t[METRIC_CODES] metric_code
    uint8_t metric_keys
    # Names, types, prefixes and keys: everything of the block that is not a run of values.
    uint8_t* glue
    Pieces pieces


cdef extern from *:
    void prefetch "__builtin_prefetch"(const void* at) noexcept nogil


cdef inline bint events_open(
    EventsColumns* columns,
    const EventsPlan* plan,
    size_t rows,
    const Totals* totals,
    const Partition* partition,
    uint32_t batch_time_s,
    const uint8_t* batch_id,
    uint32_t batch_id_bytes,
    const Seed* seed,
) noexcept nogil:
    """Buffers for exactly these rows; the columns that are the same in each row are filled. False: out of memory.
    The struct must have been zeroed; `batch_id` is borrowed."""
    cdef size_t i
    columns.plan = plan
    columns.rows = rows
    columns.month_start_ms = partition.month_start_ms
    for i in range(EVENTS_COLUMN_COUNT):
        if plan.columns[i].shape == SHAPE_FIXED:
            columns.fixed[i] = <uint8_t*>malloc(rows * plan.columns[i].width_bytes)
            if columns.fixed[i] == NULL:
                return False
    for i in range(DICTIONARIES):
        if not dictionary_open(&columns.dictionaries[i], totals.props if i == DICTIONARY_PROPS else rows, seed):
            return False
    columns.props_ends = <uint64_t*>malloc(rows * sizeof(uint64_t))
    columns.metrics_ends = <uint64_t*>malloc(rows * sizeof(uint64_t))
    columns.metrics_room = totals.metrics
    columns.metric_numbers = <uint8_t*>malloc(totals.metrics + 1)
    columns.metric_values = <float*>malloc((totals.metrics + 1) * sizeof(float))
    memset(columns.metric_number, NO_METRIC, sizeof(columns.metric_number))
    if (
        columns.props_ends == NULL
        or columns.metrics_ends == NULL
        or columns.metric_numbers == NULL
        or columns.metric_values == NULL
        or not text_open(&columns.path, totals.path_bytes)
        or not text_open(&columns.referrer, totals.referrer_bytes)
        or not text_open(&columns.prop_values, totals.prop_value_bytes)
    ):
        return False
    memset(columns.fixed[RETENTION_CLASS], partition.retention_class, rows)
    for i in range(rows):
        (<uint32_t*>columns.fixed[BATCH_TIME])[i] = batch_time_s
    # One key: all row numbers are 0, as the dictionary made them.
    return dictionary_put(&columns.dictionaries[DICTIONARY_BATCH_ID], 0, batch_id, batch_id_bytes)


cdef inline void events_close(EventsColumns* columns) noexcept nogil:
    cdef size_t i
    for i in range(EVENTS_COLUMN_COUNT):
        free(columns.fixed[i])
        columns.fixed[i] = NULL
    for i in range(DICTIONARIES):
        dictionary_close(&columns.dictionaries[i])
    text_close(&columns.path)
    text_close(&columns.referrer)
    text_close(&columns.prop_values)
    free(columns.props_ends)
    free(columns.metrics_ends)
    free(columns.metric_numbers)
    free(columns.metric_values)
    free(columns.glue)
    columns.props_ends = columns.metrics_ends = NULL
    columns.metric_numbers = columns.glue = NULL
    columns.metric_values = NULL
    pieces_close(&columns.pieces)


cdef inline AddResult add_string(
    EventsColumns* columns, size_t row, size_t field, const uint8_t* lengths, Cursor* rest
) noexcept nogil:
    cdef uint16_t size = load_u16(lengths + 2 * field)
    cdef const uint8_t* text = take(rest, size)
    if text == NULL:
        return ADD_CHANGED
    if field == STRING_PATH:
        return ADD_OK if text_put(&columns.path, text, size) else ADD_CHANGED
    if field == STRING_REFERRER:
        return ADD_OK if text_put(&columns.referrer, text, size) else ADD_CHANGED
    return ADD_OK if dictionary_put(&columns.dictionaries[field], row, text, size) else ADD_NO_MEMORY


cdef inline void fill_run(
    EventsColumns* columns, const Run* run, size_t first, size_t end, size_t row
) noexcept nogil:
    """The rows before `row` that repeat strings `first` … `end` - 1."""
    cdef size_t field
    if run.sizes == NULL or run.row + 1 == row:
        return
    for field in range(first, end):
        dictionary_repeat(&columns.dictionaries[field], run.row + 1, row)


cdef inline AddResult add_string_run(
    EventsColumns* columns, Run* run, size_t row, size_t first, size_t end, const uint8_t* lengths, Cursor* rest
) noexcept nogil:
    """Strings `first` … `end` - 1, none of them a text column. Neighbouring rows are mostly one visitor's, so a run
    that equals the row's before, sizes and bytes, costs one comparison."""
    cdef size_t field
    cdef const uint8_t* sizes = lengths + 2 * first
    cdef const uint8_t* texts = rest.at
    cdef AddResult result
    if run.sizes != NULL and same_bytes(sizes, run.sizes, 2 * (end - first)):
        if run.size_bytes <= rest.left and same_bytes(texts, run.texts, run.size_bytes):
            take(rest, run.size_bytes)
            return ADD_OK
    fill_run(columns, run, first, end, row)
    for field in range(first, end):
        result = add_string(columns, row, field, lengths, rest)
        if result != ADD_OK:
            return result
    run.sizes = sizes
    run.texts = texts
    run.size_bytes = rest.at - texts
    run.row = row
    return ADD_OK


cdef inline AddResult add_strings(
    EventsColumns* columns, size_t row, const uint8_t* lengths, Cursor* rest
) noexcept nogil:
    cdef size_t field
    cdef AddResult result
    for field in range(STRING_UTM_SOURCE):
        result = add_string(columns, row, field, lengths, rest)
        if result != ADD_OK:
            return result
    result = add_string_run(columns, &columns.campaign, row, STRING_UTM_SOURCE, STRING_CLICK_ID + 1, lengths, rest)
    if result == ADD_OK:
        result = add_string_run(columns, &columns.client, row, STRING_COUNTRY, STRING_OS_VERSION + 1, lengths, rest)
    if result == ADD_OK:
        result = add_string_run(columns, &columns.event, row, STRING_EVENT_NAME, STRING_FIELDS, lengths, rest)
    return result


cdef inline void fill_runs(EventsColumns* columns) noexcept nogil:
    """After the last row."""
    fill_run(columns, &columns.campaign, STRING_UTM_SOURCE, STRING_CLICK_ID + 1, columns.rows)
    fill_run(columns, &columns.client, STRING_COUNTRY, STRING_OS_VERSION + 1, columns.rows)
    fill_run(columns, &columns.event, STRING_EVENT_NAME, STRING_FIELDS, columns.rows)


cdef inline AddResult add_props(EventsColumns* columns, uint8_t count, Cursor* rest) noexcept nogil:
    cdef const uint8_t* entry
    cdef const uint8_t* text
    cdef uint16_t key_bytes, value_bytes
    cdef uint8_t i
    if count > columns.dictionaries[DICTIONARY_PROPS].rows - columns.props:
        return ADD_CHANGED
    for i in range(count):
        entry = take(rest, PROP_HEAD_BYTES)
        if entry == NULL:
            return ADD_CHANGED
        key_bytes = load_u16(entry)
        value_bytes = load_u16(entry + 2)
        text = take(rest, <size_t>key_bytes + value_bytes)
        if text == NULL or not text_put(&columns.prop_values, text + key_bytes, value_bytes):
            return ADD_CHANGED
        if not dictionary_put(&columns.dictionaries[DICTIONARY_PROPS], columns.props, text, key_bytes):
            return ADD_NO_MEMORY
        columns.props += 1
    return ADD_OK


cdef inline AddResult add_metrics(EventsColumns* columns, uint8_t count, Cursor* rest) noexcept nogil:
    cdef const uint8_t* entry
    cdef uint8_t code, i
    if count > columns.metrics_room - columns.metrics:
        return ADD_CHANGED
    for i in range(count):
        entry = take(rest, METRIC_ENTRY_BYTES)
        if entry == NULL or entry[0] >= METRIC_CODES:
            return ADD_CHANGED
        code = entry[0]
        if columns.metric_number[code] == NO_METRIC:
            columns.metric_number[code] = columns.metric_keys
            columns.metric_code[columns.metric_keys] = code
            columns.metric_keys += 1
        columns.metric_numbers[columns.metrics] = columns.metric_number[code]
        memcpy(columns.metric_values + columns.metrics, entry + 1, sizeof(float))
        columns.metrics += 1
    return ADD_OK


cdef inline AddResult events_add(EventsColumns* columns, size_t row, Cursor record) noexcept nogil:
    """The hit record becomes row `row`. The record was checked; the bounds are asked again all the same."""
    cdef const uint8_t* hit = take(&record, HIT_FIXED_BYTES)
    cdef uint8_t** fixed = columns.fixed
    cdef int64_t time_ms
    cdef AddResult result
    if hit == NULL:
        return ADD_CHANGED
    time_ms = load_i64(hit + OFFSET_TIME_MS)
    (<uint32_t*>fixed[SITE_ID])[row] = load_u32(hit + OFFSET_SITE_ID)
    (<uint32_t*>fixed[HOUR])[row] = <uint32_t>(<uint64_t>time_ms // HOUR_MS * HOUR_S)
    (<int64_t*>fixed[TIME])[row] = time_ms
    fixed[KIND][row] = hit[OFFSET_EVENT_KIND]
    (<uint64_t*>fixed[VISITOR_ID])[row] = load_u64(hit + OFFSET_VISITOR_ID)
    (<uint64_t*>fixed[LOAD_ID])[row] = load_u64(hit + OFFSET_LOAD_ID)
    fixed[CHANNEL][row] = hit[OFFSET_CHANNEL]
    fixed[DEVICE][row] = hit[OFFSET_DEVICE]
    (<uint16_t*>fixed[SCREEN_WIDTH_PX])[row] = load_u16(hit + OFFSET_SCREEN_WIDTH_PX)
    (<uint16_t*>fixed[SCREEN_HEIGHT_PX])[row] = load_u16(hit + OFFSET_SCREEN_HEIGHT_PX)
    (<uint32_t*>fixed[ENGAGED_MS])[row] = load_u32(hit + OFFSET_ENGAGED_MS)
    fixed[SCROLL_DEPTH_PERCENT][row] = hit[OFFSET_SCROLL_DEPTH_PERCENT]
    fixed[INTERACTIVE][row] = hit[OFFSET_INTERACTIVE]
    (<uint16_t*>fixed[SEQUENCE])[row] = load_u16(hit + OFFSET_SEQUENCE)
    (<int64_t*>fixed[REVENUE_MICROS])[row] = load_i64(hit + OFFSET_REVENUE_MICROS)
    (<uint16_t*>fixed[BOT_REASONS])[row] = load_u16(hit + OFFSET_BOT_REASONS)
    (<uint16_t*>fixed[SAMPLE_WEIGHT])[row] = load_u16(hit + OFFSET_SAMPLE_WEIGHT)

    result = add_strings(columns, row, hit + OFFSET_STRING_LENGTHS, &record)
    if result == ADD_OK:
        result = add_props(columns, hit[OFFSET_PROPS_COUNT], &record)
    if result == ADD_OK:
        result = add_metrics(columns, hit[OFFSET_METRICS_COUNT], &record)
    columns.props_ends[row] = columns.props
    columns.metrics_ends[row] = columns.metrics
    return result


cdef inline uint8_t* write_metric_keys(uint8_t* out, const EventsColumns* columns) noexcept nogil:
    """A dictionary's head, for the metrics that occur; nothing when none does."""
    cdef const MetricName* name
    cdef size_t i
    if columns.metrics == 0:
        return out
    out = put_u64(out, LOW_CARDINALITY_FLAGS)
    out = put_u64(out, columns.metric_keys)
    for i in range(columns.metric_keys):
        name = columns.plan.metric_names + columns.metric_code[i]
        out = put_string(out, name.text, name.size_bytes)
    return put_u64(out, columns.metrics)


cdef inline size_t glue_bytes(const EventsColumns* columns) noexcept nogil:
    """An upper bound on what `events_pieces` writes between the runs of values."""
    cdef size_t total = BLOCK_HEAD_MAX_BYTES, i
    for i in range(EVENTS_COLUMN_COUNT):
        # u64: the version prefix of a dictionary.
        total += columns.plan.columns[i].header_bytes + sizeof(uint64_t)
    for i in range(DICTIONARIES):
        total += dictionary_head_bytes(&columns.dictionaries[i])
    for i in range(METRIC_CODES):
        total += stored_string_bytes(columns.plan.metric_names[i].size_bytes)
    return total + 3 * sizeof(uint64_t)


cdef inline const uint8_t* add_glue(Pieces* pieces, const uint8_t* start, uint8_t* end) noexcept nogil:
    pieces_add(pieces, start, end - start)
    return end


cdef inline bint events_pieces(EventsColumns* columns, bint block_info) noexcept nogil:
    """Lists the whole block in `columns.pieces`; keys are copied, nothing borrows from the segment any more. False:
    out of memory."""
    cdef Pieces* pieces = &columns.pieces
    cdef const ColumnPlan* plan
    cdef Dictionary* dictionary
    cdef TextColumn* text
    cdef uint8_t* out
    # Glue up to here has been listed.
    cdef const uint8_t* listed
    cdef size_t i
    columns.glue = <uint8_t*>malloc(glue_bytes(columns))
    if columns.glue == NULL or not pieces_open(pieces, PIECES_PER_COLUMN * EVENTS_COLUMN_COUNT + 1):
        return False
    fill_runs(columns)
    listed = columns.glue
    out = write_block_head(columns.glue, EVENTS_COLUMN_COUNT, columns.rows, block_info)
    for i in range(EVENTS_COLUMN_COUNT):
        plan = &columns.plan.columns[i]
        out = put_bytes(out, plan.header, plan.header_bytes)
        if plan.shape == SHAPE_FIXED:
            listed = add_glue(pieces, listed, out)
            pieces_add(pieces, columns.fixed[i], columns.rows * plan.width_bytes)
        elif plan.shape == SHAPE_TEXT:
            text = &columns.path if plan.source == STRING_PATH else &columns.referrer
            listed = add_glue(pieces, listed, out)
            pieces_add(pieces, text.start, text.size_bytes)
        elif plan.shape == SHAPE_DICTIONARY:
            dictionary = &columns.dictionaries[plan.source]
            out = write_dictionary_head(put_u64(out, LOW_CARDINALITY_VERSION), dictionary)
            listed = add_glue(pieces, listed, out)
            pieces_add(pieces, dictionary.numbers, dictionary_numbers_bytes(dictionary))
        elif plan.shape == SHAPE_PROPS:
            dictionary = &columns.dictionaries[DICTIONARY_PROPS]
            out = put_u64(out, LOW_CARDINALITY_VERSION)
            listed = add_glue(pieces, listed, out)
            pieces_add(pieces, <uint8_t*>columns.props_ends, columns.rows * sizeof(uint64_t))
            out = write_dictionary_head(out, dictionary)
            listed = add_glue(pieces, listed, out)
            pieces_add(pieces, dictionary.numbers, dictionary_numbers_bytes(dictionary))
            pieces_add(pieces, columns.prop_values.start, columns.prop_values.size_bytes)
        else:
            out = put_u64(out, LOW_CARDINALITY_VERSION)
            listed = add_glue(pieces, listed, out)
            pieces_add(pieces, <uint8_t*>columns.metrics_ends, columns.rows * sizeof(uint64_t))
            out = write_metric_keys(out, columns)
            listed = add_glue(pieces, listed, out)
            pieces_add(pieces, columns.metric_numbers, columns.metrics)
            pieces_add(pieces, <uint8_t*>columns.metric_values, columns.metrics * sizeof(float))
    for i in range(DICTIONARIES):
        dictionary_close_keys(&columns.dictionaries[i])
    return True
