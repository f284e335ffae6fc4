"""A site's settings over HTTP: each form, what it refuses, who may, and what becomes of the site."""

from __future__ import annotations

import re

import pytest

from server.app_database import reading, writing
from server.clock import now_ms
from server.models import AuditEntry, MemberRole, ShareLink, Site
from server.sites import add_site, find_site
from tests.server.accounts.people import PASSWORD, add_member, mails_to, make_owner, make_person, token_in
from tests.server.pages.site_host import Answer, Browser, Host

SETTINGS = "/sites/shop.example/settings"
OWNER = "owner@example.com"


@pytest.fixture
def site(host: Host) -> Site:
    make_owner(host.services)
    return add_site(host.services.engine, "shop.example", "Europe/Berlin", account_id=1)


@pytest.fixture
def browser(host: Host, site: Site) -> Browser:
    return logged_in(host, OWNER)


def logged_in(host: Host, email: str) -> Browser:
    browser = host.browser()
    assert browser.log_in(email, PASSWORD).status == 303
    return browser


def kept(host: Host, site: Site) -> Site:
    with reading(host.services.engine) as session:
        return session.get_one(Site, site.site_id)


def change(browser: Browser, tab: str, what: str, **fields: object) -> Answer:
    return browser.post(f"{SETTINGS}{tab}", {"change": what, **fields})


def test_every_tab_leads_to_every_other(browser: Browser) -> None:
    for tab in ("", "/visibility", "/counting", "/people", "/deletion"):
        page = browser.get(SETTINGS + tab)
        assert page.status == 200
        assert page.text.count(f'href="{SETTINGS}') >= 5
        assert f'href="{SETTINGS}{tab}" aria-current="page"' in page.text
        assert page.headers["cache-control"] == "no-store"
        assert browser.post(SETTINGS + tab, {"change": "nonsense"}).status == 400


def test_a_site_gets_another_name(host: Host, browser: Browser, site: Site) -> None:
    add_site(host.services.engine, "taken.example", account_id=1)
    refused = change(browser, "", "domain", domain="taken.example")
    assert (refused.status, refused.error_at("domain")) == (400, "the site taken.example exists already")
    assert 'value="taken.example"' in refused.text, "what was typed stays"
    answer = change(browser, "", "domain", domain="new.example")
    assert answer.location == "/sites/new.example/settings?done=site-renamed"
    page = browser.get(answer.location).text
    assert "Hits that say <strong>shop.example</strong> are counted here until" in page
    assert browser.get(SETTINGS).status == 404


def test_the_time_zone_changes_at_a_midnight(host: Host, browser: Browser, site: Site) -> None:
    assert "is not a time zone" in change(browser, "", "timezone", timezone="Mars/Base").error_at("timezone")
    assert change(browser, "", "timezone", timezone="Asia/Kathmandu").status == 303
    page = browser.get(SETTINGS).text
    assert re.search(r"<td>20\d\d-\d\d-\d\d</td><td>Asia/Kathmandu</td>", page)
    assert "<td>the beginning</td><td>Europe/Berlin</td>" in page


def test_share_links_are_made_shown_and_ended(host: Host, browser: Browser, site: Site) -> None:
    tab = "/visibility"
    assert change(browser, tab, "share", name="").error_at("name")
    assert "at least 6" in change(browser, tab, "share", name="Board", password="short").error_at("password")
    assert change(browser, tab, "share", name="Board <1>", password="secret words").status == 303
    assert change(browser, tab, "share", name="Public").status == 303
    page = browser.get(SETTINGS + tab).text
    assert "Board &lt;1&gt;" in page
    assert (page.count("with a password"), page.count("without a password")) == (1, 1)
    with reading(host.services.engine) as session:
        first, second = session.query(ShareLink).order_by(ShareLink.share_link_id)
    assert f"/share/{second.slug}" in page
    other = add_site(host.services.engine, "other.example", account_id=1)
    elsewhere = browser.post(
        f"/sites/{other.domain}/settings{tab}", {"change": "unshare", "share_link_id": str(first.share_link_id)}
    )
    assert elsewhere.status == 404, "a link of another site"
    assert change(browser, tab, "unshare", share_link_id=str(first.share_link_id)).status == 303
    assert change(browser, tab, "unshare", share_link_id=str(first.share_link_id)).status == 404
    assert change(browser, tab, "unshare", share_link_id="x").status == 400
    assert "Board" not in browser.get(SETTINGS + tab).text


