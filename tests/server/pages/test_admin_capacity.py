"""Accounts that have used up their plan, as staff find them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from server.app_database import writing
from server.billing.plan_changes import Reason, change_plan
from server.billing.plans import BASIC
from server.clock import DAY_MS, now_ms, time_text
from server.config import PlanLimits, Settings
from server.models import UsagePeriod
from server.pages.admin.accounts import fate
from server.services import open_services
from tests.server.accounts.people import make_person
from tests.server.pages.site_host import hosted
from tests.server.pages.test_admin import Panel, made
from tests.server.pages.test_usage import usage

LIST = "/admin/accounts?used_up=1"


@pytest.fixture
def panel(database_settings: Settings) -> Iterator[Panel]:
    """An installation where plans hold."""
    services = open_services(database_settings.model_copy(update={"plan_limits": PlanLimits.ON}))
    with hosted(services) as host:
        yield made(services, host)
    services.close()


def count(panel: Panel, account_id: int, events: int, grace_days: float | None = None) -> UsagePeriod:
    """The running period of an account has so many events."""
    now = now_ms()
    grace_ends_at_ms = None if grace_days is None else now + int(grace_days * DAY_MS)
    times = {"starts_at_ms": now - DAY_MS, "ends_at_ms": now + 20 * DAY_MS, "grace_ends_at_ms": grace_ends_at_ms}
    row = UsagePeriod(account_id=account_id, anchor="calendar", counted_events=events, **times)
    with writing(panel.services.engine) as session:
        session.add(row)
    return row


def names(text: str) -> list[str]:
    return re.findall(r'<a href="/admin/accounts/\d+">([^<]+)</a>', text)


def test_who_has_used_up_the_plan_is_listed_with_what_becomes_of_hits(panel: Panel) -> None:
    assert "<strong>0</strong>accounts used up" in panel.staff.get("/admin").text
    assert "No account has used up its plan." in panel.staff.get(LIST).text
    others = [make_person(panel.services, f"{name}@example.com", name)[1] for name in ("Bob", "Cid", "Dan", "Eva")]
    in_grace = count(panel, others[0], 150_000, grace_days=2)
    dropped = count(panel, others[1], 100_000, grace_days=-1)
    count(panel, others[2], 99_999)
    count(panel, others[3], 9_000_000, grace_days=-1)
    with writing(panel.services.engine) as session:
        change_plan(session, panel.services, others[3], BASIC, Reason.STAFF, now_ms())
    overview = panel.staff.get("/admin").text
    assert '<a href="/admin/accounts?used_up=1"><strong>2</strong>accounts used up' in overview
    text = panel.staff.get(LIST).text
    assert names(text) == ["Cid", "Bob"]
    assert in_grace.grace_ends_at_ms is not None
    assert "150%" in text
    assert f"counted until {time_text(in_grace.grace_ends_at_ms)}" in text
    assert f"dropped until {time_text(dropped.ends_at_ms)}" in text
    for number, events, tag, hint in (
        (others[0], "150,000 (150%)", "used up", "counted until"),
        (others[1], "100,000 (100%)", "rejecting hits", "dropped until"),
    ):
        account = panel.staff.get(f"/admin/accounts/{number}").text
        assert events in account
        assert f'<span class="tag bad">{tag}</span> <span class="hint">{hint}' in account
    assert "99,999 (100%) from" in panel.staff.get(f"/admin/accounts/{others[2]}").text
    assert names(panel.staff.get(f"{LIST}&q=bob").text) == ["Bob"]
    assert "No account of these has used up its plan." in panel.staff.get(f"{LIST}&q=dan").text
    assert names(panel.staff.get("/admin/accounts").text)[:4] == ["Eva", "Dan", "Cid", "Bob"]


def test_its_further_pages_keep_the_choice(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.accounts.search.find_accounts.__defaults__", (1,))
    for name in ("Bob", "Cid"):
        count(panel, make_person(panel.services, f"{name}@example.com", name)[1], 100_000, grace_days=1)
    first = panel.staff.get(f"{LIST}&q=example").text
    assert names(first) == ["Cid"]
    older = re.search(r'href="([^"]+)">Older ones', first)
    assert older
    second = panel.staff.get(older[1].replace("&amp;", "&")).text
    assert names(second) == ["Bob"]
    newest = re.search(r'href="([^"]+)">The newest', second)
    assert newest
    assert newest[1].replace("&amp;", "&") == "/admin/accounts?q=example&used_up=1"


def test_what_becomes_of_hits_in_a_few_words() -> None:
    assert fate(usage(100_000), is_enforced=True) == "grace to begin"
    assert "counted until 1970-01-08" in fate(usage(100_000, 7), is_enforced=True)
    assert "counted; the period ends at 1970-01-31" in fate(usage(100_000, 40), is_enforced=True)
    assert "counted; the period ends at 1970-01-31" in fate(usage(100_000), is_enforced=False)
    assert "dropped until 1970-01-31" in fate(usage(100_000, 7, is_rejecting=True), is_enforced=True)
