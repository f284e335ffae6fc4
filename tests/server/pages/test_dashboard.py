"""The pages that carry the dashboard: what their frame says to whom, share links, and what a browser has to load."""

from __future__ import annotations

import gzip
import html
import json
import re
from typing import Any

import pytest

from server.accounts.share_links import add_share_link, remove_share_link
from server.app_database import writing
from server.models import MemberRole, Site
from server.pages.built_assets import BUILT_DIR, BUILT_URL, NotBuilt, entry
from server.sites import add_site
from tests.server.accounts.people import PASSWORD, add_member, make_owner
from tests.server.pages.site_host import Answer, Browser, Host

OWNER = "owner@example.com"
LINK_PASSWORD = "a password for the link"

# Issue 4: the script of the first look, compressed as browsers get it at the worst.
FIRST_LOOK_MAX_BYTES = 90_000


def shell_of(answer: Answer) -> dict[str, Any]:
    """What the page told the dashboard."""
    found = re.search(r'data-shell="([^"]+)"', answer.text)
    assert found, answer.text
    shell: dict[str, Any] = json.loads(html.unescape(found[1]))
    return shell


def logged_in(host: Host, email: str = OWNER) -> Browser:
    browser = host.browser()
    assert browser.log_in(email, PASSWORD).status == 303
    return browser


def share(host: Host, site: Site, password: str = "", **changes: Any) -> str:
    """A link to a site; its path."""
    with writing(host.services.engine) as session:
        kept = session.get_one(Site, site.site_id)
        for name, value in changes.items():
            setattr(kept, name, value)
        return f"/share/{add_share_link(session, kept, 'a link', password, 1).slug}"


@pytest.fixture
def site(host: Host) -> Site:
    """A site of the owner's, in a zone whose date is often another."""
    make_owner(host.services)
    return add_site(host.services.engine, "shop.example", "Pacific/Kiritimati", 1)


def test_the_frame_says_who_looks_at_what(host: Host, site: Site) -> None:
    add_member(host.services, 1, "vic@example.com", MemberRole.VIEWER)
    answer = logged_in(host).get("/sites/shop.example")
    shell = shell_of(answer)
    assert (shell["domain"], shell["timezone"], shell["role"]) == ("shop.example", "Pacific/Kiritimati", "owner")
    assert shell["links"]["settings"] == "/sites/shop.example/settings"
    assert shell["share"] is None
    assert re.search(r'<meta name="xsrf" content="[^"]{20,}">', answer.text)
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    viewer = shell_of(logged_in(host, "vic@example.com").get("/sites/shop.example"))
    assert (viewer["role"], viewer["links"]["settings"]) == ("viewer", None)
    assert viewer["links"]["install"] == "/sites/shop.example/install"


def test_nothing_on_the_page_needs_an_exception_of_the_policy(host: Host, site: Site) -> None:
    page = logged_in(host).get("/sites/shop.example").text
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\bstyle=|\bon[a-z]+=", page) == []
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert address.startswith(("/", "#", "data:,")), address


def test_the_scheme_is_chosen_before_anything_is_drawn(host: Host, site: Site) -> None:
    stranger, path = host.browser(), share(host, site)
    for page in (logged_in(host).get("/sites/shop.example"), stranger.get("/login"), stranger.get(path)):
        # A script that is neither deferred nor a module holds the first paint back until it has run.
        before_styles = page.text.partition('rel="stylesheet"')[0]
        assert re.search(r'<script src="/assets/scheme\.[0-9a-f]{12}\.js"></script>', before_styles)
        assert page.text.count("data-scheme") == 1
    # The frame around an embedded page says how it looks, not who looks at it.
    embedded = stranger.get(f"{path}?embed=true").text
    assert "/assets/scheme" not in embedded
    assert "data-scheme" not in embedded


def test_there_are_figures_once_a_hit_or_the_store_says_so(host: Host, site: Site) -> None:
    browser = logged_in(host)
    assert shell_of(browser.get("/sites/shop.example"))["has_hits"] is False
    host.counts[site.site_id] = 3
    assert shell_of(browser.get("/sites/shop.example"))["has_hits"] is True
    host.counts.clear()
    host.fails = True
    assert shell_of(browser.get("/sites/shop.example"))["has_hits"] is True, "who cannot know says nothing"
    host.fails = False
    with writing(host.services.engine) as session:
        session.get_one(Site, site.site_id).first_hit_at_ms = 1_700_000_000_000
    shell = shell_of(browser.get("/sites/shop.example"))
    assert (shell["has_hits"], shell["first_day"]) == (True, "2023-11-15")


