"""The panel in a real browser against a real `footfall serve`: every room, each action, acting as a customer; a block
that reaches the fronts, with the seconds that it took.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from server.accounts.deletion import request_deletion
from server.accounts.devices import Device
from server.accounts.sessions import start_login
from server.app_database import writing
from server.clickhouse_url import ClickHouseAddress
from server.clock import DAY_MS, now_ms
from server.config import load_settings
from server.models import Announcement, Task, UsagePeriod
from server.quarantine import Quarantine
from server.services import Services, open_services
from server.sites import add_site
from tests.browser.chromium import PERSON, visitor
from tests.browser.test_accounts import check_page, log_in, mail_to
from tests.server.accounts.people import PASSWORD, make_owner, make_person
from tests.server.pages.test_login import turn_on_two_factor
from tests.server.segments import write_segment
from tests.services.footfall import FootfallServer, running_footfall

OWNER, ANN, BOB, CID = "owner@example.com", "ann@example.com", "bob@example.com", "cid@example.com"
SITE = "shop.example"

UNREADABLE = "a" * 32

# Nothing queues its mails: there is no task.
UNDER_WAY = {"subject": "On its way", "text": "Hello.", "audience": "members", "state": "sending", "receivers": 9}

# A change of the snapshot is polled every second; the rest is for a machine that has other things to do.
REACHED_WITHIN_S = 15.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, store: ClickHouseAddress) -> Iterator[FootfallServer]:
    """An installation with its staff, two customers, and something for every room."""
    with running_footfall(
        tmp_path_factory.mktemp("footfall") / "data", clickhouse_url=str(store), batch_max_age_ms="100"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def services(server: FootfallServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    opened = open_services(load_settings(data_dir=server.data_dir))
    make_owner(opened, OWNER)
    _, account = make_person(opened, ANN, "Ann")
    site = add_site(opened.engine, SITE, "Europe/Berlin", account_id=account)
    leaving = [make_person(opened, address, name) for address, name in ((BOB, "Bob"), (CID, "Cid"))]
    with writing(opened.engine) as session:
        for user_id, account_id in leaving:
            request_deletion(session, opened, account_id, user_id, "We have moved to another tool.", now_ms())
        period = {"starts_at_ms": now_ms() - DAY_MS, "ends_at_ms": now_ms() + 20 * DAY_MS, "anchor": "calendar"}
        session.add(UsagePeriod(account_id=leaving[0][1], counted_events=120_000, **period))
        session.add(Announcement(**UNDER_WAY, created_at_ms=now_ms(), started_at_ms=now_ms()))
        for number, state in enumerate(("failed", "queued")):
            task = {"attempts": 3, "message": "OperationalError" if state == "failed" else ""}
            times = {"run_at_ms": now_ms() + 3_600_000 * number, "created_at_ms": now_ms(), "ended_at_ms": None}
            session.add(
                Task(kind="site.reset", arguments={"site_id": 99, "asked_at_ms": 1}, state=state, **task, **times)
            )
    folder, quarantine = tmp_path_factory.mktemp("segment"), Quarantine(opened.settings.quarantine_dir)
    segment = folder / f"{UNREADABLE}.seg"
    segment.write_bytes(b"no segment")
    for path in (segment, write_segment(folder, site_ids=(site.site_id,)).path):
        error = "code 16: no such column in the table events"
        quarantine.keep_segment(path, reason="refused", error=error, records=1234)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def totp(services: Services) -> pyotp.TOTP:
    """The app of the member of staff."""
    found, _ = turn_on_two_factor(services, 1)
    return found


@pytest.fixture
def base(server: FootfallServer) -> str:
    """Where the installation is."""
    return f"http://localhost:{server.port}"


@pytest.fixture
def staff(services: Services, totp: pyotp.TOTP, browser: Browser, base: str) -> Iterator[Page]:
    """A browser in which staff are logged in, their second factor shown."""
    with writing(services.engine) as session:
        token = start_login(session, 1, Device("Chrome on Linux", ""), now_ms(), second_factor=True)
    with visitor(browser, base) as page:
        page.context.add_cookies([{"name": "footfall_session", "value": token, "url": base}])
        page.on("dialog", lambda dialog: dialog.accept())
        yield page


def done(page: Page, text: str) -> None:
    expect(page.get_by_role("status").first).to_contain_text(text)


def hit(server: FootfallServer) -> str:
    """Send a page view; why it was dropped, empty when it was not."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    body = json.dumps({"n": "pageview", "u": f"https://{SITE}/", "d": SITE})
    connection.request("POST", "/api/event", body, {"Content-Type": "text/plain", "User-Agent": PERSON})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 202
    return answer.headers.get("x-footfall-dropped", "")


