"""The snapshot: sites, API-key hashes, salts and limits as one versioned document that the ingest core works from.

Life: `read_source` reads the app database, `render` writes the JSON that `Collector.apply_snapshot` takes, and
`save_source`/`load_source` keep a copy beside the spool, its salts encrypted, so that a process can start while the app
database is away. `SnapshotPoller` is the thread that does all of it: it asks for the version every second, and at once
when Redis says that something changed.

Invariants:
- Redis carries only the hint that something changed, never the content;
- a salt whose time is over is never applied or saved again, even while the app database is away;
- without any snapshot the core answers 503, so nothing here ever makes up an empty one.

All times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, Select, select
from sqlalchemy.exc import SQLAlchemyError

from server.accounts.blocks import blocked_site_ids
from server.accounts.keys import note_key_uses
from server.app_database import read_version, reading
from server.billing.capacity import rejections
from server.clock import now_ms
from server.config import Settings
from server.models import GONE_ACCOUNT_STATES, Account, ApiKey, Salt, Site
from server.salts import is_kept, keep_salts
from server.sealing import SealBroken, seal, unseal
from server.site_zones import BEGINNING, Zones, all_zones, date_at, start_of
from server.sites import GONE_STATES

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 1.0

# Salts and the days of each time zone move with the clock: render again this often even when nothing changed.
RENDER_INTERVAL_S = 600.0

# Salts change once a day: looking for missing ones this often is soon enough after an outage.
SALT_INTERVAL_S = 30.0

# Local dates told to the core: server batches may be 7 days old, and a day more for zones behind UTC.
DAYS_BACK = 8
DAYS_AHEAD = 3

SAVED_NAME = "snapshot.json"

# The Redis channel on which a message means: ask the app database.
CHANNEL = "footfall:snapshot"

_SEALED_FOR = "saved salts"


# What keys could do in snapshots that were saved before keys had scopes.
_EARLIER_SCOPES = ("events:write", "stats:read")

# How often it is kept when a key was used.
KEY_USES_INTERVAL_S = 60.0


@dataclass(frozen=True)
class KeyHolder:
    """Whose an API key is, and what it may do."""

    account_id: int
    scopes: frozenset[str]


class SavedSnapshotError(Exception):
    """The saved copy cannot be used: damaged, or made with another secret key. A new one is written later."""


@dataclass(frozen=True)
class SnapshotSource:
    """What the app database says, before time is added to it."""

    version: int
    sites: tuple[dict[str, Any], ...]
    api_keys: tuple[dict[str, Any], ...]
    salts: dict[str, str]
    rejections: tuple[dict[str, int], ...] = ()


def read_source(engine: Engine) -> SnapshotSource:
    """The newest source, read in one transaction."""
    with reading(engine) as session:
        version = read_version(session)
        sites = session.execute(select(Site).order_by(Site.site_id)).scalars().all()
        keys = session.execute(_living_keys()).scalars().all()
        salts = session.execute(select(Salt).order_by(Salt.date)).scalars().all()
        zones = all_zones(session)
        blocked = blocked_site_ids(session)
        return SnapshotSource(
            version=version,
            sites=tuple(
                {
                    "site_id": site.site_id,
                    "public_id": site.public_id,
                    "domain": site.domain,
                    "account_id": site.account_id,
                    "timezone": site.timezone,
                    "zones": [(str(first), zone) for first, zone in zones.get(site.site_id, ())],
                    "state": "blocked" if site.site_id in blocked and site.state not in GONE_STATES else site.state,
                    "retention_class": site.retention_class,
                    "allowed_hostnames": site.allowed_hostnames,
                    "drop_bot_mask": site.drop_bot_mask,
                    "rate_per_second": site.rate_per_second,
                    "sample_every": site.sample_every,
                    "spam_filter": site.spam_filter,
                    "blocked_networks": site.blocked_networks,
                    "blocked_countries": site.blocked_countries,
                    "blocked_paths": site.blocked_paths,
                    "former_domain": site.former_domain,
                    "former_domain_until_ms": site.former_domain_until_ms,
                }
                for site in sites
            ),
            api_keys=tuple({"hash": key.key_hash, "account_id": key.account_id, "scopes": key.scopes} for key in keys),
            salts={row.date: row.salt.hex() for row in salts},
            rejections=tuple(asdict(each) for each in rejections(session, now_ms())),
        )


def _living_keys() -> Select[ApiKey]:
    """Keys of an account that is being deleted do not work."""
    living = Account.state.not_in(GONE_ACCOUNT_STATES)
    return select(ApiKey).join(Account, Account.account_id == ApiKey.account_id).where(living).order_by(ApiKey.key_id)


def render(source: SnapshotSource, settings: Settings, now_ms: int) -> bytes:
    """The JSON document that the core takes, as of this time."""
    zones = {zones_in(site) for site in source.sites}
    number = {each: index for index, each in enumerate(sorted(zones | {((BEGINNING, "UTC"),)}))}
    rejected = rejected_accounts(source, now_ms) if settings.are_plans_enforced else frozenset()
    limits = {"rate_per_address_per_second": settings.rate_per_address_per_second or None}
    return orjson.dumps(
        {
            "version": source.version,
            "generated_at_ms": now_ms,
            "shards": settings.shards,
            "timezones": [{"name": each[-1][1], "days": site_days(each, now_ms)} for each in number],
            "salts": {day: salt for day, salt in source.salts.items() if is_kept(day, now_ms)},
            "sites": [
                {**site, "timezone": number[zones_in(site)], "state": state_in(site, rejected)}
                for site in known_by(source.sites, now_ms)
            ],
            "limits": limits,
            "api_keys": source.api_keys,
        }
    )


def rejected_accounts(source: SnapshotSource, now_ms: int) -> frozenset[int]:
    """The accounts whose plan and grace are used up at this time."""
    return frozenset(each["account_id"] for each in source.rejections if each["from_ms"] <= now_ms < each["until_ms"])


def next_turn_ms(source: SnapshotSource, now_ms: int) -> int | None:
    """When hits of an account begin or end to be dropped by themselves."""
    turns = (turn for each in source.rejections for turn in (each["from_ms"], each["until_ms"]))
    return min((turn for turn in turns if turn > now_ms), default=None)


def state_in(site: Mapping[str, Any], rejected: frozenset[int]) -> str:
    """A site's state as the core takes it."""
    state = str(site["state"])
    return "depleted" if state == "active" and site["account_id"] in rejected else state


