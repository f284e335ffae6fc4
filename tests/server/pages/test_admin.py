"""The panel over HTTP: each room, each form with its entry in the audit log, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import event, select, update

from server.accounts.audit_log import Action
from server.accounts.deletion import request_deletion
from server.accounts.flags import is_on
from server.announcements import CHUNK_MAILS, send_chunk
from server.app_database import reading, writing
from server.billing.plan_changes import plan_of
from server.clock import HOUR_MS, now_ms
from server.config import Settings
from server.models import (
    Account,
    Announcement,
    AuditEntry,
    GuestRole,
    JobRun,
    JobState,
    LoginSession,
    Mail,
    Site,
    StandIn,
    Task,
    User,
)
from server.quarantine import Quarantine
from server.services import Services, open_services
from server.sites import add_site
from server.snapshot import read_source
from tests.server.accounts.people import PASSWORD, add_guest, finish_tasks, mails_to, make_owner, make_person
from tests.server.pages.site_host import Answer, Browser, Host, hosted
from tests.server.pages.test_authorization import sign_in
from tests.server.pages.test_login import turn_on_two_factor

OWNER, ANN = "owner@example.com", "ann@example.com"


@dataclass
class Panel:
    """An installation with a member of staff who is logged in, and Ann with a site of her own."""

    host: Host
    staff: Browser
    staff_id: int
    totp: pyotp.TOTP
    ann_id: int
    ann_account: int
    site: Site

    @property
    def services(self) -> Services:
        """Its services."""
        return self.host.services

    def entry(self, action: Action) -> AuditEntry:
        """The newest entry of this action, which there is."""
        with reading(self.services.engine) as session:
            newest = select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.entry_id.desc())
            found = session.execute(newest.limit(1)).scalar()
        assert found is not None, f"nobody wrote down {action}"
        return found

    def as_ann(self) -> Browser:
        """Ann's own browser."""
        browser = self.host.browser()
        assert browser.log_in(ANN, PASSWORD).status == 303
        return browser

    def state_in_snapshot(self) -> str:
        """What the fronts are told of Ann's site."""
        (found,) = (each for each in read_source(self.services.engine).sites if each["site_id"] == self.site.site_id)
        return str(found["state"])

    def act_as_ann(self, reason: str = "asked for help") -> Answer:
        """Start it."""
        return self.staff.post(f"/admin/people/{self.ann_id}", {"reason": reason, "code": self.totp.now()})


def made(services: Services, host: Host) -> Panel:
    staff_id = make_owner(services)
    totp, _ = turn_on_two_factor(services, staff_id)
    ann_id, ann_account = make_person(services, ANN, "Ann")
    site = add_site(services.engine, "ann.example", account_id=ann_account)
    staff = sign_in(services, host, staff_id, second_factor=True)
    staff.get("/signup")  # a page with a form gives the XSRF cookie to everybody
    return Panel(host, staff, staff_id, totp, ann_id, ann_account, site)


@pytest.fixture
def panel(sqlite_settings: Settings) -> Iterator[Panel]:
    services = open_services(sqlite_settings)
    with hosted(services) as host:
        yield made(services, host)
    services.close()


ROOMS = (
    "",
    "/accounts",
    "/people",
    "/sites",
    "/deletions",
    "/announcements",
    "/mail",
    "/jobs",
    "/tasks",
    "/drops",
    "/quarantine",
    "/flags",
    "/log",
    "/data",
)


def fill(panel: Panel) -> None:
    """Something for every room to show."""
    with writing(panel.services.engine) as session:
        session.add(JobState(job="tidy", shard="0/1", settled_until_ms=10, late_alerted_due_ms=20))
        for number in range(30):
            times = {"due_at_ms": number, "started_at_ms": 1000 * number, "ended_at_ms": 1000 * number + 70_000}
            session.add(JobRun(job="tidy", shard="0/1", lock_token="x", outcome="failed", error="<b>no</b>", **times))
        session.add(Task(kind="mail.send", state="failed", run_at_ms=1, created_at_ms=1, ended_at_ms=now_ms()))
        session.add(Task(kind="site.reset", state="queued", run_at_ms=2**45, created_at_ms=1, message="<i>waits</i>"))
        text = "Hello **all**.\n\n- one\n- https://news.example/x?a=1."
        session.add(Announcement(subject="News of <us>", text=text, audience="owners", created_at_ms=now_ms()))
        request_deletion(session, panel.services, panel.ann_account, panel.ann_id, "too <dear>", now_ms())
    panel.staff.post("/admin/flags", {"change": "keep", "name": "new-charts", "accounts": str(panel.ann_account)})