def test_a_share_link_needs_nobody_and_sets_no_cookie(host: Host, site: Site) -> None:
    stranger = host.browser()
    path = share(host, site)
    answer = stranger.get(path)
    shell = shell_of(answer)
    assert (shell["role"], shell["sites"], shell["share"]) == (None, [], path.removeprefix("/share/"))
    assert set(shell["links"].values()) == {None}
    assert "set-cookie" not in answer.headers
    assert 'name="xsrf"' not in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    # A member sees what everybody sees.
    assert shell_of(logged_in(host).get(path)) == shell


def test_a_link_is_shown_in_the_frames_that_its_site_names(host: Host, site: Site) -> None:
    path = share(host, site, embed_origins=["https://intranet.example", "https://*.example.org"])
    answer = host.browser().get(f"{path}?embed=true&theme=dark")
    assert "frame-ancestors https://intranet.example https://*.example.org;" in (
        answer.headers["content-security-policy"] + ";"
    )
    assert "x-frame-options" not in answer.headers
    assert '<html lang="en" data-theme="dark">' in answer.text
    assert "<header" not in answer.text
    assert "data-theme" not in host.browser().get(f'{path}?theme="><script>').text


def test_a_password_opens_its_link_alone(host: Host, site: Site) -> None:
    path, other = share(host, site, LINK_PASSWORD), share(host, site, LINK_PASSWORD)
    stranger = host.browser()
    assert "data-shell" not in stranger.get(path).text
    assert "not the password" in stranger.post(path, {"password": "something else"}).error_at("password")
    assert "data-shell" not in stranger.get(path).text
    opened = stranger.post(f"{path}?period=7d", {"password": LINK_PASSWORD})
    assert (opened.status, opened.location) == (303, f"{path}?period=7d")
    assert shell_of(stranger.get(path))["domain"] == "shop.example"
    assert "data-shell" not in stranger.get(other).text
    for _ in range(12):
        last = stranger.post(other, {"password": "guess"}).status
    assert last == 429


def test_a_link_that_is_over_shows_nothing(host: Host, site: Site) -> None:
    path = share(host, site)
    stranger = host.browser()
    assert stranger.get(path).status == 200
    with writing(host.services.engine) as session:
        remove_share_link(session, session.get_one(Site, site.site_id), 1, 1)
    over = stranger.get(path)
    assert over.status == 404
    assert "not valid any more" in over.text
    gone = share(host, site, state="destroyed")
    assert stranger.get(gone).status == 404


def test_what_was_built_is_kept_by_browsers_for_a_year(host: Host) -> None:
    script = entry("src/dashboard.tsx").script
    plain = host.browser().get(script)
    assert plain.status == 200
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert host.browser().get(re.sub(r"\.[0-9a-f]{12}\.", ".000000000000.", script)).status == 404
    assert host.browser().get(f"{BUILT_URL}manifest.json").status == 404
    packed = host.browser().ask("HEAD", script, None, Accept_Encoding="gzip;q=0.5, br")
    assert packed.headers["content-encoding"] == "br"
    assert packed.headers["vary"] == "Accept-Encoding"
    for path in BUILT_DIR.glob("*.gz"):
        assert gzip.decompress(path.read_bytes()) == path.with_suffix("").read_bytes(), path.name


def test_the_first_look_is_small() -> None:
    first = entry("src/dashboard.tsx")
    manifest = json.loads((BUILT_DIR / "manifest.json").read_text(encoding="utf-8"))
    (world_map,) = (part["file"] for part in manifest.values() if "world-map" in part["file"])
    names = [first.script, *first.imports, BUILT_URL + world_map]
    sizes = [len(gzip.compress((BUILT_DIR / name.removeprefix(BUILT_URL)).read_bytes(), 9)) for name in names]
    assert sum(sizes) <= FIRST_LOOK_MAX_BYTES, dict(zip(names, sizes, strict=True))


def test_an_entry_that_was_never_built_is_named() -> None:
    with pytest.raises(NotBuilt, match="make build"):
        entry("src/nothing.tsx")
