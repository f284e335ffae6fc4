"""Is this span UTF-8? Most spans are ASCII, so eight bytes at a time are asked for a high bit first."""

from libc.stdint cimport uint8_t, uint64_t

from core_ext.cursor cimport load_u32, load_u64


cdef inline bint is_ascii(const uint8_t* text, size_t size_bytes) noexcept nogil:
    """The last word overlaps the one before: a loop over what is left, of any length, is one that no processor foresees."""
    cdef uint64_t bits
    cdef size_t i = 0
    if size_bytes >= 8:
        bits = load_u64(text + size_bytes - 8)
        while i + 32 < size_bytes:
            bits |= load_u64(text + i) | load_u64(text + i + 8) | load_u64(text + i + 16) | load_u64(text + i + 24)
            i += 32
        while i + 8 < size_bytes:
            bits |= load_u64(text + i)
            i += 8
    elif size_bytes >= 4:
        bits = load_u32(text) | load_u32(text + size_bytes - 4)
    elif size_bytes:
        bits = text[0] | text[size_bytes >> 1] | text[size_bytes - 1]
    else:
        return True
    return (bits & <uint64_t>0x8080808080808080) == 0


cdef inline bint is_utf8(const uint8_t* text, size_t size_bytes) noexcept nogil:
    """Well-formed by the Unicode standard's table 3-7: no overlong form, no surrogate, nothing above U+10FFFF."""
    cdef size_t i = 0
    cdef size_t follow
    cdef uint8_t lead, low, high
    while i < size_bytes:
        lead = text[i]
        i += 1
        if lead < 0x80:
            continue
        low = 0x80
        high = 0xBF
        if 0xC2 <= lead <= 0xDF:
            follow = 1
        elif 0xE0 <= lead <= 0xEF:
            follow = 2
            if lead == 0xE0:
                low = 0xA0
            elif lead == 0xED:
                high = 0x9F
        elif 0xF0 <= lead <= 0xF4:
            follow = 3
            if lead == 0xF0:
                low = 0x90
            elif lead == 0xF4:
                high = 0x8F
        else:
            return False
        if follow > size_bytes - i:
            return False
        if not low <= text[i] <= high:
            return False
        i += 1
        follow -= 1
        while follow:
            if text[i] & 0xC0 != 0x80:
                return False
            i += 1
            follow -= 1
    return True
