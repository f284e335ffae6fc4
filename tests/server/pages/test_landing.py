"""The start page, and what caches may keep: public pages for minutes, assets for ever, everything else not at all."""

from __future__ import annotations

import re

import pytest

from server.billing.plans import PLANS
from server.clock import now_ms
from server.demo.rows import prepare_demo
from server.pages.assets import HASHED_CACHE_CONTROL
from server.services import open_services
from server.sites import add_site
from tests.server.accounts.people import PASSWORD, make_owner
from tests.server.pages.site_host import Host, hosted


def test_a_new_installation_says_what_to_do_first(host: Host) -> None:
    page = host.browser().get("/")
    assert "one-time link" in page.text
    assert page.headers["cache-control"] == "no-store"


def test_strangers_see_what_footfall_is_and_may_cache_it(host: Host) -> None:
    make_owner(host.services)
    add_site(host.services.engine, "secret.example", account_id=1)
    page = host.browser().get("/")
    assert page.status == 200
    assert page.headers["cache-control"] == "public, max-age=300"
    assert page.headers["vary"] == "Cookie"
    assert "set-cookie" not in page.headers
    assert "_xsrf" not in page.text
    assert "secret.example" not in page.text
    for plan in PLANS:
        assert f"<strong>{plan.events_text}</strong> events" in page.text
        assert f"Figures for <strong>{plan.retention_text}</strong>" in page.text
    assert [re.sub("<[^>]+>", "", price) for price in re.findall('class="price">(.*?)</p>', page.text)] == [
        "Free",
        "€29 a month",
        "€249 a month",
    ]
    assert 'href="/signup"' in page.text
    assert "Live demo" not in page.text
    assert page.text == host.browser().get("/").text


def test_whoever_is_logged_in_goes_to_their_sites(host: Host) -> None:
    make_owner(host.services)
    browser = host.browser()
    browser.log_in("owner@example.com", PASSWORD)
    answer = browser.get("/")
    assert (answer.status, answer.location) == (302, "/sites")
    assert answer.headers["cache-control"] == "no-store"


def test_the_live_demo_is_one_click_away(host: Host) -> None:
    make_owner(host.services)
    demo = prepare_demo(host.services.engine, now_ms())
    assert f'href="{demo.share_path}"' in host.browser().get("/").text


def test_where_sign_up_is_closed_nothing_leads_to_it(host: Host) -> None:
    make_owner(host.services)
    settings = host.services.settings.model_copy(update={"invite_only": True})
    closed = open_services(settings)
    with hosted(closed) as other:
        page = other.browser().get("/").text
    closed.close()
    assert "/signup" not in page
    assert "by invitation" in page


@pytest.mark.parametrize("path", ["/login", "/signup", "/reset", "/demo", "/none", "/sites", "/readyz"])
def test_nothing_else_is_kept_by_caches(host: Host, path: str) -> None:
    assert host.browser().get(path).headers["cache-control"] == "no-store"


def test_assets_are_kept_for_a_year(host: Host) -> None:
    make_owner(host.services)
    page = host.browser().get("/").text
    assets = set(re.findall(r'"(/assets/[^"]+)"', page))
    assert any("landing" in path for path in assets)
    for path in assets:
        answer = host.browser().get(path)
        assert (answer.status, answer.headers["cache-control"]) == (200, HASHED_CACHE_CONTROL)
    assert HASHED_CACHE_CONTROL == "public, max-age=31536000, immutable"
