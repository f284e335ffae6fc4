"""The authorization matrix: what every route answers to everybody.

`MATRIX` has one line for each route and method: the answer to each kind of caller, by letter. A route without a line
fails, and so does a line without a route: there is no default, neither in the application nor here.

| letter | answer |
|---|---|
| `y` | lets the caller in: whatever the handler then says |
| `l` | to the login page |
| `u` | 401 |
| `f` | 403 |
| `n` | 404, as if nothing were there |
| `c` | asks staff for their second factor again |
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import update

from server.accounts.access import PUBLIC as PUBLIC_ACCESS
from server.accounts.devices import Device
from server.accounts.keys import add_api_key
from server.accounts.sessions import start_login
from server.accounts.team import invite
from server.app import UndeclaredAccess, all_routes, check_declared
from server.app_database import writing
from server.clock import DAY_MS, now_ms
from server.config import load_settings
from server.handler import AppContext, BaseHandler, answered_methods
from server.health import HealthReport
from server.models import (
    Annotation,
    Announcement,
    Funnel,
    Goal,
    GuestRole,
    JobRun,
    LoginSession,
    MemberRole,
    Scope,
    Segment,
    ShareLink,
    Site,
    User,
)
from server.rate_limit import limits_of
from server.services import Services, open_services
from server.sites import add_site
from server.stats_api.stats import Stats
from tests.server.accounts.people import add_guest, add_member, make_owner, make_person
from tests.server.pages.api_matrix import API_GROUPS, API_MATRIX, api_question
from tests.server.pages.site_host import Browser, CountedBatches, Host, bearer, hosted, no_event_store
from tests.server.pages.test_login import turn_on_two_factor

# The columns of MATRIX. `stale staff` showed the second factor too long ago; `plain staff` has none. Both, and `staff`,
# belong to no account here but their own. The keys are API keys: of the account with the right scope and without, and
# of another account. Guests are people of yet other accounts, to whom shop.example alone is open.
CALLERS = (
    "anonymous",
    "viewer",
    "admin",
    "owner",
    "other account",
    "plain staff",
    "stale staff",
    "staff",
    "key",
    "narrow key",
    "other key",
    "guest",
    "guest editor",
)

PUBLIC = "yyyyyyyyyyyyy"
SIGNED_IN_PAGE = "lyyyyyyylllyy"
SIGNED_IN_FORM = "uyyyyyyyuuuyy"
STAFF_PAGE = "lnnnnfcylllnn"
STAFF_FORM = "unnnnffyuuunn"
# Of the account, which guests do not belong to.
VIEWER_PAGE = "lyyynnnnlllnn"
VIEWER_FORM = "uyyynnnnuuunn"
ADMIN_PAGE = "lfyynnnnlllnn"
ADMIN_FORM = "ufyynnnnuuunn"
OWNER_FORM = "uffynnnnuuunn"
OWNER_PAGE = "lffynnnnlllnn"
# Of the site, as far as it is open to guests.
SITE_PAGE = "lyyynnnnlllyy"
SETUP_PAGE = "lfyynnnnlllfy"
SETUP_FORM = "ufyynnnnuuufy"
STATS_KEY = "uuuuuuuuyfnuu"

MATRIX: dict[tuple[str, str], str] = {
    ("GET", "/js/footfall.js"): PUBLIC,
    ("HEAD", "/js/footfall.js"): PUBLIC,
    ("GET", "/js/footfall.mjs"): PUBLIC,
    ("HEAD", "/js/footfall.mjs"): PUBLIC,
    ("GET", "/js/script.js"): PUBLIC,
    ("HEAD", "/js/script.js"): PUBLIC,
    ("GET", "/healthz"): PUBLIC,
    ("HEAD", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("HEAD", "/readyz"): PUBLIC,
    ("GET", "/"): PUBLIC,
    ("GET", "/demo"): PUBLIC,
    ("GET", "/assets/<asset>"): PUBLIC,
    ("HEAD", "/assets/<asset>"): PUBLIC,
    ("GET", "/assets/built/<asset>"): PUBLIC,
    ("HEAD", "/assets/built/<asset>"): PUBLIC,
    ("GET", "/share/<slug>"): PUBLIC,
    ("POST", "/share/<slug>"): PUBLIC,
    ("GET", "/login"): PUBLIC,
    ("POST", "/login"): PUBLIC,
    ("GET", "/login/second-factor"): PUBLIC,
    ("POST", "/login/second-factor"): PUBLIC,
    ("GET", "/first-run"): PUBLIC,
    ("POST", "/first-run"): PUBLIC,
    ("GET", "/signup"): PUBLIC,
    ("POST", "/signup"): PUBLIC,
    ("GET", "/signup/finish"): PUBLIC,
    ("POST", "/signup/finish"): PUBLIC,
    ("GET", "/reset"): PUBLIC,
    ("POST", "/reset"): PUBLIC,
    ("GET", "/reset/finish"): PUBLIC,
    ("POST", "/reset/finish"): PUBLIC,
    ("GET", "/email/confirm"): PUBLIC,
    ("POST", "/email/confirm"): PUBLIC,
    ("GET", "/invitations/accept"): PUBLIC,
    ("POST", "/invitations/accept"): PUBLIC,
    # Whoever has the link of a mail: its token is what allows it.
    ("GET", "/unsubscribe/<unsubscribe>"): PUBLIC,
    ("POST", "/unsubscribe/<unsubscribe>"): PUBLIC,
    ("GET", "/reports/agree"): PUBLIC,
    ("POST", "/reports/agree"): PUBLIC,
    ("POST", "/logout"): SIGNED_IN_FORM,
    ("GET", "/me"): SIGNED_IN_PAGE,
    ("POST", "/me"): SIGNED_IN_FORM,
    ("GET", "/me/security"): SIGNED_IN_PAGE,
    ("POST", "/me/security"): SIGNED_IN_FORM,
    ("GET", "/me/confirm"): SIGNED_IN_PAGE,
    ("POST", "/me/confirm"): SIGNED_IN_FORM,
    ("GET", "/sites"): SIGNED_IN_PAGE,
    ("GET", "/accounts/<account>/sites/new"): ADMIN_PAGE,
    ("POST", "/accounts/<account>/sites/new"): ADMIN_FORM,
    ("GET", "/sites/<domain>"): SITE_PAGE,
    ("GET", "/sites/<domain>/install"): "lyyynnnnlllfy",
    ("GET", "/api/sites/<domain>/first-hit"): "uyyynnnnuuufy",
    ("GET", "/sites/<domain>/settings"): SETUP_PAGE,
    ("POST", "/sites/<domain>/settings"): SETUP_FORM,
    ("GET", "/sites/<domain>/settings/visibility"): SETUP_PAGE,
    ("POST", "/sites/<domain>/settings/visibility"): SETUP_FORM,
    ("GET", "/sites/<domain>/settings/counting"): SETUP_PAGE,
    ("POST", "/sites/<domain>/settings/counting"): SETUP_FORM,
    ("GET", "/sites/<domain>/settings/reports"): VIEWER_PAGE,
    ("POST", "/sites/<domain>/settings/reports"): VIEWER_FORM,
    ("GET", "/sites/<domain>/settings/people"): ADMIN_PAGE,
    ("POST", "/sites/<domain>/settings/people"): OWNER_FORM,
    ("GET", "/sites/<domain>/settings/deletion"): ADMIN_PAGE,
    ("POST", "/sites/<domain>/settings/deletion"): OWNER_FORM,
    ("GET", "/sites/<domain>/imports"): ADMIN_PAGE,
    ("POST", "/sites/<domain>/imports"): ADMIN_FORM,
    ("POST", "/sites/<domain>/imports/<import>/<import change>"): ADMIN_FORM,
    ("GET", "/api/sites/<domain>/imports"): ADMIN_FORM,
    ("POST", "/api/sites/<domain>/imports"): ADMIN_FORM,
    ("POST", "/api/sites/<domain>/imports/uploads/<upload>"): ADMIN_FORM,
    ("POST", "/api/sites/<domain>/imports/uploads/<upload>/pieces"): ADMIN_FORM,
    ("GET", "/sites/<domain>/settings/people/guests"): ADMIN_PAGE,
    ("POST", "/sites/<domain>/settings/people/guests"): ADMIN_FORM,
    # Members are no guests: they leave the account instead.
    ("POST", "/sites/<domain>/settings/leave"): "unnnnnnnuuuyy",
    ("GET", "/guests/accept"): PUBLIC,
    ("POST", "/guests/accept"): PUBLIC,
    ("GET", "/transfers/accept"): SIGNED_IN_PAGE,
    ("POST", "/transfers/accept"): SIGNED_IN_FORM,
    ("GET", "/api/count"): STATS_KEY,
    # `other key` is of another account, which the events then belong to.
    ("POST", "/api/events"): "uuuuuuuuffyuu",
    ("GET", "/accounts/<account>/team"): VIEWER_PAGE,
    ("POST", "/accounts/<account>/team"): ADMIN_FORM,
    ("POST", "/accounts/<account>/invitations/<invitation>/revoke"): ADMIN_FORM,
    ("POST", "/accounts/<account>/members/<user>"): ADMIN_FORM,
    # The last owner may not leave.
    ("POST", "/accounts/<account>/leave"): "uyyfnnnnuuunn",
    ("POST", "/accounts/<account>/owner"): OWNER_FORM,
    ("POST", "/accounts/<account>/name"): OWNER_FORM,
    ("GET", "/accounts/<account>/keys"): ADMIN_PAGE,
    ("POST", "/accounts/<account>/keys"): ADMIN_FORM,
    ("POST", "/accounts/<account>/keys/<key>/revoke"): ADMIN_FORM,
    ("GET", "/accounts/<account>/deletion"): OWNER_PAGE,
    ("POST", "/accounts/<account>/deletion"): OWNER_FORM,
    ("GET", "/accounts/<account>/log"): ADMIN_PAGE,
    ("GET", "/accounts/<account>/billing"): ADMIN_PAGE,
    ("POST", "/accounts/<account>/billing"): OWNER_FORM,
    ("GET", "/accounts/<account>/usage"): VIEWER_PAGE,
    ("POST", "/accounts/<account>/usage"): OWNER_FORM,
    # No keys of Stripe here: nothing takes its events.
    ("POST", "/api/stripe/webhook"): "nnnnnnnnnnnnn",
    ("GET", "/admin"): STAFF_PAGE,
    ("GET", "/admin/accounts"): STAFF_PAGE,
    ("GET", "/admin/accounts/<staff number>"): STAFF_PAGE,
    ("POST", "/admin/accounts/<staff number>"): STAFF_FORM,
    ("GET", "/admin/people"): STAFF_PAGE,
    ("GET", "/admin/people/<staff number>"): STAFF_PAGE,
    ("POST", "/admin/people/<staff number>"): STAFF_FORM,
    ("GET", "/admin/sites"): STAFF_PAGE,
    ("GET", "/admin/sites/<staff number>"): STAFF_PAGE,
    ("POST", "/admin/sites/<staff number>"): STAFF_FORM,
    ("GET", "/admin/deletions"): STAFF_PAGE,
    # The fields of the matrix's forms have no number of a request, a task, or a segment.
    ("POST", "/admin/deletions"): STAFF_FORM,
    ("GET", "/admin/announcements"): STAFF_PAGE,
    ("POST", "/admin/announcements"): STAFF_FORM,
    ("GET", "/admin/announcements/<staff number>"): STAFF_PAGE,
    ("POST", "/admin/announcements/<staff number>"): STAFF_FORM,
    ("GET", "/admin/announcements/<staff number>/preview"): STAFF_PAGE,
    ("GET", "/admin/mail"): STAFF_PAGE,
    ("POST", "/admin/mail"): STAFF_FORM,
    ("GET", "/admin/mail/<outbox>"): "lnnnnfcnlllnn",
    ("GET", "/admin/jobs"): STAFF_PAGE,
    ("POST", "/admin/jobs"): "unnnnffnuuunn",
    ("GET", "/admin/jobs/<job>"): STAFF_PAGE,
    ("GET", "/admin/tasks"): STAFF_PAGE,
    ("POST", "/admin/tasks"): STAFF_FORM,
    ("GET", "/admin/drops"): STAFF_PAGE,
    ("GET", "/admin/quarantine"): STAFF_PAGE,
    ("POST", "/admin/quarantine"): "unnnnffnuuunn",
    ("GET", "/admin/flags"): STAFF_PAGE,
    ("POST", "/admin/flags"): STAFF_FORM,
    ("GET", "/admin/log"): STAFF_PAGE,
    ("GET", "/admin/data"): STAFF_PAGE,
    ("GET", "/admin/data/<table>"): STAFF_PAGE,
    ("GET", "/admin/data/<table>/<row>"): STAFF_PAGE,
    ("POST", "/stand-in/stop"): SIGNED_IN_FORM,
    **API_MATRIX,
}

# How a route's pattern reads in MATRIX, by the names of its groups or, without names, its place.
SAMPLES = {
    r"/js/footfall\.js": "/js/footfall.js",
    r"/js/footfall\.mjs": "/js/footfall.mjs",
    r"/js/script(?:\.[a-z-]{1,30}){0,12}\.js": "/js/script.js",
    r"/demo(?:/[a-z0-9-]+)?": "/demo",
    r"/assets/([a-z]+)\.[0-9a-f]{12}(\.css|\.js)": "/assets/<asset>",
    r"/assets/built/([A-Za-z_-]{1,40}\.[0-9a-f]{12})(\.css|\.js)": "/assets/built/<asset>",
    r"/share/([A-Za-z0-9_-]{1,64})": "/share/<slug>",
    r"/unsubscribe/([0-9a-f-]{1,60})": "/unsubscribe/<unsubscribe>",
    r"/admin/mail/([A-Za-z0-9_.-]{1,200})": "/admin/mail/<outbox>",
    r"/admin/jobs/([a-z0-9_-]{1,64})": "/admin/jobs/<job>",
    r"/admin/data/([a-z_]{1,64})": "/admin/data/<table>",
    r"/admin/data/([a-z_]{1,64})/([A-Za-z0-9_.@:~,-]{1,900})": "/admin/data/<table>/<row>",
}
GROUPS = {
    "(?P<account_id>[0-9]{1,9})": "<account>",
    "([0-9]{1,9})": "<staff number>",
    "(?P<domain>[^?]+)": "<domain>",
    "(?P<invitation_id>[0-9]{1,9})": "<invitation>",
    "(?P<user_id>[0-9]{1,9})": "<user>",
    "(?P<key_id>[0-9]{1,9})": "<key>",
    "(?P<import_id>[0-9]{1,9})": "<import>",
    "(?P<what>remove|again)": "<import change>",
    "(?P<token>[0-9a-f]{32})": "<upload>",
    **API_GROUPS,
}
ASSET = "/assets/footfall.000000000000.css"
SLUG = "a-link-for-everybody"


@dataclass
class World:
    """An account with a member of each role, people beside it, and the file that the app database goes back to."""

    host: Host
    database: Path
    kept: Path
    browsers: dict[str, Browser]
    headers: dict[str, dict[str, str]]
    ids: dict[str, str]

    def restore(self) -> None:
        """Undo what a request changed."""
        self.host.services.engine.dispose()
        for path in self.database.parent.glob(f"{self.database.name}-*"):
            path.unlink()
        shutil.copy(self.kept, self.database)

    def path(self, line: str) -> str:
        """A line's path with what is there in this world."""
        for name, value in self.ids.items():
            line = line.replace(f"<{name}>", value)
        return line