def test_every_room_opens_escapes_and_leads_to_the_others(panel: Panel) -> None:
    for is_full in (False, True):
        if is_full:
            fill(panel)
        for room in ROOMS:
            page = panel.staff.get(f"/admin{room}")
            assert page.status == 200, room
            assert f'href="/admin{room}" aria-current="page"' in page.text
            assert page.text.count('<li><a href="/admin') >= len(ROOMS)
            assert not re.search(r"<(b|i|us|dear)>", page.text), room
            assert " style=" not in page.text
    overview = panel.staff.get("/admin").text
    for label in ("jobs failing", "jobs late", "tasks failed", "deletions asked for", "dropped today"):
        assert re.search(rf'class="look"><strong>(1|\?)</strong>{label}', overview), label
    assert ANN in overview
    for path in (f"/accounts/{panel.ann_account}", f"/people/{panel.ann_id}", f"/sites/{panel.site.site_id}"):
        page = panel.staff.get(f"/admin{path}")
        assert page.status == 200
        assert not re.search(r"<(b|i|us|dear)>", page.text)
    assert panel.staff.get("/admin/jobs/tidy").text.count("1 min 10 s") >= 30
    for path in ("/accounts/999", "/people/999", "/sites/999", "/announcements/999", "/jobs/none", "/data/none"):
        assert panel.staff.get(f"/admin{path}").status == 404, path
    for query in ("/log?actor=x", "/log?action=none", "/log?day=tomorrow", "/tasks?state=x", "/accounts?before=-1"):
        assert panel.staff.get(f"/admin{query}").status == 400, query


def test_a_page_costs_the_same_however_many_rows_there_are(panel: Panel) -> None:
    counted: list[str] = []
    event.listen(panel.services.engine, "before_cursor_execute", lambda *given: counted.append(given[2]))

    def cost(path: str) -> int:
        counted.clear()
        assert panel.staff.get(path).status == 200
        return len(counted)

    paths = [f"/admin{room}" for room in ROOMS] + [f"/admin/accounts/{panel.ann_account}", "/admin/data/users"]
    before = {path: cost(path) for path in paths}
    for number in range(12):
        _, account_id = make_person(panel.services, f"person{number}@example.com")
        add_site(panel.services.engine, f"site{number}.example", account_id=account_id)
        add_site(panel.services.engine, f"other{number}.example", account_id=panel.ann_account)
    fill(panel)
    assert all(cost(path) <= before[path] + 4 for path in paths), {path: (before[path], cost(path)) for path in paths}


def test_accounts_people_and_sites_are_found(panel: Panel) -> None:
    for number in range(55):
        add_site(panel.services.engine, f"s{number}.example", account_id=panel.ann_account)
    found = panel.staff.get("/admin/accounts?q=ANN%40exam").text
    assert f'href="/admin/accounts/{panel.ann_account}">Ann</a>' in found
    assert ">1</td><td><a" not in found
    assert "Ann</a>" in panel.staff.get(f"/admin/accounts?q=%23{panel.ann_account}").text
    assert "Ann</a>" in panel.staff.get("/admin/accounts?q=ann.example").text
    assert ANN in panel.staff.get("/admin/people?q=ann").text
    assert "Nobody has" in panel.staff.get("/admin/people?q=100%25").text
    first = panel.staff.get("/admin/sites")
    older = re.search(r'href="(/admin/sites\?before=\d+)">Older', first.text)
    assert older
    assert first.text.count('href="/admin/sites/') == 50
    assert "ann.example" in panel.staff.get(older[1]).text
    assert "ann.example" in panel.staff.get("/admin/sites?q=NN.EX").text