def seconds_until(server: FootfallServer, expected: str, began_s: float | None = None) -> float:
    """How long it took since then, or since now, until hits are answered like that."""
    began_s = time.monotonic() if began_s is None else began_s
    while hit(server) != expected:
        assert time.monotonic() - began_s < REACHED_WITHIN_S, f"hits are not answered {expected!r}"
        time.sleep(0.05)
    return time.monotonic() - began_s


def test_every_room_is_accessible_and_fits(staff: Page, server: FootfallServer) -> None:
    seconds_until(server, "")
    staff.goto("/admin")
    expect(staff.get_by_role("link", name=re.compile("in quarantine"))).to_contain_text("2")
    check_page(staff, "admin-overview")
    staff.get_by_role("link", name=re.compile("accounts used up")).click()
    expect(staff.get_by_role("row").filter(has_text="Bob")).to_contain_text("120% used up")
    check_page(staff, "admin-accounts-used-up")
    staff.goto("/admin")
    rooms = staff.get_by_role("navigation", name="Staff").get_by_role("link")
    names = rooms.all_inner_texts()
    assert len(names) == 14
    for name in names[1:]:
        rooms.get_by_text(name, exact=True).click()
        expect(rooms.get_by_text(name, exact=True)).to_have_attribute("aria-current", "page")
        check_page(staff, f"admin-{name.lower()}")
    staff.goto("/admin/data/users")
    check_page(staff, "admin-data-table")
    staff.get_by_role("table").get_by_role("link", name="1", exact=True).first.click()
    expect(staff.get_by_text("Never shown:")).to_contain_text("password_hash")
    check_page(staff, "admin-data-row")