def sign_in(services: Services, host: Host, user_id: int, *, second_factor: bool = False) -> Browser:
    with writing(services.engine) as session:
        token = start_login(session, user_id, Device("Firefox on Linux", ""), now_ms(), second_factor=second_factor)
    browser = host.browser()
    browser.cookies["footfall_session"] = token
    return browser


def set_up(services: Services, site: Site) -> None:
    """Number 1 of everything that people set up for a site."""
    of_site = {"site_id": site.site_id, "created_at_ms": now_ms()}
    with writing(services.engine) as session:
        for name in ("Signup", "Order", "Visit"):
            session.add(Goal(display_name=name, kind="event", event_name=name, **of_site))
        session.add(Funnel(name="Buyers", goal_ids=[2, 3], **of_site))
        filters = [["is", "visit:source", ["Google"]]]
        session.add(Segment(name="Searchers", filters=filters, is_personal=False, **of_site))
        session.add(Annotation(day="2026-11-25", text="New prices", **of_site))
        session.add(ShareLink(slug=SLUG, name="Everybody", **of_site))
        session.add(Announcement(subject="News", text="None", audience="staff", created_at_ms=now_ms()))
        times = {"due_at_ms": 1, "started_at_ms": 1}
        session.add(JobRun(job="tidy", shard="0/1", lock_token="", outcome="succeeded", **times))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sqlite_to_copy: Path) -> Iterator[World]:
    data_dir = tmp_path_factory.mktemp("matrix") / "data"
    data_dir.mkdir(mode=0o700)
    shutil.copy(sqlite_to_copy, data_dir / "footfall.sqlite")
    services = open_services(load_settings(data_dir=data_dir, invite_only=False))
    owner = make_owner(services)
    with writing(services.engine) as session:
        session.get_one(User, owner).is_staff = False
    members = {
        role: add_member(services, 1, f"{role}@example.com", role) for role in (MemberRole.VIEWER, MemberRole.ADMIN)
    }
    others = {name: make_person(services, f"{name.replace(' ', '-')}@example.com") for name in CALLERS[4:8]}
    with writing(services.engine) as session:
        for name in ("plain staff", "stale staff", "staff"):
            session.get_one(User, others[name][0]).is_staff = True
    for name in ("stale staff", "staff"):
        turn_on_two_factor(services, others[name][0])
    set_up(services, add_site(services.engine, "shop.example", account_id=1))
    invite(services, 1, owner, MemberRole.OWNER, "invited@example.com", MemberRole.VIEWER, now_ms())
    guests = {role: add_guest(services, "shop.example", f"guest-{role}@example.com", role) for role in GuestRole}
    keys = {
        "key": add_api_key(services.engine, "right", 1, [Scope.STATS_READ]),
        "narrow key": add_api_key(services.engine, "narrow", 1, [Scope.SITES_WRITE]),
        "other key": add_api_key(services.engine, "other", others["other account"][1]),
    }
    with hosted(services) as host:
        browsers = {
            "anonymous": host.browser(),
            "viewer": sign_in(services, host, members[MemberRole.VIEWER]),
            "admin": sign_in(services, host, members[MemberRole.ADMIN]),
            "owner": sign_in(services, host, owner),
            "other account": sign_in(services, host, others["other account"][0]),
            "plain staff": sign_in(services, host, others["plain staff"][0]),
            "stale staff": sign_in(services, host, others["stale staff"][0], second_factor=True),
            "staff": sign_in(services, host, others["staff"][0], second_factor=True),
            **{name: host.browser() for name in keys},
            "guest": sign_in(services, host, guests[GuestRole.VIEWER]),
            "guest editor": sign_in(services, host, guests[GuestRole.EDITOR]),
        }
        with writing(services.engine) as session:
            stale = LoginSession.user_id == others["stale staff"][0]
            session.execute(update(LoginSession).where(stale).values(second_factor_at_ms=now_ms() - DAY_MS))
        for browser in browsers.values():
            browser.get("/signup")  # a page with a form gives the XSRF cookie to everybody
        services.engine.dispose()  # closing the last connection empties the write-ahead log into the file
        kept = data_dir.parent / "kept.sqlite"
        shutil.copy(data_dir / "footfall.sqlite", kept)
        ids = {
            "account": "1",
            "domain": "shop.example",
            "invitation": "1",
            "user": str(members[MemberRole.VIEWER]),
            "key": "1",
            "number": "1",
            "import": "1",
            "import change": "remove",
            "upload": "0" * 32,
            "slug": SLUG,
            "asset": ASSET.removeprefix("/assets/"),
            "outbox": "1795435200000-1.eml",
            "staff number": "1",
            "job": "tidy",
            "table": "accounts",
            "row": "1",
            "unsubscribe": "1-" + "0" * 40,
            "email": "guest-viewer@example.com",
        }
        headers = {name: bearer(key) for name, key in keys.items()}
        yield World(host, data_dir / "footfall.sqlite", kept, browsers, headers, ids)
    services.close()