def known_by(sites: Iterable[dict[str, Any]], now_ms: int) -> list[dict[str, Any]]:
    """Each site by each of its names: first those it had until lately, for the core lets a later entry win."""
    sites = list(sites)
    former = [
        {**site, "domain": site["former_domain"]}
        for site in sites
        if site.get("former_domain") and site["former_domain_until_ms"] > now_ms
    ]
    return former + sites


def zones_in(site: Mapping[str, Any]) -> Zones:
    """The zones of a site of a source; snapshots that were saved earlier know the newest one only."""
    zones = tuple((date.fromisoformat(first), zone) for first, zone in site.get("zones", ()))
    return zones or ((BEGINNING, str(site["timezone"])),)


def site_days(zones: Zones, now_ms: int) -> list[tuple[int, str]]:
    """For each local date around now: the second (UTC) at which it starts there, ascending."""
    today = date_at(zones, now_ms)
    days: list[tuple[int, str]] = []
    for offset in range(-DAYS_BACK, DAYS_AHEAD + 1):
        day = today + timedelta(days=offset)
        start_s = start_of(zones, day)
        if days and days[-1][0] >= start_s:
            days.pop()  # a date that the zone skipped has no length
        days.append((start_s, str(day)))
    return days


def save_source(source: SnapshotSource, path: Path, secret_key: str, now_ms: int) -> None:
    """Write the copy that a start without the app database uses. Atomic; readable by this user alone."""
    kept = {day: salt for day, salt in source.salts.items() if is_kept(day, now_ms)}
    sealed = seal(secret_key, _SEALED_FOR, orjson.dumps(kept))
    document = {**asdict(replace(source, salts={})), "salts": sealed.hex()}
    # One name per process: several processes of one data folder save at the same moment.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(document))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_source(path: Path, secret_key: str, now_ms: int) -> SnapshotSource | None:
    """The saved copy, without salts whose time is over; None when there is none. Raises `SavedSnapshotError`."""
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        raise SavedSnapshotError(f"{path.name} cannot be read: {error}") from error
    try:
        opened = unseal(secret_key, _SEALED_FOR, bytes.fromhex(document["salts"]))
        salts = {day: salt for day, salt in orjson.loads(opened).items() if is_kept(day, now_ms)}
        return SnapshotSource(
            version=int(document["version"]),
            sites=tuple(document["sites"]),
            api_keys=tuple(document["api_keys"]),
            salts=salts,
            # Copies that were saved earlier have none.
            rejections=tuple(document.get("rejections", ())),
        )
    except (SealBroken, KeyError, TypeError, ValueError) as error:
        raise SavedSnapshotError(f"{path.name} is damaged or was saved with another secret key") from error


def announce(settings: Settings) -> bool:
    """Tell every process that the snapshot changed. False without Redis, or while it is away: they poll anyway."""
    if not settings.redis_url:
        return False
    import redis

    try:
        with redis.Redis.from_url(settings.redis_url, socket_timeout=1.0, socket_connect_timeout=1.0) as client:
            client.publish(CHANNEL, "changed")
    except redis.RedisError as error:
        log.warning("Redis could not be told of a change", extra={"reason": type(error).__name__})
        return False
    return True


