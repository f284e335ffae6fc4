"""What the blocks' columns are called, which types they have, and how each is stored."""

from typing import Final

EVENTS_COLUMNS: Final[tuple[tuple[str, str], ...]]
"""Names and ClickHouse types in block order."""
LEDGER_COLUMNS: Final[tuple[tuple[str, str], ...]]
OUTCOME_LABELS: Final[dict[int, str]]
"""Outcome code → the label that `ledger.outcome` holds."""

def stored_string(text: str) -> bytes:
    """A String value as a column stores it: its length, then its bytes."""