def routes(services: Services) -> list[tuple[str, type[BaseHandler]]]:
    """Every route as it reads in MATRIX, with its handler."""
    context = AppContext(
        services,
        threads=ThreadPoolExecutor(1),
        health=HealthReport,
        key_holder=lambda _: None,
        count=lambda _: {},
        announce=lambda: None,
        stats=Stats(services, no_event_store),
    )
    found = []
    for pattern, handler, *_ in all_routes(context, CountedBatches(services).routes(context)):
        line = SAMPLES.get(pattern, pattern)
        for group, name in GROUPS.items():
            line = line.replace(group, name)
        found.append((line, handler))
    return found


def test_every_route_has_a_line_and_every_line_a_route(world: World) -> None:
    there = {(method, line) for line, handler in routes(world.host.services) for method in answered_methods(handler)}
    assert there - MATRIX.keys() == set(), "routes without a line"
    assert MATRIX.keys() - there == set(), "lines without a route"
    assert {len(letters) for letters in MATRIX.values()} == {len(CALLERS)}


def test_every_form_for_strangers_is_limited_and_so_is_what_costs(world: World) -> None:
    for line, handler in routes(world.host.services):
        access = handler.access
        if "POST" in answered_methods(handler) and access == PUBLIC_ACCESS:
            assert limits_of(handler.post), f"POST {line} has no rate limit"
    by_line = dict(routes(world.host.services))
    for method, line in (("get", "/api/count"), ("get", "/first-run"), ("get", "/reset/finish")):
        assert limits_of(getattr(by_line[line], method)), line


