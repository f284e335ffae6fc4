"""What a site keeps out: whatever a form takes, the ingest core takes, and means the same by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from rust_ext import Collector
from server.accounts.errors import FormError
from server.app_database import open_app_database, reading
from server.collect import RULES_PATH
from server.config import Settings
from server.countries import country_names
from server.models import Site
from server.site_rules import (
    MOST_NETWORKS,
    block_address,
    bot_filters,
    change_bot_filter,
    change_countries,
    change_hostnames,
    change_networks,
    change_paths,
    line_of,
    parse_hostnames,
    parse_networks,
    parse_paths,
)
from server.sites import add_site


@pytest.fixture
def engine(sqlite_settings: Settings) -> Iterator[Engine]:
    opened = open_app_database(sqlite_settings)
    yield opened
    opened.dispose()


@pytest.fixture
def site_id(engine: Engine) -> int:
    return add_site(engine, "shop.example").site_id


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    spool: Path = tmp_path_factory.mktemp("spool")
    collector = Collector(rules_path=str(RULES_PATH), spool_folder=str(spool))
    yield collector
    collector.close()


def kept(engine: Engine, site_id: int) -> Site:
    with reading(engine) as session:
        return session.get_one(Site, site_id)


def is_taken(core: Collector, **blocks: list[str]) -> bool:
    """Whether the core takes a snapshot with these entries."""
    site = {"site_id": 1, "public_id": "6f2c8f0e-0a3b-4c55-9d3e-1a2b3c4d5e6f", "domain": "a.test"}
    zone = {"name": "UTC", "days": [[1_795_305_600, "2026-11-22"]]}
    document = {
        "version": 1,
        "timezones": [zone],
        "salts": {},
        "sites": [{**site, "timezone": 0, "state": "active", **blocks}],
    }
    core.apply_snapshot(json.dumps(document).encode())
    return True


PIECES = st.sampled_from(
    ["/", "*", "**", "a", "ä", "%41", "%2F", "%2a", "%", "%e4", "%C3%A4", "?", " ", "\x7f", "x" * 40]
)
ENTRIES = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ENTRIES, max_size=3).map("\n".join))
def test_the_core_takes_every_path_that_passes(core: Collector, text: str) -> None:
    try:
        paths = parse_paths(text)
    except FormError:
        return
    assert is_taken(core, blocked_paths=paths)


NUMBERS = st.integers(0, 130).map(str) | st.sampled_from(["", "+8", "255.255.255.0", "٨", "1e1"])
ADDRESSES = st.ip_addresses().map(str) | st.sampled_from(["fe80::1%eth0", "::ffff:1.2.3.4", "1.2.3", "x", "01.2.3.4"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ADDRESSES | st.tuples(ADDRESSES, NUMBERS).map("/".join), max_size=4).map("\n".join))
def test_the_core_takes_every_network_that_passes(core: Collector, text: str) -> None:
    try:
        networks = parse_networks(text)
    except FormError:
        return
    assert is_taken(core, blocked_networks=networks)


def test_the_core_takes_every_country(core: Collector) -> None:
    assert is_taken(core, blocked_countries=list(country_names()))
    assert len(country_names()) > 240
    assert country_names()["DE"] == "Germany"


def test_entries_are_kept_once_and_tidied(engine: Engine, site_id: int) -> None:
    change_networks(engine, site_id, "192.0.2.77/24, 203.0.113.9\n2001:DB8::1/32 192.0.2.0/24", 1)
    change_paths(engine, site_id, "/admin/**\n  /caf%C3%A9/*  \n\n/a%2Fb\n/my page", 1)
    change_hostnames(engine, site_id, "www.Shop.example *.shop.example, shop.example.", 1)
    change_countries(engine, site_id, ["FR", "DE", "DE"], 1)
    site = kept(engine, site_id)
    assert site.blocked_networks == ["192.0.2.0/24", "203.0.113.9/32", "2001:db8::/32"]
    assert site.blocked_paths == ["/admin/**", "/café/*", "/a%2Fb", "/my page"]
    assert site.allowed_hostnames == ["shop.example", "*.shop.example"]
    assert site.blocked_countries == ["DE", "FR"]


def test_what_cannot_be_meant_is_refused_at_its_field(engine: Engine, site_id: int) -> None:
    for change, text, field in (
        (change_networks, "192.0.2.0/33", "networks"),
        (change_networks, "shop.example", "networks"),
        (change_paths, "admin", "paths"),
        (change_paths, "/search?q=1", "paths"),
        (change_paths, "/" + "x" * 500, "paths"),
        (change_paths, "/*" + "x" * 62 + "*", "paths"),
        (change_paths, "\n".join(f"/{number}" for number in range(51)), "paths"),
        (change_hostnames, "https://shop.example", "hostnames"),
        (change_hostnames, "shop.*", "hostnames"),
        (change_hostnames, " ".join(f"{number}.example" for number in range(101)), "hostnames"),
    ):
        with pytest.raises(FormError) as refused:
            change(engine, site_id, text, 1)
        assert refused.value.field == field, text
    with pytest.raises(FormError, match="not the code of a country"):
        change_countries(engine, site_id, ["DE", "XX"], 1)


def test_my_address_is_the_network_of_my_line(engine: Engine, site_id: int) -> None:
    assert line_of("203.0.113.9") == "203.0.113.9/32"
    assert line_of("::ffff:203.0.113.9") == "203.0.113.9/32"
    assert line_of("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert line_of("fe80::1%eth0") == "fe80::/64"
    for _ in range(2):
        block_address(engine, site_id, "2001:db8:1:2:3:4:5:6", 1)
    assert kept(engine, site_id).blocked_networks == ["2001:db8:1:2::/64"]
    change_networks(engine, site_id, "\n".join(f"10.{n >> 8}.{n & 255}.0/24" for n in range(MOST_NETWORKS)), 1)
    with pytest.raises(FormError, match="At most"):
        block_address(engine, site_id, "203.0.113.9", 1)


@given(st.ip_addresses())
def test_the_line_holds_the_address(address: object) -> None:
    network = ip_network(line_of(str(address)))
    parsed = ip_address(str(address))
    assert (getattr(parsed, "ipv4_mapped", None) or parsed) in network


def test_bot_reasons_are_named_and_all_means_future_ones_too(engine: Engine, site_id: int) -> None:
    assert all(reason.meaning != reason.name for reason in bot_filters()), "a reason of the core without words"
    names = [reason.name for reason in bot_filters()]
    change_bot_filter(engine, site_id, names, False, 1)
    assert (kept(engine, site_id).drop_bot_mask, kept(engine, site_id).spam_filter) == (0xFFFF, False)
    change_bot_filter(engine, site_id, [names[0], "nonsense"], True, 1)
    assert kept(engine, site_id).drop_bot_mask == bot_filters()[0].bit
    assert parse_hostnames("") == []