def test_an_account_is_blocked_and_unblocked(panel: Panel) -> None:
    path = f"/admin/accounts/{panel.ann_account}"
    assert panel.staff.post(path, {"change": "block", "reason": " "}).error_at("reason")
    assert panel.staff.post(path, {"change": "block", "reason": "x" * 301}).error_at("reason")
    answer = panel.staff.post(path, {"change": "block", "reason": "Sends spam\nto <us>"})
    assert answer.location == f"{path}?done=blocked"
    entry = panel.entry(Action.ACCOUNT_BLOCKED)
    assert (entry.actor_user_id, entry.account_id) == (panel.staff_id, panel.ann_account)
    assert entry.detail == {"reason": "Sends spam to <us>"}
    assert panel.state_in_snapshot() == "blocked"
    mail = mails_to(panel.services, ANN)[0]
    assert mail.subject == "The account “Ann” is blocked"
    assert "Sends spam to <us>" in mail.text
    ann = panel.as_ann()
    for page in ("/sites", "/sites/ann.example/install", f"/accounts/{panel.ann_account}/team"):
        assert "counts no hits" in ann.get(page).text or "count no hits: Sends spam to &lt;us&gt;" in ann.get(page).text
    assert panel.staff.post(path, {"change": "block", "reason": "again"}).status == 400
    assert panel.staff.post(path, {"change": "unblock", "reason": "They stopped."}).status == 303
    assert panel.entry(Action.ACCOUNT_UNBLOCKED).detail == {"reason": "They stopped."}
    assert panel.state_in_snapshot() == "active"
    assert "is unblocked" in mails_to(panel.services, ANN)[0].subject
    assert "count no hits" not in ann.get("/sites").text
    assert panel.staff.post(path, {"change": "unblock", "reason": "twice"}).status == 404
    assert panel.staff.post(path, {"change": "nonsense"}).status == 400


def test_a_site_is_blocked_and_keeps_its_other_state(panel: Panel) -> None:
    path = f"/admin/sites/{panel.site.site_id}"
    with writing(panel.services.engine) as session:
        session.get_one(Site, panel.site.site_id).state = "depleted"
    assert panel.staff.post(path, {"change": "block", "reason": "A copy of another"}).status == 303
    assert panel.entry(Action.SITE_BLOCKED).target == "ann.example"
    assert panel.state_in_snapshot() == "blocked"
    assert "A copy of another" in mails_to(panel.services, ANN)[0].text
    assert "ann.example is blocked" in panel.as_ann().get("/sites/ann.example/install").text
    assert panel.staff.post(path, {"change": "unblock", "reason": "It was not"}).status == 303
    assert panel.entry(Action.SITE_UNBLOCKED).actor_user_id == panel.staff_id
    assert panel.state_in_snapshot() == "depleted"


def test_staff_change_a_plan(panel: Panel) -> None:
    path = f"/admin/accounts/{panel.ann_account}"
    assert panel.staff.post(path, {"change": "plan", "plan": "FREE"}).error_at("plan")
    assert panel.staff.post(path, {"change": "plan", "plan": "GOLD"}).error_at("plan")
    assert panel.staff.post(path, {"change": "plan", "plan": "PREMIUM"}).status == 303
    with reading(panel.services.engine) as session:
        assert plan_of(session, panel.ann_account).code == "PREMIUM"
    entry = panel.entry(Action.PLAN_CHANGED)
    assert (entry.actor_user_id, entry.detail["reason"]) == (panel.staff_id, "staff")


def test_deletions_are_approved_and_refused(panel: Panel) -> None:
    with writing(panel.services.engine) as session:
        first = request_deletion(session, panel.services, panel.ann_account, panel.ann_id, "moving on", now_ms())
    number = str(first.request_id)
    page = panel.staff.get("/admin/deletions").text
    assert "moving on" in page
    refused = panel.staff.post("/admin/deletions", {"change": "refuse", "request_id": number, "reason": ""})
    assert refused.error_at(f"reason-{number}")
    assert panel.staff.post("/admin/deletions", {"change": "approve", "request_id": number}).status == 303
    assert panel.entry(Action.DELETION_APPROVED).actor_user_id == panel.staff_id
    with reading(panel.services.engine) as session:
        assert session.get_one(Account, panel.ann_account).state == "deleting"
    form = {"change": "refuse", "request_id": number, "reason": "An open bill"}
    assert panel.staff.post("/admin/deletions", form).status == 303
    assert panel.entry(Action.DELETION_REFUSED).detail == {"reason": "An open bill"}
    with reading(panel.services.engine) as session:
        assert session.get_one(Account, panel.ann_account).state == "active"
    assert "An open bill" in mails_to(panel.services, ANN)[0].text
    assert panel.staff.post("/admin/deletions", form).status == 404
    assert panel.staff.post("/admin/deletions", {"change": "approve", "request_id": "x"}).status == 400


