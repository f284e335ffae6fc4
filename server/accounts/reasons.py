"""Why staff do something to others: one line that those it happens to may read."""

from __future__ import annotations

from server.accounts.errors import FormError

# The width of the columns; a sentence or two.
LONGEST_REASON_CHARS = 300


def clean_reason(text: str, field: str = "reason") -> str:
    """A reason as it is kept: one line of printable signs. Raises `FormError`."""
    reason = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    if not reason:
        raise FormError(field, "A reason is needed: it is kept in the log.")
    if len(reason) > LONGEST_REASON_CHARS:
        raise FormError(field, f"A reason may have {LONGEST_REASON_CHARS} characters.")
    return reason
