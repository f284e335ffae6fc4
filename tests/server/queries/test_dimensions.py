"""What is stored, and how it reads, both ways."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.queries.dimensions import DIMENSIONS, Dimension, Level

VISIT = [each for each in DIMENSIONS.values() if each.level is Level.VISIT and each.column]
WORDS = ["", "(not set)", "Direct / None", "Google", "desktop", "Desktop", "sms", "Mobile Push Notifications", "ß"]


@given(st.sampled_from(VISIT), st.lists(st.sampled_from(WORDS), max_size=4), st.sampled_from(WORDS))
def test_what_is_stored_is_found_by_how_it_reads(dimension: Dimension, values: list[str], stored: str) -> None:
    found = dimension.stored(values)
    assert (stored in found) == (dimension.shown(stored) in values)
    assert len(found) == len(set(found))