def test_embedding_names_origins(host: Host, browser: Browser, site: Site) -> None:
    change(browser, "/visibility", "share", name="Public")
    assert "&lt;iframe" not in browser.get(SETTINGS + "/visibility").text
    refused = change(browser, "/visibility", "embedding", origins="https://x.example; script-src *")
    assert "is not an origin" in refused.error_at("origins")
    assert change(browser, "/visibility", "embedding", origins="https://intranet.example").status == 303
    assert kept(host, site).embed_origins == ["https://intranet.example"]
    assert "&lt;iframe" in browser.get(SETTINGS + "/visibility").text


def test_what_is_counted(host: Host, browser: Browser, site: Site) -> None:
    tab = "/counting"
    for what, field, value in (
        ("networks", "networks", "192.0.2.0/99"),
        ("hostnames", "hostnames", "https://shop.example"),
        ("paths", "paths", "admin"),
        ("sampling", "sample_every", "0"),
    ):
        refused = change(browser, tab, what, **{field: value})
        assert (refused.status, bool(refused.error_at(field))) == (400, True)
        assert value in refused.text
    assert change(browser, tab, "countries", country=["DE", "XX"]).error_at("countries")
    assert change(browser, tab, "networks", networks="192.0.2.0/24").status == 303
    assert change(browser, tab, "my_address").location.endswith("done=my-address")
    assert change(browser, tab, "hostnames", hostnames="shop.example").status == 303
    assert change(browser, tab, "paths", paths="/admin/**\n/x?").status == 400
    assert change(browser, tab, "paths", paths="/admin/**").status == 303
    assert change(browser, tab, "countries", country=["DE", "FR"]).status == 303
    assert change(browser, tab, "bots", bot=["headless"]).status == 303
    assert change(browser, tab, "gpc", respects_gpc="1").location.endswith("done=gpc")
    assert change(browser, tab, "sampling", sample_every="10").status == 303
    now = kept(host, site)
    assert now.blocked_networks == ["192.0.2.0/24", f"{browser.address}/32"]
    assert (now.allowed_hostnames, now.blocked_paths) == (["shop.example"], ["/admin/**"])
    assert (now.blocked_countries, now.spam_filter, now.respects_gpc) == (["DE", "FR"], False, True)
    assert now.sample_every == 10
    page = browser.get(SETTINGS + tab).text
    assert "Kept out: France, Germany." in page
    assert f"<strong>{browser.address}</strong>, where you are now, is kept out." in page
    assert "data-gpc" in browser.get("/sites/shop.example/install").text
    with reading(host.services.engine) as session:
        details = [f"{entry.target}{entry.detail}" for entry in session.query(AuditEntry)]
    assert not any(browser.address in detail or "192.0.2" in detail for detail in details)


def test_a_site_is_handed_over(host: Host, browser: Browser, site: Site) -> None:
    tab = "/people"
    _, ann_account = make_person(host.services, "ann@example.com", "Ann")
    assert change(browser, tab, "offer", email="nobody").error_at("email")
    assert change(browser, tab, "offer", email="ann@example.com").status == 303
    assert "Offered to <strong>ann@example.com</strong>" in browser.get(SETTINGS + tab).text
    link = f"/transfers/accept?token={token_in(mails_to(host.services, 'ann@example.com')[0])}"
    assert host.browser().get(link).location.startswith("/login?next=%2Ftransfers")
    assert browser.get(link).status == 410, "it was sent to somebody else"
    assert browser.post(link, {"account_id": "1"}).status == 410
    ann = logged_in(host, "ann@example.com")
    page = ann.get(link)
    assert "Take over shop.example" in page.text
    assert ann.post(link, {"account_id": "x"}).status == 400
    assert ann.post(link, {"account_id": "1"}).status == 403
    answer = ann.post(link, {"account_id": str(ann_account)})
    assert answer.location == f"{SETTINGS}/people?done=taken"
    assert ann.get(SETTINGS).status == 200
    assert browser.get(SETTINGS).status == 404
    assert ann.post(link, {"account_id": str(ann_account)}).status == 410


