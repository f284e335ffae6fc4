"""Counting outcomes: how many records of each (site, hour, outcome, bot reasons) a segment holds.

An open-addressed table that doubles at half full. Neighbouring records mostly share their key, so the last entry is
asked first. Entries come out in the order they were first counted; the caller sorts.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from core_ext.dictionary cimport Seed, fold_product

cdef enum:
    FIRST_ENTRIES = 256


cdef struct LedgerEntry:
    # site id << 32 | hour in seconds
    uint64_t place
    # outcome << 16 | bot reasons
    uint32_t verdict
    # 0: a free entry
    uint32_t count


cdef struct Ledger:
    Seed seed
    LedgerEntry* entries
    size_t mask
    size_t used
    LedgerEntry* last


cdef inline bint ledger_open(Ledger* ledger, const Seed* seed) noexcept nogil:
    """False: out of memory. The struct must have been zeroed."""
    ledger.seed = seed[0]
    ledger.entries = <LedgerEntry*>calloc(FIRST_ENTRIES, sizeof(LedgerEntry))
    ledger.mask = FIRST_ENTRIES - 1
    return ledger.entries != NULL


cdef inline void ledger_close(Ledger* ledger) noexcept nogil:
    free(ledger.entries)
    ledger.entries = NULL


cdef inline LedgerEntry* ledger_entry(
    LedgerEntry* entries, size_t mask, const Seed* seed, uint64_t place, uint32_t verdict
) noexcept nogil:
    """The entry of this key, or the free one where it belongs."""
    cdef size_t slot = fold_product(place ^ seed.first, verdict ^ seed.second) & mask
    while entries[slot].count and not (entries[slot].place == place and entries[slot].verdict == verdict):
        slot = (slot + 1) & mask
    return entries + slot


cdef inline bint ledger_grow(Ledger* ledger) noexcept nogil:
    cdef size_t mask = 2 * ledger.mask + 1
    cdef size_t i
    cdef LedgerEntry* old
    cdef LedgerEntry* entries = <LedgerEntry*>calloc(mask + 1, sizeof(LedgerEntry))
    if entries == NULL:
        return False
    for i in range(ledger.mask + 1):
        old = ledger.entries + i
        if old.count:
            ledger_entry(entries, mask, &ledger.seed, old.place, old.verdict)[0] = old[0]
    free(ledger.entries)
    ledger.entries = entries
    ledger.mask = mask
    ledger.last = NULL
    return True


cdef inline bint ledger_count(
    Ledger* ledger, uint32_t site_id, uint32_t hour_s, uint8_t outcome, uint16_t bot_reasons
) noexcept nogil:
    """One more of this key. False: out of memory."""
    cdef uint64_t place = <uint64_t>site_id << 32 | hour_s
    cdef uint32_t verdict = <uint32_t>outcome << 16 | bot_reasons
    cdef LedgerEntry* entry = ledger.last
    if entry == NULL or entry.place != place or entry.verdict != verdict:
        if 2 * ledger.used > ledger.mask and not ledger_grow(ledger):
            return False
        entry = ledger_entry(ledger.entries, ledger.mask, &ledger.seed, place, verdict)
        if entry.count == 0:
            entry.place = place
            entry.verdict = verdict
            ledger.used += 1
        ledger.last = entry
    entry.count += 1
    return True