def test_an_announcement_is_written_tested_and_sent_once(panel: Panel) -> None:
    room = "/admin/announcements"
    text = "We move on **Sunday**.\n\n- First\n- https://status.example/<x>\n\n<script>alert(1)</script>"
    given = {"subject": "Moving on Sunday", "text": text, "audience": "members"}
    for field, wrong in (("subject", "Hi"), ("text", " "), ("audience", "everybody")):
        assert panel.staff.post(room, {**given, field: wrong}).error_at(field), field
    answer = panel.staff.post(room, given)
    path = answer.location.partition("?")[0]
    assert panel.entry(Action.ANNOUNCEMENT_WRITTEN).detail["audience"] == "members"
    page = panel.staff.get(path)
    assert "2 people" in page.text
    assert "frame-src 'self'" in page.headers["content-security-policy"]
    preview = panel.staff.get(f"{path}/preview")
    assert "<strong>Sunday</strong>" in preview.text
    assert '<a href="https://status.example/"' in preview.text
    assert "<script>" not in preview.text
    assert "sandbox" in preview.headers["content-security-policy"]
    assert panel.staff.post(path, {"change": "test"}).status == 303
    assert panel.entry(Action.ANNOUNCEMENT_TESTED).actor_user_id == panel.staff_id
    (test,) = mails_to(panel.services, OWNER)
    assert test.html.replace("\r\n", "\n").strip() == panel.staff.get(f"{path}/preview").text.strip()
    assert "belong to an account here" in test.text
    assert panel.staff.post(path, {"change": "send"}).error_at("sure")
    assert mails_to(panel.services, ANN) == []
    assert panel.staff.post(path, {"change": "send", "sure": "yes"}).status == 303
    assert panel.staff.post(path, {"change": "send", "sure": "yes"}).status == 404
    finish_tasks(panel.services)
    assert panel.entry(Action.ANNOUNCEMENT_STARTED).detail["receivers"] == 2
    assert len(mails_to(panel.services, ANN)) == 1
    assert "2 of 2 mails are queued: that is all" in panel.staff.get(path).text
    for change in ("send", "stop", "write", "delete"):
        assert panel.staff.post(path, {**given, "change": change, "sure": "yes"}).status == 404, change
    assert len(mails_to(panel.services, ANN)) == 1


def test_sending_goes_on_after_a_stop_and_misses_nobody(panel: Panel) -> None:
    with writing(panel.services.engine) as session:
        for number in range(CHUNK_MAILS):
            session.add(User(email=f"p{number}@example.com", password_hash="", is_staff=True, created_at_ms=1))
    given = {"subject": "For all of staff", "text": "Hello.", "audience": "staff"}
    path = panel.staff.post("/admin/announcements", given).location.partition("?")[0]
    assert panel.staff.post(path, {**given, "change": "write", "subject": "For all of us"}).status == 303
    assert panel.staff.post(path, {"change": "send", "sure": "yes"}).status == 303
    number = int(path.rpartition("/")[2])
    assert send_chunk(panel.services, number, now_ms()) == (CHUNK_MAILS, CHUNK_MAILS + 1, False)
    assert panel.staff.post(path, {"change": "stop"}).status == 303
    assert panel.entry(Action.ANNOUNCEMENT_STOPPED).detail["queued_mails"] == CHUNK_MAILS
    assert send_chunk(panel.services, number, now_ms())[2], "nothing is queued while it is stopped"
    assert panel.staff.post(path, {"change": "send", "sure": "yes"}).status == 303
    send_chunk(panel.services, number, now_ms())
    with reading(panel.services.engine) as session:
        sent = session.execute(select(Mail.to_address).where(Mail.template == "announcement")).scalars().all()
    assert len(sent) == len(set(sent)) == CHUNK_MAILS + 1
    draft = panel.staff.post("/admin/announcements", given).location.partition("?")[0]
    assert panel.staff.post(draft, {"change": "delete"}).location.startswith("/admin/announcements?")
    assert panel.entry(Action.ANNOUNCEMENT_DELETED).actor_user_id == panel.staff_id


