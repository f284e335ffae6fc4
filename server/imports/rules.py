"""By which rules the events of an import are judged: the site's own, frozen when the import begins.

Frozen, because a run that was killed and goes on must make the same records of the same lines. Of the site's rules
those about what a page view is hold (hostnames, bots, spam referrers, blocks); those about load do not: an import is
neither rated nor sampled, nor stopped by the plan's capacity.

Visitors: ids are keyed by a random salt of the import's own, with the event's local date mixed in. So an imported
visitor never meets a live one, nor one of another import, and lives for one local day like everybody else. The salt is
sealed while the import is under way, and forgotten with its end.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, select

import rust_ext
from server.app_database import reading
from server.clock import DAY_MS
from server.config import Settings
from server.imports.errors import ImportRefused
from server.migrate import RETENTION_DAYS
from server.models import SiteTimezone
from server.queries.periods import SiteCalendar
from server.sealing import seal, unseal
from server.snapshot import read_source

# As `server.collect`, which a task does not import: it brings the whole application.
RULES_PATH = Path(rust_ext.__file__).with_name("rules.pack")

SALT_BYTES = 16
_SEALED_FOR = "import salt"

# No salt of a live date is called this.
_SALT_DATE = "9999-12-31"

# Rows that a part may hold longer than their class says: they are not taken, since they may be gone the next moment.
RETENTION_MARGIN_DAYS = 2

# Sites that take no hits take no imports either.
REFUSED_STATES = ("blocked", "deleting", "destroyed")


@dataclass(frozen=True)
class ImportRules:
    """See the module. Times in milliseconds since 1970 UTC; `live_from_ms` None: take also days with live hits."""

    site: Mapping[str, Any]
    zones: tuple[tuple[str, str], ...]
    shards: int
    oldest_ms: int
    newest_ms: int
    live_from_ms: int | None
    salt_sealed: str

    @property
    def site_id(self) -> int:
        """The site's number."""
        return int(self.site["site_id"])

    @property
    def account_id(self) -> int:
        """Whose it is."""
        return int(self.site["account_id"])

    @property
    def domain(self) -> str:
        """Its domain, without the path that some have."""
        return str(self.site["domain"]).partition("/")[0]

    @cached_property
    def calendar(self) -> SiteCalendar:
        """When its days start."""
        return SiteCalendar(tuple((date.fromisoformat(day), zone) for day, zone in self.zones))

    def as_json(self) -> dict[str, Any]:
        """For the app database."""
        return {
            "site": dict(self.site),
            "zones": self.zones,
            "shards": self.shards,
            "oldest_ms": self.oldest_ms,
            "newest_ms": self.newest_ms,
            "live_from_ms": self.live_from_ms,
            "salt_sealed": self.salt_sealed,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> ImportRules:
        """What `as_json` made."""
        zones = tuple((str(day), str(zone)) for day, zone in saved["zones"])
        return cls(**{**saved, "zones": zones})

    def salt(self, secret_key: str) -> bytes:
        """The import's salt. Raises `SealBroken` when the secret key is another one."""
        return unseal(secret_key, _SEALED_FOR, bytes.fromhex(self.salt_sealed))

    def snapshot(self, salt: bytes, first_ms: int, last_ms: int) -> bytes:
        """The document that the core judges events of these times by."""
        first = self.calendar.day_at(first_ms) - timedelta(days=1)
        last = self.calendar.day_at(last_ms) + timedelta(days=1)
        days: list[tuple[int, str]] = []
        day = first
        while day <= last:
            start_s = self.calendar.start_ms(day) // 1000
            if days and days[-1][0] >= start_s:
                days.pop()  # a date that the zone skipped has no length
            days.append((start_s, str(day)))
            day += timedelta(days=1)
        site = {**self.site, "timezone": 0, "state": "active", "rate_per_second": None, "sample_every": 1}
        return orjson.dumps(
            {
                "version": 1,
                "shards": self.shards,
                "timezones": [{"name": "import", "days": days}],
                "salts": {_SALT_DATE: salt.hex()},
                "sites": [site],
            }
        )

    def visitor_hash(self, salt: bytes, day: date, visitor: str) -> int:
        """The id of a visitor whom the export names, on one local day."""
        text = f"{self.site_id}\0{day}\0{visitor}".encode()
        return int.from_bytes(hashlib.blake2b(text, key=salt, digest_size=8).digest(), "little")


def freeze_rules(
    engine: Engine,
    settings: Settings,
    secret_key: str,
    site_id: int,
    now_ms: int,
    *,
    first_live_ms: int | None,
    takes_live_days: bool,
) -> ImportRules:
    """The rules of a site as they are now. `first_live_ms`: the time of its first live hit, if there is one.

    Raises `ImportRefused` for a site that takes no hits.
    """
    site = next((site for site in read_source(engine).sites if site["site_id"] == site_id), None)
    if site is None or site["state"] in REFUSED_STATES:
        raise ImportRefused("the site takes no hits: it is blocked, or destroyed")
    with reading(engine) as session:
        rows = select(SiteTimezone).where(SiteTimezone.site_id == site_id).order_by(SiteTimezone.from_day)
        zones = tuple((row.from_day, row.timezone) for row in session.execute(rows).scalars())
    zones = zones or ((str(date.min), str(site["timezone"])),)
    kept_days = RETENTION_DAYS.get(int(site["retention_class"]))
    oldest_ms = 0 if kept_days is None else now_ms - (kept_days - RETENTION_MARGIN_DAYS) * DAY_MS
    live_from_ms = None
    if first_live_ms is not None and not takes_live_days:
        calendar = SiteCalendar(tuple((date.fromisoformat(day), zone) for day, zone in zones))
        live_from_ms = calendar.start_ms(calendar.day_at(first_live_ms))
    return ImportRules(
        site=site,
        zones=zones,
        shards=settings.shards,
        oldest_ms=max(oldest_ms, 0),
        newest_ms=now_ms,
        live_from_ms=live_from_ms,
        salt_sealed=seal(secret_key, _SEALED_FOR, secrets.token_bytes(SALT_BYTES)).hex(),
    )


def yyyymm(time_ms: int) -> int:
    """The month of a time, in UTC: a block holds one."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.year * 100 + moment.month
