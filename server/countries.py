"""The countries that a site can keep out: codes as the ingest core finds them, names from Unicode's CLDR."""

from __future__ import annotations

from functools import cache

# CLDR's two-letter territories that no address belongs to: groups, placeholders, and parts of other countries.
_NO_COUNTRIES = frozenset(("AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"))


@cache
def country_names() -> dict[str, str]:
    """ISO 3166-1 alpha-2 codes with English names, by name."""
    # Imported here: it reads its data at the first use, and few processes need it.
    from babel import Locale

    names = {
        code: str(name)
        for code, name in Locale("en").territories.items()
        if len(code) == 2 and code.isalpha() and code not in _NO_COUNTRIES
    }
    return dict(sorted(names.items(), key=lambda country: country[1]))