def letter(status: int, location: str) -> str:
    if location.startswith("/login?next="):
        return "l"
    if location.startswith("/me/confirm?next="):
        return "c"
    return {401: "u", 403: "f", 404: "n"}.get(status, "y")


@pytest.mark.parametrize(("method", "line"), MATRIX, ids=lambda value: value)
def test_each_caller_gets_the_expected_answer(world: World, method: str, line: str) -> None:
    got = ""
    for caller in CALLERS:
        browser = dataclasses.replace(world.browsers[caller], cookies=dict(world.browsers[caller].cookies))
        path = world.path(line) + ("?site=shop.example" if line == "/api/count" else "")
        headers = world.headers.get(caller, {})
        if (method, line) in API_MATRIX:
            query, body = api_question(method, line)
            headers = {**headers, "Content_Type": "application/json"}
            if body is not None:
                headers["X_Xsrftoken"] = browser.cookies.get("_xsrf", "")
            answer = browser.ask(method, path + query, body, **headers)
        elif method == "POST":
            fields = {"change": "role", "role": "viewer", "user_id": world.ids["user"], "account_name": "Acme"}
            answer = browser.post(path, fields, **headers)
        else:
            answer = browser.ask(method, path, None, **headers)
        got += letter(answer.status, answer.location)
        if method not in ("GET", "HEAD"):
            world.restore()
    if line.startswith("/assets/"):
        got = got.replace("n", "y")  # a hash of no release: everybody is told so alike
    assert got == MATRIX[method, line]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("line", ["/login", "/accounts/<account>/team", "/api/count", "/admin"])
def test_a_method_that_nobody_declared_changes_nothing(world: World, method: str, line: str) -> None:
    for caller in CALLERS:
        browser = world.browsers[caller]
        headers = {**world.headers.get(caller, {}), "X_Xsrftoken": browser.cookies.get("_xsrf", "")}
        answer = browser.ask(method, world.path(line), None, **headers)
        assert answer.status in (302, 401, 403, 404, 405), (caller, answer.status)


def test_an_unknown_path_is_not_found_for_anybody(world: World) -> None:
    for browser in world.browsers.values():
        assert browser.get("/accounts/1").status == 404
        assert browser.get("/accounts/99999999999/team").status == 404
        assert browser.get("/sites/none.example").status in (302, 404)


def test_a_handler_that_declares_nothing_is_refused() -> None:
    class Silent(BaseHandler):
        def get(self) -> None:
            """Nothing."""

    class Half(BaseHandler):
        access = {"GET": None}  # type: ignore[dict-item] # noqa: RUF012

        def get(self) -> None:
            """Nothing."""

        def post(self) -> None:
            """Nothing."""

    for handler in (Silent, Half):
        with pytest.raises(UndeclaredAccess):
            check_declared(handler)
