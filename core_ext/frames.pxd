"""ClickHouse's compressed frames.

| bytes | what |
|---:|---|
| 16 | CityHash128 (release 1.0.2) of all that follows |
| 1 | method: 0x82, LZ4 |
| 4 | compressed size, counted from the method byte |
| 4 | raw size |
| … | one LZ4 block |
"""

from libc.stdint cimport uint8_t, uint32_t

from core_ext.column cimport Pieces

cdef enum:
    FRAME_HASH_BYTES = 16
    FRAME_HEAD_BYTES = 9
    FRAME_METHOD_LZ4 = 0x82
    # ClickHouse's own max_compress_block_size; the server reads frame by frame.
    FRAME_RAW_MAX_BYTES = 1 << 20

cdef size_t frames_bound(size_t raw_bytes, size_t frame_raw_bytes) noexcept nogil
cdef size_t write_frames(const Pieces* pieces, size_t frame_raw_bytes, uint8_t* out) noexcept nogil