def test_staff_see_where_somebody_is_a_guest_and_that_account_reads_who_acted(panel: Panel) -> None:
    gina = add_guest(panel.services, "ann.example", "gina@example.org", GuestRole.VIEWER)
    path = f"/admin/people/{gina}"
    assert f'<a href="/admin/sites/{panel.site.site_id}">ann.example</a>' in panel.staff.get(path).text
    assert panel.staff.post(path, {"reason": "asked for help", "code": panel.totp.now()}).location == "/sites"
    with reading(panel.services.engine) as session:
        started = select(AuditEntry.account_id).where(AuditEntry.action == Action.STAND_IN_STARTED)
        told = set(session.execute(started).scalars())
    assert panel.ann_account in told
    assert len(told) == 2, "the account of their own, and that of the site"


def test_staff_act_as_a_person_under_both_names(panel: Panel) -> None:
    path = f"/admin/people/{panel.ann_id}"
    assert panel.staff.post(path, {"reason": "", "code": panel.totp.now()}).error_at("reason")
    assert panel.staff.post(path, {"reason": "help", "code": "000000"}).error_at("code")
    assert panel.act_as_ann("help in ticket <7>").location == "/sites"
    entry = panel.entry(Action.STAND_IN_STARTED)
    assert (entry.actor_user_id, entry.account_id, entry.target) == (
        panel.staff_id,
        panel.ann_account,
        f"user {panel.ann_id}",
    )
    for page in ("/sites", "/sites/ann.example", "/me", "/sites/ann.example/settings"):
        shown = panel.staff.get(page)
        assert shown.status == 200, page
        assert "You act as Ann" in shown.text
        assert "help in ticket &lt;7&gt;" in shown.text
    assert panel.staff.get("/admin").status == 404, "no powers of staff meanwhile"
    settings = "/sites/ann.example/settings"
    assert panel.staff.post(settings, {"change": "timezone", "timezone": "Asia/Kathmandu"}).status == 303
    changed = panel.entry(Action.SITE_TIMEZONE)
    assert (changed.actor_user_id, changed.stand_in_user_id) == (panel.ann_id, panel.staff_id)
    log = panel.as_ann().get(f"/accounts/{panel.ann_account}/log").text
    assert "of staff" in log
    assert panel.staff.post("/stand-in/stop").location == f"/admin/people/{panel.ann_id}?done=stopped-acting"
    assert panel.entry(Action.STAND_IN_STOPPED).actor_user_id == panel.staff_id
    assert panel.staff.get("/admin").status == 200
    assert panel.staff.post("/stand-in/stop").location == "/admin"


def test_who_acts_as_somebody_takes_nothing_over(panel: Panel) -> None:
    assert panel.act_as_ann().status == 303
    account = f"/accounts/{panel.ann_account}"
    assert panel.staff.get("/me/security").status == 403
    forms: tuple[tuple[str, dict[str, str]], ...] = (
        ("/me", {"change": "password", "current": PASSWORD, "password": "some other lengthy words"}),
        ("/me", {"change": "email", "password": PASSWORD, "email": "eve@example.com"}),
        ("/me/security", {"change": "start", "password": PASSWORD}),
        ("/me/confirm", {"code": "1"}),
        (f"{account}/keys", {"name": "mine", "scope": "stats:read"}),
        (f"{account}/keys/1/revoke", {}),
        (f"{account}/billing", {"change": "cancel"}),
        (f"{account}/owner", {"user_id": "1"}),
        (f"{account}/team", {"email": "eve@example.com", "role": "owner"}),
        (f"{account}/deletion", {"change": "ask"}),
        ("/sites/ann.example/settings/people", {"change": "offer", "email": "eve@example.com"}),
        ("/sites/ann.example/settings/deletion", {"change": "delete"}),
        ("/login", {"email": ANN, "password": PASSWORD}),
        ("/reset", {"email": ANN}),
    )
    for path, fields in forms:
        assert panel.staff.post(path, fields).status == 403, path