def test_a_block_reaches_the_fronts_within_seconds_and_the_owner_is_told(
    staff: Page, server: FootfallServer, browser: Browser, base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seconds_until(server, "") < REACHED_WITHIN_S
    staff.goto("/admin/accounts?q=ann")
    staff.get_by_role("link", name="Ann", exact=True).click()
    staff.get_by_label("Reason").fill("Its hits come from a script.")
    began_s = time.monotonic()
    staff.get_by_role("button", name="Block the account").click()
    blocked_s = seconds_until(server, "blocked", began_s)
    done(staff, "Blocked")
    check_page(staff, "admin-account-blocked")
    assert "come from a script" in mail_to(server, ANN, "is blocked").text
    with visitor(browser, base) as ann:
        log_in(ann, ANN, PASSWORD)
        expect(ann.get_by_text("Its hits come from a script.").first).to_be_visible()
        check_page(ann, "admin-blocked-owner")
    staff.get_by_label("Reason").fill("The script is gone.")
    began_s = time.monotonic()
    staff.get_by_role("button", name="Unblock the account").click()
    resumed_s = seconds_until(server, "", began_s)
    with capsys.disabled():
        print(f"\nblocked after {blocked_s:.2f} s, counted again after {resumed_s:.2f} s")
    done(staff, "Unblocked")
    deadline_s = time.monotonic() + REACHED_WITHIN_S
    staff.goto("/admin/drops")
    while not staff.get_by_role("cell", name="Site blocked").first.is_visible():
        assert time.monotonic() < deadline_s, "the ledger says nothing of blocked hits"
        time.sleep(0.3)
        staff.reload()
    check_page(staff, "admin-drops-blocked")
    staff.get_by_role("link", name=SITE).click()
    staff.get_by_label("Reason").fill("A test.")
    staff.get_by_role("button", name="Block the site").click()
    done(staff, "Blocked")
    check_page(staff, "admin-site-blocked")
    staff.get_by_label("Reason").fill("The test is over.")
    staff.get_by_role("button", name="Unblock the site").click()
    done(staff, "Unblocked")


def test_plan_and_flags_of_an_account(staff: Page) -> None:
    staff.goto("/admin/flags")
    staff.get_by_label("Name").fill("new-charts")
    staff.get_by_role("button", name="Keep", exact=True).click()
    done(staff, "flag is kept")
    staff.get_by_label("Name").fill("Not A Name!")
    staff.get_by_role("button", name="Keep", exact=True).click()
    expect(staff.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    check_page(staff, "admin-flags-error")
    staff.goto("/admin/accounts?q=ann")
    staff.get_by_role("link", name="Ann", exact=True).click()
    staff.get_by_role("button", name="Turn on here: new-charts").click()
    done(staff, "flag is kept")
    staff.get_by_role("button", name="Turn off here: new-charts").click()
    done(staff, "flag is kept")
    staff.get_by_label("Another plan").select_option("PREMIUM")
    staff.get_by_role("button", name="Change the plan").click()
    done(staff, "The plan is changed")
    check_page(staff, "admin-account")
    staff.goto("/admin/flags")
    staff.get_by_role("button", name="Forget new-charts").click()
    done(staff, "flag is kept")
    expect(staff.get_by_role("cell", name="new-charts")).to_have_count(0)


def test_an_announcement_from_draft_to_everybody(staff: Page, server: FootfallServer) -> None:
    staff.goto("/admin/announcements")
    staff.get_by_label("Subject").fill("We move on Sunday")
    text = "On **Sunday** we move to a new machine.\n\n- Nothing is lost.\n- Details: https://status.example/move."
    staff.get_by_label("Text").fill(text)
    staff.get_by_label("To", exact=True).select_option("owners")
    staff.get_by_role("button", name="Keep as a draft").click()
    done(staff, "draft is kept")
    expect(staff.frame_locator("iframe").get_by_role("link")).to_have_attribute("href", "https://status.example/move")
    check_page(staff, "admin-announcement-draft")
    staff.get_by_role("button", name=f"Send it to {OWNER} alone").click()
    done(staff, "test is on its way")
    mail_to(server, OWNER, "We move on Sunday")
    staff.get_by_label("I have read the preview").check()
    staff.get_by_role("button", name="Send it", exact=True).click()
    expect(staff.get_by_text("that is all, since")).to_be_visible(timeout=30_000)
    assert "Nothing is lost" in mail_to(server, ANN, "We move on Sunday").text
    check_page(staff, "admin-announcement-sent")


def test_an_announcement_is_changed_thrown_away_and_stopped(staff: Page, server: FootfallServer) -> None:
    staff.goto("/admin/announcements")
    staff.get_by_label("Subject").fill("A draft")
    staff.get_by_label("Text").fill("Hello.")
    staff.get_by_label("To", exact=True).select_option("owners:BASIC")
    staff.get_by_role("button", name="Keep as a draft").click()
    staff.get_by_label("Subject").fill("Another draft")
    staff.get_by_role("button", name="Keep the changes").click()
    done(staff, "draft is kept")
    expect(staff.get_by_role("heading", level=1)).to_contain_text("Another draft")
    staff.get_by_role("button", name="Throw the draft away").click()
    done(staff, "thrown away")
    expect(staff.get_by_role("link", name="Another draft")).to_have_count(0)
    staff.get_by_role("link", name="On its way").click()
    staff.get_by_role("button", name="Stop", exact=True).click()
    done(staff, "Nothing further is queued.")
    expect(staff.get_by_role("button", name="Go on")).to_be_visible()
    check_page(staff, "admin-announcement-stopped")
    staff.goto("/admin/mail")
    staff.get_by_label("To", exact=True).fill(CID)
    staff.get_by_role("button", name="Send a test mail").click()
    done(staff, "test mail is on its way")
    mail_to(server, CID, "test")


def test_deletions_jobs_tasks_and_quarantine(staff: Page) -> None:
    staff.goto("/admin/deletions")
    staff.get_by_role("button", name="Approve the deletion of Cid").click()
    done(staff, "Approved: the account is hidden")
    bobs = staff.locator("section").filter(has=staff.get_by_role("heading", name="Bob"))
    bobs.get_by_label("Reason to refuse it").fill("A bill is open.")
    bobs.get_by_role("button", name="Refuse the deletion of Bob").click()
    done(staff, "Refused")
    check_page(staff, "admin-deletion-approved")
    staff.goto("/admin/jobs")
    staff.get_by_role("button", name="Start now: tidy").click()
    done(staff, "a worker starts it")
    deadline_s = time.monotonic() + 30
    while not staff.get_by_role("link", name="tidy", exact=True).is_visible():
        assert time.monotonic() < deadline_s, "the job did not run"
        time.sleep(0.3)
        staff.goto("/admin/jobs")
    staff.get_by_role("link", name="tidy", exact=True).click()
    expect(staff.get_by_text("by hand")).to_be_visible()
    check_page(staff, "admin-job")
    staff.goto("/admin/tasks?kind=site.reset&state=queued")
    staff.get_by_role("button", name="Give up task").first.click()
    done(staff, "given up")
    staff.goto("/admin/tasks?kind=site.reset&state=failed")
    staff.get_by_role("button", name="Try now: task").first.click()
    done(staff, "due now")
    staff.goto("/admin/quarantine")
    again = staff.get_by_role("button", name="Send again")
    staff.get_by_role("button", name=f"Send again: {UNREADABLE}").click()
    expect(staff.get_by_role("alert")).to_contain_text("Not stored, and kept as it was")
    check_page(staff, "admin-quarantine-refused")
    expect(again).to_have_count(2)
    staff.get_by_role("button", name=re.compile(f"Send again: (?!{UNREADABLE})")).click()
    done(staff, "Stored, and out of the quarantine.")
    expect(again).to_have_count(1)
    staff.goto("/admin/log?action=job.started")
    expect(staff.get_by_role("cell", name="job.started")).to_be_visible()


def test_acting_as_a_customer(staff: Page, totp: pyotp.TOTP) -> None:
    staff.goto("/admin/people?q=ann")
    staff.get_by_role("link", name=ANN).click()
    check_page(staff, "admin-person")
    staff.get_by_label("Reason").fill("asked for help with the time zone")
    staff.get_by_label("Code").fill("000000")
    staff.get_by_role("button", name="Act as Ann").click()
    expect(staff.get_by_label("Code")).to_have_attribute("aria-invalid", "true")
    staff.get_by_label("Code").fill(totp.now())
    staff.get_by_role("button", name="Act as Ann").click()
    banner = staff.get_by_role("complementary", name="Acting as somebody else")
    expect(banner).to_contain_text("You act as Ann")
    check_page(staff, "admin-acting")
    staff.goto(f"/sites/{SITE}")
    expect(banner).to_be_visible()
    staff.goto("/me/security")
    expect(staff.get_by_text("stop acting as this person first")).to_be_visible()
    banner.get_by_role("button", name="Stop").click()
    done(staff, "You are yourself again")
    expect(staff.get_by_role("cell", name="stand_in.started")).to_be_visible()
    expect(banner).to_have_count(0)