def test_an_offer_is_taken_back(host: Host, browser: Browser, site: Site) -> None:
    change(browser, "/people", "offer", email="ann@example.com")
    assert change(browser, "/people", "revoke").location.endswith("done=offer-revoked")
    assert change(browser, "/people", "revoke").status == 404


def test_reset_and_deletion_ask_for_the_domain(host: Host, browser: Browser, site: Site) -> None:
    tab = "/deletion"
    for what, field in (("reset", "reset_domain"), ("delete", "delete_domain")):
        refused = change(browser, tab, what, **{field: "shop"})
        assert refused.error_at(field) == "Type shop.example to say that you mean it."
    assert change(browser, tab, "reset", reset_domain="shop.example").location.endswith("done=figures-reset")
    assert "Its figures are being deleted" in browser.get(SETTINGS + tab).text
    assert change(browser, tab, "delete", delete_domain="shop.example").location.endswith("done=deleting")
    assert "is being deleted" in browser.get(SETTINGS + tab).text
    for path in ("/sites/shop.example", SETTINGS, "/sites/shop.example/install", "/api/sites/shop.example/first-hit"):
        assert browser.get(path).status == 404, path
    assert "/sites/shop.example/settings/deletion" in browser.get("/sites").text
    assert change(browser, tab, "delete", delete_domain="shop.example").status == 404
    assert change(browser, tab, "restore").location.endswith("done=restored")
    assert browser.get(SETTINGS).status == 200
    assert change(browser, tab, "restore").status == 404
    assert kept(host, site).state == "active"


def test_admins_change_settings_and_owners_alone_end_a_site(host: Host, site: Site) -> None:
    add_member(host.services, 1, "adam@example.com", MemberRole.ADMIN)
    add_member(host.services, 1, "vera@example.com", MemberRole.VIEWER)
    adam, vera = logged_in(host, "adam@example.com"), logged_in(host, "vera@example.com")
    assert change(adam, "/counting", "sampling", sample_every="2").status == 303
    assert change(adam, "/deletion", "delete", delete_domain="shop.example").status == 403
    assert change(adam, "/people", "offer", email="adam@example.com").status == 403
    for tab in ("/people", "/deletion"):
        assert "you are admin" in adam.get(SETTINGS + tab).text
    assert vera.get(SETTINGS).status == 403
    assert change(vera, "/counting", "sampling", sample_every="1").status == 403
    assert vera.get("/sites/shop.example/install").status == 200


def test_the_install_page_fits_the_site(host: Host, browser: Browser, site: Site) -> None:
    page = browser.get("/sites/shop.example/install").text
    for text in ("WordPress", "Google Tag Manager", "Next.js", "nginx", "Caddy", "footfall_ignore"):
        assert text in page
    assert 'data-first-hit="/api/sites/shop.example/first-hit"' in page
    assert "keep out your address" in page


def test_a_change_holds_for_every_process(host: Host, browser: Browser, site: Site) -> None:
    from server.snapshot import read_source

    before = read_source(host.services.engine).version
    change(browser, "/counting", "networks", networks="192.0.2.0/24")
    source = read_source(host.services.engine)
    assert source.version == before + 1
    assert source.sites[0]["blocked_networks"] == ["192.0.2.0/24"]
    with writing(host.services.engine) as session:
        session.get_one(Site, site.site_id).former_domain_until_ms = now_ms()
    assert find_site(host.services.engine, "shop.example") is not None