def test_acting_ends_with_the_hour_the_role_the_factor_and_the_login(panel: Panel) -> None:
    engine = panel.services.engine

    def acts() -> bool:
        return "You act as Ann" in panel.staff.get("/sites").text

    def set_user(**values: object) -> None:
        with writing(engine) as session:
            session.execute(update(User).where(User.user_id == panel.staff_id).values(**values))

    panel.act_as_ann()
    assert acts()
    enabled_at_ms = 1
    for ending, mending in (
        ({"is_staff": False}, {"is_staff": True}),
        ({"totp_enabled_at_ms": None}, {"totp_enabled_at_ms": enabled_at_ms}),
    ):
        set_user(**ending)
        assert not acts()
        set_user(**mending)
        assert acts()
    with writing(engine) as session:
        session.get_one(User, panel.ann_id).state = "blocked"
    assert not acts()
    with writing(engine) as session:
        session.get_one(User, panel.ann_id).state = "active"
        row = session.execute(select(StandIn)).scalar_one()
        assert row.ends_at_ms - row.started_at_ms == HOUR_MS
        row.ends_at_ms = now_ms() - 1
    assert not acts()
    with writing(engine) as session:
        session.execute(update(StandIn).values(ends_at_ms=now_ms() + HOUR_MS))
    assert panel.staff.post("/logout").status == 303
    with reading(engine) as session:
        assert session.execute(select(StandIn)).first() is None
        theirs = select(LoginSession).where(LoginSession.user_id == panel.staff_id)
        assert session.execute(theirs).first() is None, "it was their login that ended"
    assert panel.entry(Action.LOGOUT).actor_user_id == panel.staff_id


def test_nobody_acts_as_staff(panel: Panel) -> None:
    with writing(panel.services.engine) as session:
        session.get_one(User, panel.ann_id).is_staff = True
    assert panel.act_as_ann().status == 400
    assert "Act as" not in panel.staff.get(f"/admin/people/{panel.ann_id}").text


def test_a_job_is_started_from_its_page(panel: Panel) -> None:
    fill(panel)
    assert panel.staff.post("/admin/jobs", {"job": "none", "shard": "0/1"}).status == 404
    assert panel.staff.post("/admin/jobs", {"job": "tidy", "shard": "0/1"}).status == 303
    entry = panel.entry(Action.JOB_STARTED)
    assert (entry.target, entry.detail) == ("tidy", {"shard": "0/1"})
    with reading(panel.services.engine) as session:
        task = session.execute(select(Task).where(Task.kind == "jobs.start")).scalar_one()
    assert task.arguments == {"job": "tidy", "shard": "0/1"}


def test_tasks_are_tried_again_and_given_up(panel: Panel) -> None:
    with writing(panel.services.engine) as session:
        for task_id, kind, state in (
            (901, "site.reset", "failed"),
            (902, "mail.send", "failed"),
            (903, "site.reset", "queued"),
            (904, "site.reset", "running"),
            (905, "site.reset", "succeeded"),
        ):
            session.add(Task(task_id=task_id, kind=kind, state=state, attempts=3, run_at_ms=2**45, created_at_ms=1))

    def change(what: str, task_id: int) -> Answer:
        return panel.staff.post("/admin/tasks", {"change": what, "task_id": str(task_id)})

    def row(task_id: int) -> Task:
        with reading(panel.services.engine) as session:
            return session.get_one(Task, task_id)

    assert change("retry", 901).status == 303
    assert (row(901).state, row(901).attempts) == ("queued", 0)
    assert row(901).run_at_ms <= now_ms()
    assert panel.entry(Action.TASK_RETRIED).target == "task 901: site.reset"
    assert "asked for anew" in change("retry", 902).text, "its mail is gone"
    assert change("retry", 903).status == 303
    assert row(903).attempts == 3
    assert change("retry", 904).status == 400
    assert change("retry", 905).status == 400
    assert change("give_up", 903).status == 303
    assert row(903).state == "cancelled"
    assert panel.entry(Action.TASK_GIVEN_UP).detail["outcome"] == "at_once"
    assert change("give_up", 904).location == "/admin/tasks?done=task-stopping"
    assert row(904).cancel_requested
    assert change("give_up", 905).status == 400
    assert change("give_up", 999).status == 404
    assert change("nonsense", 901).status == 400


