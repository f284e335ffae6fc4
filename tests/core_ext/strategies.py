"""Records of every shape that the byte table allows, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.reference.record_reader import month_bounds_ms
from tests.reference.records import METRIC_NAMES, NOON_MS, STRING_NAMES, Hit, Short, yyyymm

_MONTH_START_MS, _MONTH_END_MS = month_bounds_ms(yyyymm(NOON_MS))

u16 = st.integers(0, (1 << 16) - 1)
u32 = st.integers(0, (1 << 32) - 1)
u64 = st.integers(0, (1 << 64) - 1)

# Few values, so that dictionaries and runs of equal neighbours appear, beside any text at all. The lengths around 4, 8
# and 16 are where a dictionary key changes its form, around 128 where a length takes a second byte.
_usual = st.sampled_from(["", "", "", "a", "ab", "abc", "www.example.com", "Chrome", "ü", "日本語", "😀"])
_border = st.sampled_from([3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 127, 128, 129, 300]).flatmap(
    lambda size: st.sampled_from("xyz").map(lambda letter: letter * size)
)
texts = st.one_of(_usual, _border, st.text(max_size=40)).map(str.encode)

times_ms = st.one_of(
    st.integers(NOON_MS, NOON_MS + 2000),
    st.sampled_from([_MONTH_START_MS, _MONTH_END_MS - 1, NOON_MS, NOON_MS - 1]),
    st.integers(_MONTH_START_MS, _MONTH_END_MS - 1),
)

hits = st.builds(
    Hit,
    kind=st.integers(1, 5),
    bot_reasons=st.one_of(st.just(0), u16),
    site_id=st.one_of(st.integers(0, 3), u32),
    time_ms=times_ms,
    visitor_id=st.one_of(st.integers(0, 3), u64, u64.map(lambda number: number | (0x3FFFFF << 42))),
    load_id=u64,
    engaged_ms=u32,
    screen_width_px=u16,
    screen_height_px=u16,
    sample_weight=u16,
    device=st.integers(0, 7),
    channel=st.integers(0, 18),
    scroll_depth_percent=st.one_of(st.integers(0, 100), st.just(255)),
    interactive=st.integers(0, 1),
    sequence=u16,
    revenue_micros=st.integers(-(1 << 63), (1 << 63) - 1),
    strings=st.tuples(*([texts] * len(STRING_NAMES))),
    props=st.lists(st.tuples(texts, texts), max_size=4).map(tuple),
    metrics=st.lists(
        st.tuples(st.sampled_from(sorted(METRIC_NAMES)), st.floats(width=32, allow_nan=False, allow_infinity=False)),
        max_size=5,
    ).map(tuple),
)

shorts = st.builds(
    Short,
    outcome=st.one_of(st.integers(1, 11), st.integers(100, 106)),
    bot_reasons=st.one_of(st.just(0), u16),
    site_id=st.one_of(st.integers(0, 3), u32),
    time_ms=times_ms,
)

records = st.lists(st.one_of(hits, hits, shorts), max_size=24)
