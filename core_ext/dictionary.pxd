"""A LowCardinality(String) column: each row is the number of a key, keys are numbered by first appearance.

Stored form (after the type): u64 version 1, then, unless there are no rows, u64 flags and index width, u64 key
count, the keys as Strings, u64 row count, the row numbers. `dictionary_put` takes one row's text. A row has some
eighteen, so it asks the cheap questions first: empty? equal to the last one? Only then the hash table.

A key of up to 16 bytes is compared as two overlapping words that, with its size, determine it; a longer one by a
128-bit hash first and by its bytes then. The hash is seeded per process, so nobody can choose strings that collide;
the seed never shows in the result, because numbers follow appearance, not hash order.

Keys are borrowed: they point into the segment, which must outlive them. Row numbers start one byte wide and are
widened when the 257th and the 65,537th key arrive.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

from core_ext.column cimport put_string, put_u64
from core_ext.cursor cimport load_u32, load_u64, same_bytes
from core_ext.rowlog cimport stored_string_bytes

cdef extern from *:
    """
    typedef unsigned __int128 footfall_u128;
    static inline uint64_t footfall_fold_product(uint64_t a, uint64_t b) {
        footfall_u128 product = (footfall_u128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t fold_product "footfall_fold_product"(uint64_t a, uint64_t b) noexcept nogil

cdef enum:
    FIRST_SLOTS = 64
    FIRST_KEYS = 32
    # A key up to here is held whole in two words.
    SHORT_KEY_BYTES = 16
    NO_KEY = 0xFFFFFFFF
    # SerializationLowCardinality: keys follow in the block (1 << 9), and they replace earlier ones (1 << 10).
    LOW_CARDINALITY_FLAGS = 0x600
    LOW_CARDINALITY_VERSION = 1


cdef struct Seed:
    uint64_t first
    uint64_t second


cdef struct Key:
    uint64_t head
    uint64_t tail
    const uint8_t* text
    uint32_t size_bytes


cdef struct Dictionary:
    Seed seed
    # Number of the key + 1; 0 is a free slot. A power of two, at most half full.
    uint32_t* slots
    uint32_t slots_mask
    Key* keys
    uint32_t keys_count
    uint32_t keys_capacity
    # What the keys take as Strings.
    size_t stored_key_bytes
    # The number of the empty text, of the last text that was not empty, of the last row; NO_KEY before there is one.
    uint32_t empty_number
    uint32_t last_number
    uint32_t row_number
    # Row numbers, 1 << width_log2 bytes each, room for `rows`.
    uint8_t* numbers
    uint8_t width_log2
    size_t rows


cdef inline bint dictionary_open(Dictionary* dictionary, size_t rows, const Seed* seed) noexcept nogil:
    """False: out of memory. `dictionary_close` is due either way; the struct must have been zeroed."""
    dictionary.seed = seed[0]
    dictionary.slots = <uint32_t*>calloc(FIRST_SLOTS, sizeof(uint32_t))
    dictionary.slots_mask = FIRST_SLOTS - 1
    dictionary.keys = <Key*>malloc(FIRST_KEYS * sizeof(Key))
    dictionary.keys_capacity = FIRST_KEYS
    dictionary.empty_number = NO_KEY
    dictionary.last_number = NO_KEY
    dictionary.row_number = NO_KEY
    dictionary.rows = rows
    # Zeroed, so that a column of one key needs no more.
    dictionary.numbers = <uint8_t*>calloc(rows if rows else 1, 1)
    return dictionary.slots != NULL and dictionary.keys != NULL and dictionary.numbers != NULL


cdef inline void dictionary_close_keys(Dictionary* dictionary) noexcept nogil:
    """What is needed only while rows arrive and keys are written out."""
    free(dictionary.slots)
    free(dictionary.keys)
    dictionary.slots = NULL
    dictionary.keys = NULL


cdef inline void dictionary_close(Dictionary* dictionary) noexcept nogil:
    dictionary_close_keys(dictionary)
    free(dictionary.numbers)
    dictionary.numbers = NULL


cdef inline void read_key(Key* key, const uint8_t* text, uint32_t size_bytes, const Seed* seed) noexcept nogil:
    """`size_bytes` ≥ 1. Reads only text[0 … size_bytes)."""
    cdef uint32_t at
    key.text = text
    key.size_bytes = size_bytes
    if size_bytes <= SHORT_KEY_BYTES:
        if size_bytes >= 8:
            key.head = load_u64(text)
            key.tail = load_u64(text + size_bytes - 8)
        elif size_bytes >= 4:
            key.head = load_u32(text)
            key.tail = load_u32(text + size_bytes - 4)
        else:
            key.head = text[0] | <uint64_t>text[size_bytes >> 1] << 8
            key.tail = text[size_bytes - 1]
        return
    key.head = seed.first ^ size_bytes
    key.tail = seed.second
    at = 0
    while at + 16 < size_bytes:
        key.head = fold_product(load_u64(text + at) ^ key.head, load_u64(text + at + 8) ^ seed.second)
        key.tail = fold_product(load_u64(text + at) ^ seed.first, load_u64(text + at + 8) ^ key.tail)
        at += 16
    key.head = fold_product(load_u64(text + size_bytes - 16) ^ key.head, load_u64(text + size_bytes - 8) ^ seed.second)
    key.tail = fold_product(load_u64(text + size_bytes - 16) ^ seed.first, load_u64(text + size_bytes - 8) ^ key.tail)


cdef inline uint32_t slot_of(const Key* key, const Seed* seed, uint32_t mask) noexcept nogil:
    return <uint32_t>fold_product(key.head ^ seed.first, key.tail ^ seed.second ^ key.size_bytes) & mask


cdef inline bint same_key(const Key* one, const Key* other) noexcept nogil:
    return (
        one.head == other.head
        and one.tail == other.tail
        and one.size_bytes == other.size_bytes
        and (one.size_bytes <= SHORT_KEY_BYTES or same_bytes(one.text, other.text, one.size_bytes))
    )


cdef inline bint grow_slots(Dictionary* dictionary) noexcept nogil:
    cdef uint32_t count = (dictionary.slots_mask + 1) * 2
    cdef uint32_t mask = count - 1
    cdef uint32_t number, slot
    cdef uint32_t* slots = <uint32_t*>calloc(count, sizeof(uint32_t))
    if slots == NULL:
        return False
    for number in range(dictionary.keys_count):
        if dictionary.keys[number].size_bytes == 0:
            continue
        slot = slot_of(dictionary.keys + number, &dictionary.seed, mask)
        while slots[slot]:
            slot = (slot + 1) & mask
        slots[slot] = number + 1
    free(dictionary.slots)
    dictionary.slots = slots
    dictionary.slots_mask = mask
    return True


cdef inline bint widen(Dictionary* dictionary, size_t rows_done) noexcept nogil:
    """Twice the bytes for each row number; the first `rows_done` are carried over."""
    cdef size_t i
    cdef uint8_t* wider = <uint8_t*>calloc(dictionary.rows, <size_t>2 << dictionary.width_log2)
    if wider == NULL:
        return False
    if dictionary.width_log2 == 0:
        for i in range(rows_done):
            (<uint16_t*>wider)[i] = dictionary.numbers[i]
    else:
        for i in range(rows_done):
            (<uint32_t*>wider)[i] = (<uint16_t*>dictionary.numbers)[i]
    free(dictionary.numbers)
    dictionary.numbers = wider
    dictionary.width_log2 += 1
    return True


cdef inline uint32_t add_key(Dictionary* dictionary, const Key* key, size_t row) noexcept nogil:
    """The new key's number; NO_KEY: out of memory."""
    cdef uint32_t number = dictionary.keys_count
    cdef Key* keys
    if number == dictionary.keys_capacity:
        keys = <Key*>realloc(dictionary.keys, 2 * <size_t>number * sizeof(Key))
        if keys == NULL:
            return NO_KEY
        dictionary.keys = keys
        dictionary.keys_capacity = 2 * number
    dictionary.keys[number] = key[0]
    dictionary.keys_count = number + 1
    dictionary.stored_key_bytes += stored_string_bytes(key.size_bytes)
    if 2 * <size_t>dictionary.keys_count > dictionary.slots_mask and not grow_slots(dictionary):
        return NO_KEY
    if (number == 0x100 or number == 0x10000) and not widen(dictionary, row):
        return NO_KEY
    return number


cdef inline uint32_t find_or_add(Dictionary* dictionary, const Key* key, size_t row) noexcept nogil:
    cdef uint32_t slot = slot_of(key, &dictionary.seed, dictionary.slots_mask)
    cdef uint32_t number
    while dictionary.slots[slot]:
        number = dictionary.slots[slot] - 1
        if same_key(dictionary.keys + number, key):
            return number
        slot = (slot + 1) & dictionary.slots_mask
    # The slot is taken before the table may grow, which files every key anew.
    dictionary.slots[slot] = dictionary.keys_count + 1
    return add_key(dictionary, key, row)


cdef inline void store_number(Dictionary* dictionary, size_t row, uint32_t number) noexcept nogil:
    dictionary.row_number = number
    if dictionary.width_log2 == 0:
        dictionary.numbers[row] = <uint8_t>number
    elif dictionary.width_log2 == 1:
        (<uint16_t*>dictionary.numbers)[row] = <uint16_t>number
    else:
        (<uint32_t*>dictionary.numbers)[row] = number


cdef inline bint dictionary_put(
    Dictionary* dictionary, size_t row, const uint8_t* text, uint32_t size_bytes
) noexcept nogil:
    """Row `row` (0, 1, 2 … in turn, below `rows`) has this text. False: out of memory."""
    cdef Key key
    cdef uint32_t number
    if size_bytes == 0:
        if dictionary.empty_number == NO_KEY:
            key.head = key.tail = 0
            key.text = text
            key.size_bytes = 0
            dictionary.empty_number = add_key(dictionary, &key, row)
            if dictionary.empty_number == NO_KEY:
                return False
        number = dictionary.empty_number
    else:
        read_key(&key, text, size_bytes, &dictionary.seed)
        number = dictionary.last_number
        if number == NO_KEY or not same_key(dictionary.keys + number, &key):
            number = find_or_add(dictionary, &key, row)
            if number == NO_KEY:
                return False
            dictionary.last_number = number
    store_number(dictionary, row, number)
    return True


cdef inline void dictionary_repeat(Dictionary* dictionary, size_t first, size_t end) noexcept nogil:
    """Rows `first` … `end` - 1 have the text of the row before; not for row 0."""
    cdef size_t row
    if dictionary.width_log2 == 0:
        memset(dictionary.numbers + first, dictionary.row_number, end - first)
    elif dictionary.width_log2 == 1:
        for row in range(first, end):
            (<uint16_t*>dictionary.numbers)[row] = <uint16_t>dictionary.row_number
    else:
        for row in range(first, end):
            (<uint32_t*>dictionary.numbers)[row] = dictionary.row_number


cdef inline size_t dictionary_head_bytes(const Dictionary* dictionary) noexcept nogil:
    """What `write_dictionary_head` writes."""
    return 0 if dictionary.rows == 0 else 24 + dictionary.stored_key_bytes


cdef inline uint8_t* write_dictionary_head(uint8_t* out, const Dictionary* dictionary) noexcept nogil:
    """Everything between the version prefix and the row numbers; nothing at all for no rows."""
    cdef uint32_t number
    if dictionary.rows == 0:
        return out
    out = put_u64(out, LOW_CARDINALITY_FLAGS | dictionary.width_log2)
    out = put_u64(out, dictionary.keys_count)
    for number in range(dictionary.keys_count):
        out = put_string(out, dictionary.keys[number].text, dictionary.keys[number].size_bytes)
    return put_u64(out, dictionary.rows)


cdef inline size_t dictionary_numbers_bytes(const Dictionary* dictionary) noexcept nogil:
    return dictionary.rows << dictionary.width_log2
