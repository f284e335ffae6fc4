"""Prints an environment file for compose.yaml with new passwords and keys. Python's own library is enough."""

from __future__ import annotations

import hashlib
import secrets


def environment() -> dict[str, str]:
    """Names and values; no value needs quoting in a URL or in the file."""
    clickhouse = secrets.token_hex(24)
    return {
        "CLICKHOUSE_PASSWORD": clickhouse,
        "CLICKHOUSE_PASSWORD_SHA256": hashlib.sha256(clickhouse.encode()).hexdigest(),
        "POSTGRESQL_PASSWORD": secrets.token_hex(24),
        "FOOTFALL_SECRET_KEY": secrets.token_hex(32),
        "FOOTFALL_PUBLIC_URL": "http://localhost:8080",
    }


if __name__ == "__main__":
    for name, value in environment().items():
        print(f"{name}={value}")
