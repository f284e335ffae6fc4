"""The snapshot: what the core is told, the encrypted copy beside the spool, polling, and Redis's push."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine

from rust_ext import Collector
from server.accounts.keys import keep_api_key, key_hash
from server.app_database import migrate_app_database, open_app_database
from server.collect import RULES_PATH
from server.config import Settings, load_settings
from server.data_folder import load_secret_key, prepare_data_folder
from server.salts import keep_salts
from server.site_zones import BEGINNING
from server.sites import add_site
from server.snapshot import (
    CHANNEL,
    SAVED_NAME,
    SavedSnapshotError,
    SnapshotPoller,
    SnapshotSource,
    announce,
    load_source,
    read_source,
    render,
    save_source,
    site_days,
)
from tests.services.redis import running_redis

NOON_MS = 1_795_435_200_000  # 2026-11-23 12:00 UTC
DAY_MS = 86_400_000
KEY = "k" * 64


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load_settings(data_dir=tmp_path / "data")
    prepare_data_folder(settings)
    return settings


@pytest.fixture
def engine(settings: Settings) -> Engine:
    engine = open_app_database(settings)
    migrate_app_database(settings, engine)
    return engine


def source(**changes: object) -> SnapshotSource:
    values: dict[str, object] = {
        "version": 3,
        "sites": (),
        "api_keys": (),
        "salts": {"2026-11-22": "11" * 16, "2026-11-23": "22" * 16, "2026-11-24": "33" * 16},
    }
    return SnapshotSource(**{**values, **changes})  # type: ignore[arg-type]


def test_the_core_takes_what_is_rendered(engine: Engine, settings: Settings, tmp_path: Path) -> None:
    add_site(engine, "example.com", "Europe/Berlin")
    keep_api_key(engine, "ff_key", "test", 1)
    keep_salts(engine, NOON_MS)
    collector = Collector(rules_path=str(RULES_PATH), spool_folder=str(tmp_path / "spool"))
    document = render(read_source(engine), settings, NOON_MS)
    assert collector.apply_snapshot(document) == json.loads(document)["version"]
    collector.close()


def local_days(zone: str, now_ms: int) -> list[tuple[int, str]]:
    """Of a site that has always been in one zone."""
    return site_days(((BEGINNING, zone),), now_ms)


def test_days_start_at_local_midnight_also_over_clock_changes() -> None:
    # Berlin left summer time on 2026-10-25; Beirut's midnight of 2026-03-29 does not exist.
    berlin = {day: start for start, day in local_days("Europe/Berlin", 1_792_929_600_000)}
    assert datetime.fromtimestamp(berlin["2026-10-25"], UTC).hour == 22
    assert berlin["2026-10-26"] - berlin["2026-10-25"] == 25 * 3600
    beirut = local_days("Asia/Beirut", 1_774_785_600_000)
    assert [day for _, day in beirut] == sorted(day for _, day in beirut)
    starts = {day: start for start, day in beirut}
    assert starts["2026-03-30"] - starts["2026-03-29"] == 23 * 3600


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu", "America/St_Johns"])
def test_days_cover_a_batchs_past_and_the_next_days(zone: str) -> None:
    days = local_days(zone, NOON_MS)
    assert len(days) == 12
    assert days[0][0] <= NOON_MS / 1000 - 7 * 86_400
    assert days[-1][0] >= NOON_MS / 1000 + 86_400
    assert all(earlier[0] < later[0] for earlier, later in pairwise(days))


def test_the_saved_copy_hides_the_salts(tmp_path: Path) -> None:
    path = tmp_path / SAVED_NAME
    save_source(source(), path, KEY, NOON_MS)
    content = path.read_bytes()
    assert b"2222" not in content
    assert bytes.fromhex("22" * 16) not in content
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_source(path, KEY, NOON_MS) == source()


def test_a_saved_copy_forgets_salts_whose_time_is_over(tmp_path: Path) -> None:
    path = tmp_path / SAVED_NAME
    save_source(source(), path, KEY, NOON_MS)
    loaded = load_source(path, KEY, NOON_MS + DAY_MS)
    assert loaded is not None
    assert sorted(loaded.salts) == ["2026-11-23", "2026-11-24"]
    save_source(source(), path, KEY, NOON_MS + 2 * DAY_MS)
    later = load_source(path, KEY, NOON_MS)
    assert later is not None
    assert sorted(later.salts) == ["2026-11-24"], "it is not even written"


def test_a_copy_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    path = tmp_path / SAVED_NAME
    assert load_source(path, KEY, NOON_MS) is None
    save_source(source(), path, KEY, NOON_MS)
    with pytest.raises(SavedSnapshotError, match="another secret key"):
        load_source(path, "other" * 16, NOON_MS)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 11):
        path.write_bytes(whole[:cut])
        with pytest.raises(SavedSnapshotError):
            load_source(path, KEY, NOON_MS)
    document = json.loads(whole)
    document["salts"] = document["salts"][:-2] + ("00" if not document["salts"].endswith("00") else "11")
    path.write_text(json.dumps(document))
    with pytest.raises(SavedSnapshotError):
        load_source(path, KEY, NOON_MS)


def test_a_start_without_the_app_database_uses_the_copy(engine: Engine, settings: Settings) -> None:
    add_site(engine, "example.com")
    keep_api_key(engine, "ff_key", "test", 1)
    first = SnapshotPoller(engine, settings, load_secret_key(settings), lambda document, version: None)
    assert not first.start_from_saved()
    first.poll()
    holder = first.key_holder(key_hash("ff_key"))
    assert holder is not None
    assert (holder.account_id, "stats:read" in holder.scopes) == (1, True)
    assert first.key_holder(key_hash("ff_other")) is None
    away = open_app_database(
        load_settings(data_dir=settings.data_dir, app_database_url="postgresql://127.0.0.1:1/none")
    )
    seen: list[bytes] = []
    second = SnapshotPoller(away, settings, load_secret_key(settings), lambda document, version: seen.append(document))
    second.poll()
    assert seen == [], "nothing is made up"
    assert second.start_from_saved()
    second.poll()
    assert [site["domain"] for site in json.loads(seen[0])["sites"]] == ["example.com"]
    assert json.loads(seen[0])["salts"]
    assert second.failures == 2


def test_changes_are_applied_once(engine: Engine, settings: Settings) -> None:
    seen: list[int] = []
    poller = SnapshotPoller(engine, settings, load_secret_key(settings), lambda document, version: seen.append(version))
    poller.poll()
    poller.poll()
    add_site(engine, "example.com")
    poller.poll()
    poller.poll()
    assert len(seen) == 2
    assert seen[1] == seen[0] + 1


def test_redis_pushes_a_change_at_once(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.snapshot.POLL_INTERVAL_S", 30.0)
    with running_redis(tmp_path) as url:
        settings = load_settings(data_dir=tmp_path / "data", redis_url=url)
        seen: list[float] = []
        poller = SnapshotPoller(engine, settings, KEY, lambda document, version: seen.append(time.monotonic()))
        poller.start()
        try:
            wait_until(lambda: len(seen) == 1)
            with redis.Redis.from_url(url) as client:
                wait_until(lambda: client.pubsub_numsub(CHANNEL)[0][1] == 1)
            add_site(engine, "example.com")
            changed_s = time.monotonic()
            assert announce(settings)
            wait_until(lambda: len(seen) == 2)
            assert seen[1] - changed_s < 5
        finally:
            poller.stop()
            poller.join(5)


def test_without_redis_nothing_is_announced_and_nothing_fails(tmp_path: Path) -> None:
    assert not announce(load_settings(data_dir=tmp_path))
    assert not announce(load_settings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1/0"))


def wait_until(condition: object, timeout_s: float = 10.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
