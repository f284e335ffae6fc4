"""Changes of a site by its people: what is kept, refused, logged, and told to the ingest core."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from server.accounts.errors import FormError, NotThere
from server.app_database import open_app_database, read_version, reading, writing
from server.clock import now_ms
from server.config import Settings
from server.models import AuditEntry, Site
from server.site_changes import (
    FORMER_DOMAIN_LIFE_MS,
    change_embedding,
    change_privacy,
    change_sampling,
    change_timezone,
    parse_origins,
    rename_site,
)
from server.site_rules import block_address, change_networks
from server.sites import add_site
from server.snapshot import known_by, read_source


@pytest.fixture
def engine(database_settings: Settings) -> Iterator[Engine]:
    opened = open_app_database(database_settings)
    yield opened
    opened.dispose()


@pytest.fixture
def site(engine: Engine) -> Site:
    return add_site(engine, "old.example", "Europe/Berlin")


def kept(engine: Engine, site_id: int) -> Site:
    with reading(engine) as session:
        return session.get_one(Site, site_id)


def version(engine: Engine) -> int:
    with reading(engine) as session:
        return read_version(session)


def test_a_renamed_site_is_known_by_both_names_for_a_while(engine: Engine, site: Site) -> None:
    before = version(engine)
    assert rename_site(engine, site.site_id, " www.New.example ", 1) == "new.example"
    assert version(engine) == before + 1
    sites = read_source(engine).sites
    soon, late = now_ms() + FORMER_DOMAIN_LIFE_MS - 60_000, now_ms() + FORMER_DOMAIN_LIFE_MS + 60_000
    assert [(each["domain"], each["site_id"]) for each in known_by(sites, soon)] == [
        ("old.example", site.site_id),
        ("new.example", site.site_id),
    ]
    assert [each["domain"] for each in known_by(sites, late)] == ["new.example"]
    add_site(engine, "old.example")
    newest = {each["domain"]: each["site_id"] for each in known_by(read_source(engine).sites, soon)}
    assert newest["old.example"] != site.site_id, "the core lets the later entry win: the new site's"


def test_a_name_that_is_taken_or_wrong_changes_nothing(engine: Engine, site: Site) -> None:
    add_site(engine, "taken.example")
    before = version(engine)
    for domain in ("taken.example", "no domain", "x.example/settings", ""):
        with pytest.raises(FormError) as refused:
            rename_site(engine, site.site_id, domain, 1)
        assert refused.value.field == "domain"
    assert version(engine) == before
    assert rename_site(engine, site.site_id, "old.example", 1) == "old.example"
    assert (kept(engine, site.site_id).domain, kept(engine, site.site_id).former_domain) == ("old.example", "")


def test_a_time_zone_holds_from_a_midnight_to_come(engine: Engine, site: Site) -> None:
    first = change_timezone(engine, site.site_id, "Asia/Kathmandu", 1)
    assert first is not None
    zones = read_source(engine).sites[0]["zones"]
    assert zones[-1] == (str(first), "Asia/Kathmandu")
    assert zones[0][1] == "Europe/Berlin"
    assert change_timezone(engine, site.site_id, "Europe/Berlin", 1) is None
    with pytest.raises(FormError, match="not a time zone"):
        change_timezone(engine, site.site_id, "Mars/Base", 1)


@pytest.mark.parametrize("wrong", ["0", "1001", "-1", "1.5", "", "²", "many"])
def test_sampling_has_limits(engine: Engine, site: Site, wrong: str) -> None:
    with pytest.raises(FormError):
        change_sampling(engine, site.site_id, wrong, 1)
    change_sampling(engine, site.site_id, "1000", 1)
    assert kept(engine, site.site_id).sample_every == 1000


def test_every_change_is_in_the_log_and_no_address_is(engine: Engine, site: Site) -> None:
    rename_site(engine, site.site_id, "new.example", 1)
    change_timezone(engine, site.site_id, "UTC", 1)
    change_privacy(engine, site.site_id, True, 1)
    change_embedding(engine, site.site_id, "https://intranet.example", 1)
    change_networks(engine, site.site_id, "203.0.113.7", 1)
    block_address(engine, site.site_id, "203.0.113.9", 1)
    with reading(engine) as session:
        entries = session.execute(select(AuditEntry).order_by(AuditEntry.entry_id)).scalars().all()
    actions = [entry.action for entry in entries if entry.target != "old.example"]
    assert actions == [
        "site.renamed",
        "site.timezone",
        "site.privacy",
        "site.embedding",
        "site.rules",
        "site.rules",
    ]
    assert not any("203.0.113" in f"{entry.target} {entry.detail}" for entry in entries)


@pytest.mark.parametrize("state", ["deleting", "destroyed"])
def test_a_site_that_is_gone_cannot_be_changed(engine: Engine, site: Site, state: str) -> None:
    with writing(engine) as session:
        session.get_one(Site, site.site_id).state = state
    with pytest.raises(NotThere):
        change_privacy(engine, site.site_id, True, 1)
    with pytest.raises(NotThere):
        change_privacy(engine, 999, True, 1)


def test_origins_are_kept_as_the_header_takes_them() -> None:
    text = "https://Intranet.example/\nhttp://localhost:3000 https://*.shop.example https://intranet.example"
    assert parse_origins(text) == ["https://intranet.example", "http://localhost:3000", "https://*.shop.example"]
    for wrong in (
        "intranet.example",
        "https://intranet.example/path",
        "https://user@intranet.example",
        "ftp://x.example",
        "https://x.example:99999",
        "https://*",
        "*",
        "'none'",
        "https://x.example;script-src",
        "https://[::1",
        "https://",
    ):
        with pytest.raises(FormError, match="not an origin"):
            parse_origins(wrong)
    with pytest.raises(FormError, match="At most"):
        parse_origins(" ".join(f"https://{number}.example" for number in range(21)))


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-z*.;,'\" :/@-]{0,30}", fullmatch=True))
def test_no_origin_ends_the_directive(text: str) -> None:
    try:
        origins = parse_origins(text)
    except FormError:
        return
    for origin in origins:
        assert re.fullmatch(r"https?://(\*\.)?[a-z0-9.-]+(:[0-9]{1,5})?", origin)
