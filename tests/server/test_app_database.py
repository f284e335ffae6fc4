"""The app database on both stores: migration, versions, watermarks, sites, salts, claims."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from server.accounts.keys import add_api_key, key_hash
from server.app_database import (
    MIGRATIONS_DIR,
    migrate_app_database,
    minimum_watermark,
    newest_migration,
    open_app_database,
    read_version,
    reading,
    remove_watermark,
    store_watermark,
    writing,
)
from server.batches import CLAIM_LIFE_MS, BatchConflict, claim_batch, finish_claim, release_claim
from server.config import Settings, load_settings
from server.models import Account, ApiKey, Base, BillingProfile, Salt, ShareLink, Site, Version, Watermark
from server.salts import keep_salts, kept_dates
from server.sites import SiteError, add_site, find_site, list_sites
from server.snapshot import read_source
from tests.services.postgresql import running_postgresql

NOON_MS = 1_795_435_200_000  # 2026-11-23 12:00 UTC
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def postgresql_url() -> Iterator[str]:
    with running_postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else ""
    return load_settings(data_dir=tmp_path / "data", app_database_url=url)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = open_app_database(settings)
    migrate_app_database(settings, engine)
    yield engine
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            Base.metadata.drop_all(connection)
            connection.exec_driver_sql("DROP TABLE alembic_version")
    engine.dispose()


def test_migrations_make_exactly_the_models(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_the_newest_file_is_alembics_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [newest_migration()]


def test_every_migration_can_be_taken_back_and_keeps_sites_and_keys(settings: Settings, engine: Engine) -> None:
    site = add_site(engine, "kept.example", account_id=1)
    key = add_api_key(engine, "kept", 1)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    config.set_main_option("path_separator", "os")
    revisions = list(ScriptDirectory.from_config(config).walk_revisions())
    for revision in revisions[:-1]:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, str(revision.down_revision))
    assert revisions[-1].revision == "20261123_sites_keys_salts"
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sites SET account_id = 7")
    assert migrate_app_database(settings, engine) == newest_migration()
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    with reading(engine) as session:
        kept = session.execute(select(Site)).scalar_one()
        assert (kept.site_id, kept.domain, kept.account_id) == (site.site_id, "kept.example", 7)
        assert sorted(session.execute(select(Account.account_id)).scalars()) == [1, 7]
        assert sorted(session.execute(select(BillingProfile.plan_code)).scalars()) == ["FREE", "FREE"]
        row = session.execute(select(ApiKey)).scalar_one()
        assert (row.key_hash, row.scopes) == (key_hash(key), ["events:write", "stats:read"])
    with writing(engine) as session:
        session.add(Account(name="next", created_at_ms=NOON_MS))
    with reading(engine) as session:
        assert max(session.execute(select(Account.account_id)).scalars()) == 8


def test_a_database_that_a_newer_version_migrated_is_left_as_it_is(settings: Settings, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '29991231_future'")
    assert migrate_app_database(settings, engine) == "29991231_future"
    assert add_site(engine, "kept.example").domain == "kept.example"


def test_a_migration_of_sites_keeps_what_refers_to_them(settings: Settings, engine: Engine) -> None:
    site = add_site(engine, "kept.example", account_id=1)
    with writing(engine) as session:
        session.add(ShareLink(site_id=site.site_id, slug="kept", name="kept", created_at_ms=NOON_MS))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "20261125_accounts_and_operations")
    migrate_app_database(settings, engine)
    with reading(engine) as session:
        assert session.execute(select(ShareLink.slug)).scalars().all() == ["kept"]
        assert session.execute(select(Site.blocked_networks, Site.respects_gpc)).one() == ([], False)


def test_writers_wait_for_each_other_and_lose_nothing(settings: Settings, engine: Engine) -> None:
    def count_up() -> None:
        other = open_app_database(settings)
        for _ in range(20):
            with writing(other) as session:
                row = session.get(Version, "snapshot", with_for_update=True)
                assert row is not None
                row.version += 1
        other.dispose()

    with reading(engine) as session:
        before = read_version(session)
    threads = [threading.Thread(target=count_up) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with reading(engine) as session:
        assert read_version(session) == before + 120


def test_a_failed_transaction_leaves_nothing(engine: Engine) -> None:
    def fail() -> None:
        with writing(engine) as session:
            session.add(Account(name="never", created_at_ms=NOON_MS))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with reading(engine) as session:
        assert session.execute(select(Account.account_id)).scalars().all() == [1]


def test_many_processes_may_migrate_at_once(settings: Settings, engine: Engine) -> None:
    results: list[str] = []

    def migrate() -> None:
        other = open_app_database(settings)
        results.append(migrate_app_database(settings, other))
        other.dispose()

    threads = [threading.Thread(target=migrate) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 6
    assert len(set(results)) == 1


def test_a_site_is_found_and_counts_up_the_version(engine: Engine) -> None:
    with Session(engine) as session:
        before = read_version(session)
    site = add_site(engine, "www.Example.com", "Europe/Berlin")
    assert (site.domain, site.timezone, site.state) == ("example.com", "Europe/Berlin", "active")
    found = find_site(engine, "example.com")
    assert found is not None
    assert found.site_id == site.site_id
    assert [known.domain for known in list_sites(engine)] == ["example.com"]
    with Session(engine) as session:
        assert read_version(session) == before + 1


@pytest.mark.parametrize(
    ("domain", "timezone"),
    [
        ("", "UTC"),
        ("no spaces", "UTC"),
        ("https://a.de", "UTC"),
        ("a" * 300, "UTC"),
        ("a.de", "Mars/Base"),
        ("ok.de", "UTC"),
    ],
)
def test_a_wrong_or_taken_site_is_refused(engine: Engine, domain: str, timezone: str) -> None:
    add_site(engine, "ok.de")
    with pytest.raises(SiteError):
        add_site(engine, domain, timezone)
    assert len(list_sites(engine)) == 1


def test_salts_are_made_ahead_kept_and_deleted(engine: Engine) -> None:
    assert keep_salts(engine, NOON_MS)
    assert not keep_salts(engine, NOON_MS)
    with Session(engine) as session:
        first = {row.date: row.salt for row in session.execute(select(Salt)).scalars()}
    # At noon UTC of the 23rd: the 22nd has just ended in the last zone and stays 12 h; in 24 h zone +14 has the 25th.
    assert sorted(first) == ["2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25"]
    assert all(len(salt) == 16 for salt in first.values())
    assert len(set(first.values())) == 4
    assert keep_salts(engine, NOON_MS + DAY_MS)
    with Session(engine) as session:
        later = {row.date: row.salt for row in session.execute(select(Salt)).scalars()}
    assert sorted(later) == kept_dates(NOON_MS + DAY_MS)
    assert "2026-11-22" not in later
    assert all(later[day] == salt for day, salt in first.items() if day in later)


def test_processes_agree_on_salts_made_at_the_same_moment(settings: Settings, engine: Engine) -> None:
    seen: list[dict[str, str]] = []

    def keep() -> None:
        other = open_app_database(settings)
        keep_salts(other, NOON_MS)
        seen.append(read_source(other).salts)
        other.dispose()

    threads = [threading.Thread(target=keep) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(seen) == 6
    assert all(salts == seen[0] for salts in seen)


def test_deleted_salts_leave_no_bytes_in_sqlite_files(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    engine = open_app_database(settings)
    migrate_app_database(settings, engine)
    keep_salts(engine, NOON_MS)
    with Session(engine) as session:
        old = session.execute(select(Salt.salt).order_by(Salt.date)).scalars().first()
    assert old is not None
    keep_salts(engine, NOON_MS + DAY_MS)
    engine.dispose()
    for path in tmp_path.glob("footfall.sqlite*"):
        assert old not in path.read_bytes(), path.name


def test_the_watermark_is_the_oldest_and_gone_folders_are_forgotten(engine: Engine) -> None:
    assert minimum_watermark(engine) is None
    store_watermark(engine, "home", "a", ["a"], 500, 1000)
    store_watermark(engine, "home", "b", ["a", "b"], 800, 1000)
    store_watermark(engine, "elsewhere", "c", ["c"], 700, 1000)
    assert minimum_watermark(engine) == 500
    store_watermark(engine, "home", "b", ["b"], 900, 1100)  # the folder `a` was drained
    assert minimum_watermark(engine) == 700
    remove_watermark(engine, "c")
    with Session(engine) as session:
        assert session.execute(select(Watermark.spool_id)).scalars().all() == ["b"]


def test_a_batch_is_claimed_once(engine: Engine) -> None:
    claim: Callable[..., object] = claim_batch
    assert claim(engine, 1, "key", "body", NOON_MS) is None
    with pytest.raises(BatchConflict) as pending:
        claim_batch(engine, 1, "key", "body", NOON_MS)
    assert pending.value.status == 409
    finish_claim(engine, 1, "key", 202, b"answer")
    assert claim(engine, 1, "key", "body", NOON_MS) == (202, b"answer")
    with pytest.raises(BatchConflict) as other:
        claim_batch(engine, 1, "key", "other body", NOON_MS)
    assert other.value.status == 422
    assert claim(engine, 2, "key", "other body", NOON_MS) is None, "accounts do not share keys"
    assert claim(engine, 1, "key", "other body", NOON_MS + CLAIM_LIFE_MS + 1) is None, "a claim ends after 24 h"


def test_a_claim_given_back_can_be_claimed_again(engine: Engine) -> None:
    claim: Callable[..., object] = claim_batch
    assert claim(engine, 1, "key", "body", NOON_MS) is None
    release_claim(engine, 1, "key")
    assert claim(engine, 1, "key", "body", NOON_MS) is None


def test_only_the_hash_of_a_key_is_kept(engine: Engine) -> None:
    key = add_api_key(engine, "test", 1)
    source = read_source(engine)
    assert key not in str(source)
    assert [len(entry["hash"]) for entry in source.api_keys] == [64]
