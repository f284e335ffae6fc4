"""Who may read a site's figures: members, keys, share links, and nobody by mistake."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tornado.httpserver import HTTPServer
from tornado.web import Application

from server.accounts.errors import FormError, NotThere
from server.accounts.keys import add_api_key
from server.accounts.share_links import (
    add_share_link,
    find_share_link,
    is_open,
    list_share_links,
    remove_share_link,
    share_cookie,
)
from server.app_database import reading, writing
from server.behind_proxies import BehindProxies
from server.handler import AppContext
from server.health import HealthReport
from server.models import MemberRole, Scope, ShareLink, Site
from server.reader_handler import ReaderHandler
from server.services import Services
from server.sites import add_site
from server.stats_api.stats import Stats
from tests.server.accounts.people import add_member, make_owner, make_person
from tests.server.pages.site_host import Browser, Host, bearer, no_event_store
from tests.server.pages.test_authorization import sign_in


class Figures(ReaderHandler):
    """Reads `?site=`; without it forgets to ask."""

    async def get(self) -> None:
        domain = self.get_query_argument("site", "")
        if domain:
            await self.admit_reader(domain)
        self.write("figures")

    async def post(self) -> None:
        await self.admit_reader(self.get_query_argument("site"))
        self.write("figures")


@pytest.fixture
def readers(services: Services) -> Iterator[Host]:
    """The handler on a port."""
    host = Host(0, services)
    threads = ThreadPoolExecutor(2)
    stats = Stats(services, no_event_store)
    context = AppContext(services, threads, HealthReport, host.key_holder, host.count, lambda: None, stats)
    started, ending = threading.Event(), []

    async def live() -> None:
        application = Application(
            [("/api/figures", Figures, {"app_context": context})], xsrf_cookies=True, cross_origin_protection=True
        )
        server = HTTPServer(BehindProxies(application, services.settings))
        server.listen(0, "127.0.0.1")
        host.port = next(iter(server._sockets.values())).getsockname()[1]
        stop = asyncio.Event()
        ending.append((asyncio.get_running_loop(), stop))
        started.set()
        await stop.wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    assert started.wait(10)
    yield host
    loop, stop = ending[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    threads.shutdown()
    stats.close()


def share(services: Services, site: Site, password: str = "") -> ShareLink:
    with writing(services.engine) as session:
        return add_share_link(session, site, "for the board", password, 1)


def test_members_keys_and_links_read_their_site_and_no_other(readers: Host) -> None:
    services = readers.services
    owner = make_owner(services)
    viewer = add_member(services, 1, "viewer@example.com", MemberRole.VIEWER)
    stranger, other_account = make_person(services, "stranger@example.com")
    site = add_site(services.engine, "shop.example", account_id=1)
    other = add_site(services.engine, "other.example", account_id=other_account)
    link = share(services, site)
    right = add_api_key(services.engine, "right", 1, [Scope.STATS_READ])
    narrow = add_api_key(services.engine, "narrow", 1, [Scope.EVENTS_WRITE])
    anonymous = readers.browser()

    def ask(browser: Browser, domain: str, query: str = "", **headers: str) -> int:
        return browser.ask("GET", f"/api/figures?site={domain}{query}", None, **headers).status

    for user_id in (owner, viewer):
        member = sign_in(services, readers, user_id)
        assert [ask(member, domain) for domain in ("shop.example", "other.example", "none")] == [200, 404, 404]
    assert ask(sign_in(services, readers, stranger), "shop.example") == 404
    assert [ask(anonymous, "shop.example", **bearer(key)) for key in (right, narrow, "ff_wrong")] == [200, 403, 401]
    assert ask(anonymous, "other.example", **bearer(right)) == 404
    assert [ask(anonymous, domain, f"&share={link.slug}") for domain in ("shop.example", other.domain)] == [200, 404]
    assert ask(anonymous, "shop.example", X_Footfall_Share=link.slug) == 200
    assert ask(anonymous, "shop.example", "&share=wrong") == 404
    assert ask(anonymous, "shop.example") == 401
    assert "www-authenticate" in anonymous.get("/api/figures?site=shop.example").headers
    with writing(services.engine) as session:
        remove_share_link(session, site, link.share_link_id, owner)
    assert ask(anonymous, "shop.example", f"&share={link.slug}") == 404


def test_a_handler_that_forgets_to_ask_answers_nothing(readers: Host) -> None:
    make_owner(readers.services)
    answer = readers.browser().get("/api/figures")
    assert answer.status == 500
    assert "figures" not in answer.text


def test_reading_needs_no_form_token_but_comes_from_here_or_with_a_key(readers: Host) -> None:
    services = readers.services
    owner = make_owner(services)
    add_site(services.engine, "shop.example", account_id=1)
    key = add_api_key(services.engine, "right", 1, [Scope.STATS_READ])
    member = sign_in(services, readers, owner)
    path = "/api/figures?site=shop.example"
    assert member.ask("POST", path, b"").status == 200
    assert member.ask("POST", path, b"", Origin="https://evil.example").status == 403
    assert readers.browser().ask("POST", path, b"", Origin="https://shop.example", **bearer(key)).status == 200


def test_a_password_is_asked_until_it_was_known(readers: Host) -> None:
    services = readers.services
    make_owner(services)
    site = add_site(services.engine, "shop.example", account_id=1)
    link = share(services, site, "open sesame")
    browser = readers.browser()
    path = f"/api/figures?site=shop.example&share={link.slug}"
    assert browser.get(path).status == 401
    name = f"footfall_share_{link.share_link_id}"
    browser.cookies[name] = "0" * 64
    assert browser.get(path).status == 401
    browser.cookies[name] = share_cookie(services.secret_key, link)
    assert browser.get(path).status == 200
    with writing(services.engine) as session:
        session.get_one(ShareLink, link.share_link_id).password_hash = "another"
    assert browser.get(path).status == 401, "a new password ends what the old one opened"


def test_links_are_listed_found_and_removed(services: Services) -> None:
    owner = make_owner(services)
    site = add_site(services.engine, "shop.example", account_id=1)
    for name, password in (("", ""), ("x" * 101, ""), ("fine", "short")):
        with pytest.raises(FormError), writing(services.engine) as session:
            add_share_link(session, site, name, password, owner)
    link = share(services, site)
    with reading(services.engine) as session:
        assert [row.name for row in list_share_links(session, site.site_id)] == ["for the board"]
        found = find_share_link(session, link.slug)
        assert found is not None
        assert found[1].domain == "shop.example"
        assert is_open(services.secret_key, link, None)
    with pytest.raises(NotThere), writing(services.engine) as session:
        remove_share_link(session, Site(site_id=99, account_id=1), link.share_link_id, owner)
    with writing(services.engine) as session:
        session.get_one(Site, site.site_id).state = "destroyed"
    with reading(services.engine) as session:
        assert find_share_link(session, link.slug) is None
