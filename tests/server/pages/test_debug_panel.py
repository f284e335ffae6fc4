"""The panel under each page while developing, and nothing of it in production."""

from __future__ import annotations

from server.config import Env, Settings
from server.services import open_services
from tests.server.accounts.people import PASSWORD, make_owner
from tests.server.pages.site_host import Host, hosted


def test_a_page_shows_its_statements_times_and_mails(stores: Settings) -> None:
    services = open_services(stores.model_copy(update={"env": Env.DEVELOPMENT, "invite_only": False}))
    try:
        make_owner(services)
        with hosted(services) as host:
            browser = host.browser()
            browser.log_in("owner@example.com", PASSWORD)
            page = browser.get("/sites").text
            assert 'class="debug"' in page
            assert "FROM login_sessions" in page
            assert " ms</span>" in page
            assert "owner@example.com" not in page.partition('class="debug"')[2], "parameters stay out"
            invited = browser.post("/accounts/1/team", {"email": "nothing", "role": "viewer"}).text
            assert ", 0 mails</summary>" in invited
            assert "JOIN memberships" in invited
            assert "debug" not in browser.get("/api/sites/none/count").text
            # A redirect shows nothing; the page that a form answers with does.
            page = browser.post("/me/security", {"change": "start", "password": PASSWORD}).text
            assert 'class="debug"' in page
    finally:
        services.close()


def test_production_shows_nothing(host: Host) -> None:
    make_owner(host.services)
    browser = host.browser()
    browser.log_in("owner@example.com", PASSWORD)
    assert "debug" not in browser.get("/sites").text