class SnapshotPoller(threading.Thread):
    """Keeps one process supplied: calls `apply` with each new rendering, from its own thread.

    `apply` must not block. `last_success_ms` is the time of the last answer from the app database.
    """

    def __init__(
        self, engine: Engine, settings: Settings, secret_key: str, apply: Callable[[bytes, int], None]
    ) -> None:
        super().__init__(name="snapshot-poller", daemon=True)
        self._engine = engine
        self._settings = settings
        self._secret_key = secret_key
        self._apply = apply
        self._path = settings.data_dir / SAVED_NAME
        self._source: SnapshotSource | None = None
        self._key_holders: dict[str, KeyHolder] = {}
        self._key_uses: dict[str, int] = {}
        self._key_uses_due_s = 0.0
        self._rendered_at_s = 0.0
        self._turns_at_ms: int | None = None
        self._salts_due_s = 0.0
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self.last_success_ms = 0
        self.failures = 0

    @property
    def version(self) -> int | None:
        """The version in force, once there is one."""
        return None if self._source is None else self._source.version

    def key_holder(self, key_hash: str) -> KeyHolder | None:
        """Whose key this is, by its hash; that it was used is kept. For any thread."""
        holder = self._key_holders.get(key_hash)
        if holder is not None:
            self._key_uses[key_hash] = now_ms()
        return holder

    def start_from_saved(self) -> bool:
        """Apply the saved copy at once, before the thread starts. True when there was one."""
        try:
            source = load_source(self._path, self._secret_key, now_ms())
        except SavedSnapshotError as error:
            log.warning("the saved snapshot is not used", extra={"reason": str(error)})
            return False
        if source is None:
            return False
        self._put_in_force(source, save=False)
        return True

    def poll(self) -> None:
        """One look at the app database: applies and saves what changed. Never raises for a store that is away."""
        at_ms = now_ms()
        try:
            if time.monotonic() >= self._salts_due_s:
                keep_salts(self._engine, at_ms)
                self._salts_due_s = time.monotonic() + SALT_INTERVAL_S
            with reading(self._engine) as session:
                version = read_version(session)
            if self._source is None or version != self._source.version:
                self._put_in_force(read_source(self._engine), save=True)
            self._keep_key_uses()
            self.last_success_ms = at_ms
            self.failures = 0
        except SQLAlchemyError as error:
            self.failures += 1
            if self.failures == 1:
                log.warning("the app database is away", extra={"reason": type(error).__name__})
        is_turning = self._turns_at_ms is not None and now_ms() >= self._turns_at_ms
        if self._source is not None and (is_turning or time.monotonic() - self._rendered_at_s > RENDER_INTERVAL_S):
            self._put_in_force(self._source, save=True)

    def run(self) -> None:
        """Poll until `stop`; a message from Redis cuts the wait short."""
        listener: threading.Thread | None = None
        if self._settings.redis_url:
            listener = threading.Thread(target=self._listen, name="snapshot-listener", daemon=True)
            listener.start()
        while not self._stopping.is_set():
            self.poll()
            self._wake.wait(POLL_INTERVAL_S)
            self._wake.clear()

    def look(self) -> None:
        """Poll now instead of within the second."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread soon."""
        self._stopping.set()
        self._wake.set()

    def _keep_key_uses(self) -> None:
        if not self._key_uses or time.monotonic() < self._key_uses_due_s:
            return
        uses, self._key_uses = self._key_uses, {}
        self._key_uses_due_s = time.monotonic() + KEY_USES_INTERVAL_S
        note_key_uses(self._engine, uses)

    def _put_in_force(self, source: SnapshotSource, *, save: bool) -> None:
        at_ms = now_ms()
        document = render(source, self._settings, at_ms)
        if save:
            try:
                save_source(source, self._path, self._secret_key, at_ms)
            except OSError as error:
                log.error("the snapshot could not be saved", extra={"reason": str(error)})
        self._source = source
        self._key_holders = {
            key["hash"]: KeyHolder(int(key["account_id"]), frozenset(key.get("scopes", _EARLIER_SCOPES)))
            for key in source.api_keys
        }
        self._rendered_at_s = time.monotonic()
        self._turns_at_ms = next_turn_ms(source, at_ms)
        self._apply(document, source.version)

    def _listen(self) -> None:
        import redis

        while not self._stopping.is_set():
            try:
                with redis.Redis.from_url(self._settings.redis_url, socket_connect_timeout=1.0) as client:
                    subscription = client.pubsub(ignore_subscribe_messages=True)
                    subscription.subscribe(CHANNEL)
                    self._wake.set()  # for what was said before
                    while not self._stopping.is_set():
                        if subscription.get_message(timeout=POLL_INTERVAL_S) is not None:
                            self._wake.set()
            except (redis.RedisError, OSError) as error:
                log.warning("Redis is away; changes are polled", extra={"reason": type(error).__name__})
                self._stopping.wait(POLL_INTERVAL_S)
