"""The stored codes are one table: in the crate, in the schema, and in the encoder's columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rust_ext
from core_ext.native import EVENTS_COLUMNS
from tests.reference.records import METRIC_NAMES, STRING_NAMES

SCHEMA = Path(__file__).resolve().parents[2] / "server" / "schema"


def enum_values(column_type: str) -> list[tuple[int, str]]:
    """Codes and names of the Enum8 in a column's type."""
    return [(int(code), name) for name, code in re.findall(r"'(\w+)'\s*=\s*(\d+)", column_type)]


@pytest.mark.parametrize(
    ("column", "table"),
    [
        ("kind", rust_ext.event_kinds()),
        ("device", rust_ext.devices()),
        ("channel", rust_ext.channels()),
    ],
)
def test_enums_are_the_crates_tables(column: str, table: list[tuple[int, str]]) -> None:
    assert enum_values(dict(EVENTS_COLUMNS)[column]) == table
    schema = "\n".join(path.read_text() for path in sorted(SCHEMA.glob("*.sql")))
    declared = re.search(rf"^\s+{column} \w+\(.*?\)[ ,]*(?:CODEC|,$)", schema, re.DOTALL | re.MULTILINE)
    assert declared is not None, f"{column} is in no migration"
    assert enum_values(declared.group()) == table


def test_the_reference_knows_the_same_names() -> None:
    assert tuple(rust_ext.string_fields()) == STRING_NAMES
    assert dict(rust_ext.metrics()) == METRIC_NAMES


def test_outcome_labels_are_unique() -> None:
    codes, labels = zip(*rust_ext.outcomes(), strict=True)
    assert len(set(codes)) == len(set(labels)) == len(codes)
    assert rust_ext.outcomes()[0] == (0, "accepted")


def test_the_build_says_its_profile() -> None:
    assert rust_ext.build_profile() in ("release", "quick", "debug")
