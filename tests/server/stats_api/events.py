"""Rows of `events` as a test writes them down: what it does not name is empty."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_driver import Client

from server.clickhouse_url import ClickHouseAddress


@dataclass
class Visitor:
    """Somebody on a day; events follow with `view`, `event` and `read`."""

    site_id: int
    name: str
    at: datetime
    facts: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def view(self, path: str, after_min: float = 0, **more: Any) -> Visitor:
        """A view of a page, so many minutes after the visitor came."""
        return self._add(after_min, kind="pageview", path=path, event_name="pageview", **more)

    def event(self, name: str, path: str, after_min: float = 0, **more: Any) -> Visitor:
        """A custom event on a page."""
        return self._add(after_min, kind="custom", event_name=name, path=path, interactive=1, **more)

    def read(self, path: str, engaged_s: int, after_min: float, scroll: int = 255) -> Visitor:
        """A report that a page was read."""
        return self._add(
            after_min, kind="engagement", path=path, engaged_ms=engaged_s * 1000, scroll_depth_percent=scroll
        )

    def _add(self, after_min: float, **row: Any) -> Visitor:
        at = self.at + timedelta(minutes=after_min)
        self.rows.append(
            {
                "site_id": self.site_id,
                "time": at,
                "hour": at.replace(minute=0, second=0, microsecond=0),
                # One visitor is another one on another day.
                "visitor_id": hash_of(f"{self.site_id} {self.name} {at.date()}"),
                "hostname": "dummy.site",
                "sample_weight": 1,
                **self.facts,
                **row,
            }
        )
        return self


def visitor(site_id: int, name: str, at: str, **facts: Any) -> Visitor:
    """Somebody who came at a time, such as `2024-08-20 11:56` (UTC)."""
    return Visitor(site_id, name, datetime.fromisoformat(at).replace(tzinfo=UTC), facts)


def hash_of(text: str) -> int:
    """A number of 64 bits, the same in every run."""
    return int.from_bytes(text.encode()[:256].ljust(8, b"."), "big") % (2**64 - 59)


def store_visitors(address: ClickHouseAddress, visitors: Iterable[Visitor]) -> None:
    """Insert their rows. The retention class 0 keeps them whatever their age."""
    rows = [row for each in visitors for row in each.rows]
    columns = sorted({name for row in rows for name in row})
    empty: dict[str, Any] = {"props": {}, "metrics": {}}
    host, port = address.hosts[0]
    client = Client(host=host, port=port, database=address.database)
    texts = {
        "event_name", "path", "referrer", "referrer_source", "country", "os", "utm_medium", "utm_source", "browser",
        "revenue_currency", "hostname",
    }  # fmt: skip
    data = [tuple(row.get(name, empty.get(name, "" if name in texts else 0)) for name in columns) for row in rows]
    try:
        # One INSERT for each month: a block has one partition.
        client.execute(f"INSERT INTO events ({', '.join(columns)}) VALUES", data)
    finally:
        client.disconnect()