def test_flags_are_kept_for_everybody_and_for_one_account(panel: Panel) -> None:
    def kept(**fields: str) -> Answer:
        return panel.staff.post("/admin/flags", {"change": "keep", **fields})

    assert kept(name="No Name!").error_at("name")
    assert kept(name="charts", accounts="x").error_at("accounts")
    assert "no account 999" in kept(name="charts", accounts="999").error_at("accounts")
    assert kept(name="charts", accounts="1").status == 303
    assert panel.entry(Action.FLAG_CHANGED).detail == {"is_on": False, "accounts": [1]}
    path, ours = f"/admin/accounts/{panel.ann_account}", {"change": "flag", "flag": "charts"}
    assert panel.staff.post(path, {**ours, "is_on": "1"}).status == 303
    with reading(panel.services.engine) as session:
        assert is_on(session, "charts", panel.ann_account)
    assert panel.staff.post(path, {**ours, "is_on": "0"}).status == 303
    assert panel.entry(Action.FLAG_CHANGED).account_id == panel.ann_account
    assert panel.staff.post(path, {**ours, "flag": "none", "is_on": "1"}).status == 404
    with reading(panel.services.engine) as session:
        assert not is_on(session, "charts", panel.ann_account)
        assert is_on(session, "charts", 1)
    assert panel.staff.post("/admin/flags", {"change": "remove", "name": "charts"}).status == 303
    assert panel.entry(Action.FLAG_REMOVED).target == "charts"
    assert panel.staff.post("/admin/flags", {"change": "remove", "name": "charts"}).status == 404


def test_the_quarantine_is_shown_and_a_replay_that_fails_keeps_the_file(panel: Panel, tmp_path: Path) -> None:
    segment = tmp_path / f"{'a' * 32}.seg"
    segment.write_bytes(b"no segment at all")
    quarantine = Quarantine(panel.services.settings.quarantine_dir)
    kept = quarantine.keep_segment(segment, reason="refused", error="code 42: <why>", records=7)
    page = panel.staff.get("/admin/quarantine").text
    assert "code 42: &lt;why&gt;" in page
    answer = panel.staff.post("/admin/quarantine", {"name": kept.name})
    assert answer.status == 400
    assert "Not stored, and kept as it was" in answer.text
    assert kept.exists()
    assert panel.entry(Action.QUARANTINE_REPLAYED).detail == {"records": 7, "even_if_old": False}
    assert panel.staff.post("/admin/quarantine", {"name": "../footfall.sqlite"}).status == 404


def test_the_log_is_filtered(panel: Panel) -> None:
    panel.staff.post(f"/admin/sites/{panel.site.site_id}", {"change": "block", "reason": "Because"})
    assert "site.blocked" in panel.staff.get("/admin/log").text
    table = panel.staff.get(f"/admin/log?actor={panel.ann_id}").text.partition("<tbody>")[2]
    assert "user.created" in table
    assert "site.blocked" not in table
    table = panel.staff.get(f"/admin/log?account={panel.ann_account}&action=site.blocked").text.partition("<tbody>")[2]
    assert table.count("<tr>") == 1
    assert "Because" in table
    assert "No entry" in panel.staff.get("/admin/log?day=2020-01-01").text


def test_forms_need_their_token_and_the_test_mail_is_written_down(panel: Panel) -> None:
    path = f"/admin/accounts/{panel.ann_account}"
    assert panel.staff.ask("POST", path, b"change=block&reason=x").status == 403
    assert panel.staff.post("/admin/mail", {"email": "nobody"}).error_at("email")
    assert panel.staff.post("/admin/mail", {"email": ANN}).status == 303
    assert panel.entry(Action.TEST_MAIL_SENT).actor_user_id == panel.staff_id
    name = re.search(r'href="/admin/mail/(\d+-\d+\.eml)"', panel.staff.get("/admin/mail").text)
    assert name is None, "it waits for its task"
    finish_tasks(panel.services)
    name = re.search(r'href="/admin/mail/(\d+-\d+\.eml)"', panel.staff.get("/admin/mail").text)
    assert name
    assert panel.staff.get(f"/admin/mail/{name[1]}").status == 200


def test_the_panel_on_postgresql(postgresql_settings: Settings) -> None:
    services = open_services(postgresql_settings)
    with hosted(services) as host:
        panel = made(services, host)
        fill(panel)
        for room in ROOMS:
            assert panel.staff.get(f"/admin{room}").status == 200, room
        for name in ("users", "memberships", "one_time_tokens", "known_devices", "job_states", "feature_flags"):
            assert panel.staff.get(f"/admin/data/{name}").status == 200, name
        for query in ("/accounts?q=ann", "/people?q=ann", "/sites?q=ann", f"/accounts/{panel.ann_account}"):
            assert "ann" in panel.staff.get(f"/admin{query}").text.lower()
        assert panel.act_as_ann().status == 303
        assert "You act as Ann" in panel.staff.get("/sites").text
    services.close()
