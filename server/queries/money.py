"""Revenue as an answer shows it: a number, and how people write it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any


def money(amount: Fraction, currency: str) -> dict[str, Any]:
    """An amount of a currency (ISO 4217) in the shape of Plausible's `Revenue`."""
    # Imported here: it reads its data at the first use.
    from babel.numbers import format_compact_currency, format_currency

    exact = Decimal(amount.numerator) / Decimal(amount.denominator)
    value = float(exact)
    return {
        "value": int(value) if value.is_integer() else round(value, 6),
        "currency": currency,
        "short": format_compact_currency(exact, currency, locale="en_US", fraction_digits=1),
        "long": format_currency(exact, currency, locale="en_US"),
    }
