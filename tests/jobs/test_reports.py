"""Reports go out once and none is missed, across zones, clock changes, crashes and two runners; and what they say."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, update

from jobs.tidy import REPORT_DAYS
from server.alerts import AlertKind
from server.app_database import open_app_database
from server.billing import plans
from server.billing.plans import FREE
from server.clock import DAY_MS, HOUR_MS, MINUTE_MS
from server.config import Settings, load_settings
from server.mail.message import Body
from server.models import Account, BillingProfile, ClosedDay, Membership, ReportSubscription, Site
from server.queries.errors import TooSlow
from server.queries.periods import SiteCalendar
from server.reports.periods import MailKind, Period, due_ms, latest_period, next_due_ms, period_query, period_text
from server.reports.sending import ReportsFailed
from server.sealing import unseal
from server.site_changes import change_timezone
from tests.jobs.report_office import DAY, SECRET, WAITS_MS, Office, naive_period, naive_start_ms
from tests.server.queries.traffic import ZONES
from tests.services.app_databases import copy_sqlite

CASES = [(zone, day) for zone, days in ZONES.items() for day in days]
KINDS = (MailKind.DAILY, MailKind.WEEKLY, MailKind.MONTHLY)


@pytest.fixture
def office(sqlite_settings: Settings, app: Engine) -> Office:
    return Office(sqlite_settings, app)


def at_ms(text: str) -> int:
    """An instant of UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def body_of(office: Office, number: int = -1) -> Body:
    mail = office.mails()[number]
    assert mail.body_sealed is not None
    return Body.from_json(unseal(SECRET, "mail", mail.body_sealed, f"mail {mail.mail_id}"))


# -- when -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("zone", "day"), CASES)
def test_periods_are_due_at_six_by_the_sites_clocks(zone: str, day: date) -> None:
    calendar = SiteCalendar.of(zone)
    for offset_h in range(-30, 60, 5):
        now_ms = naive_start_ms(zone, day) + offset_h * HOUR_MS + 7 * MINUTE_MS
        for kind in KINDS:
            first, last, expected_ms = naive_period(kind, zone, now_ms)
            period = latest_period(kind, calendar, now_ms)
            assert (period.first, period.last) == (first, last)
            assert due_ms(calendar, period) == expected_ms
            later_ms = next_due_ms(kind, calendar, now_ms)
            assert later_ms > now_ms
            assert latest_period(kind, calendar, later_ms).first > first
            assert latest_period(kind, calendar, later_ms - 1) == period


def test_periods_read_well_and_the_dashboard_knows_them() -> None:
    day = date(2026, 11, 29)
    assert period_text(MailKind.DAILY, Period(day, day)) == "Sunday, 29 November 2026"
    assert period_text(MailKind.WEEKLY, Period(date(2026, 11, 23), day)) == "23 to 29 November 2026"
    assert (
        period_text(MailKind.WEEKLY, Period(date(2026, 11, 30), date(2026, 12, 6))) == "30 November to 6 December 2026"
    )
    assert period_text(MailKind.WEEKLY, Period(date(2026, 12, 28), date(2027, 1, 3))).startswith(
        "28 December 2026 to 3"
    )
    assert period_text(MailKind.MONTHLY, Period(date(2026, 11, 1), date(2026, 11, 30))) == "November 2026"
    assert period_query(MailKind.WEEKLY, Period(date(2026, 11, 23), day)) == {
        "period": "custom",
        "from": "2026-11-23",
        "to": "2026-11-29",
    }


# -- each once --------------------------------------------------------------------------------------------------------


@settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_report_goes_out_twice_and_none_is_missed(sqlite_to_copy: Path, data: st.DataObject) -> None:
    """Time goes on, days are closed or not, runs die at any statement, and a second runner comes in between."""
    folder = Path(tempfile.mkdtemp(prefix="footfall-reports-"))
    copy_sqlite(sqlite_to_copy, folder / "data")
    configured = load_settings(data_dir=folder / "data")
    engine = open_app_database(configured)
    try:
        live(Office(configured, engine), data)
    finally:
        engine.dispose()
        shutil.rmtree(folder, ignore_errors=True)


def live(office: Office, data: st.DataObject) -> None:
    start = data.draw(st.sampled_from((date(2026, 3, 7), date(2026, 4, 4), date(2026, 10, 30), date(2026, 12, 30))))
    office.clock.now_ms = naive_start_ms("UTC", start)
    zones = data.draw(st.lists(st.sampled_from(sorted(ZONES)), min_size=1, max_size=2))
    sites = {office.add_site(zone): zone for zone in zones}
    user = office.add_member("ann@example.com")
    born: dict[int, tuple[int, MailKind, int]] = {}
    for site_id in sites:
        for kind in KINDS:
            office.clock.advance(data.draw(st.sampled_from((0, 7 * 3600))))
            born[office.subscribe(site_id, kind, user)] = (site_id, kind, office.clock())
    closed: dict[int, set[date]] = {site_id: set() for site_id in sites}
    stored_ms = 0
    expected: dict[tuple[int, str], bool] = {}
    """What a run that was not cut must have sent, and whether that is partial for certain."""
    for _ in range(data.draw(st.integers(2, 7))):
        office.clock.advance(data.draw(st.sampled_from((600, 3 * 3600, 7 * 3600, 26 * 3600, 8 * 86_400, 32 * 86_400))))
        if data.draw(st.booleans()):
            for site_id, zone in sites.items():
                today = datetime.fromtimestamp(office.clock() / 1000, UTC).date()
                days = [today - index * DAY for index in range(1, 90)]
                days = [day for day in days if naive_start_ms_cached(zone, day + DAY) <= office.clock()]
                office.close_days(site_id, zone, [day for day in days if day not in closed[site_id]])
                closed[site_id].update(days)
            stored_ms = office.clock()
        office.store_until(stored_ms)
        match data.draw(st.sampled_from(("runs", "dies", "meets another"))):
            case "dies":
                office.run_killed(data.draw(st.integers(0, 40)))
                continue
            case "meets another":
                others = iter(range(data.draw(st.integers(1, 3))))

                def come_in(mails: int, message: str, others: Any = others) -> None:
                    if next(others, None) is not None:
                        office.run()

                office.run(progress=come_in)
            case _:
                office.run()
        for subscription_id, (site_id, kind, born_ms) in born.items():
            first, last, fell_due_ms = naive_period(kind, sites[site_id], office.clock())
            asked = {first + index * DAY for index in range((last - first).days + 1)}
            ends_ms = naive_start_ms_cached(sites[site_id], last + DAY)
            is_complete = asked <= closed[site_id] and stored_ms >= ends_ms
            if born_ms <= fell_due_ms and (is_complete or office.clock() >= fell_due_ms + WAITS_MS):
                expected.setdefault((subscription_id, first.isoformat()), not is_complete)
    sends = office.sends()
    assert expected.keys() <= sends.keys(), "a report is missing"
    # A run that died may have sent more, but nothing before its time or from before it was asked for.
    for (subscription_id, first_day), send in sends.items():
        site_id, kind, born_ms = born[subscription_id]
        assert naive_period(kind, sites[site_id], send.at_ms)[0].isoformat() == first_day
        assert born_ms <= naive_period(kind, sites[site_id], send.at_ms)[2]
    # Each row has its mail, and no mail is without a row.
    mails = office.mails()
    assert sorted(send.mail_id for send in sends.values()) == [mail.mail_id for mail in mails]
    assert max(Counter(mail.subject for mail in mails).values(), default=1) == 1
    for key, is_partial in expected.items():
        if not any(mail.subject.startswith("Partial") for mail in mails if mail.mail_id == sends[key].mail_id):
            assert not sends[key].is_partial
        if is_partial:
            assert sends[key].is_partial


def naive_start_ms_cached(zone: str, day: date) -> int:
    """`naive_start_ms`, which is slow, once for each date."""
    key = (zone, day)
    if key not in _STARTS:
        _STARTS[key] = naive_start_ms(zone, day)
    return _STARTS[key]


_STARTS: dict[tuple[str, date], int] = {}


def test_a_run_may_die_at_every_single_statement(office: Office) -> None:
    office.clock.now_ms = at_ms("2026-11-20T00:00")
    site_id = office.add_site()
    for name in ("ann", "bob"):
        office.subscribe(site_id, MailKind.DAILY, office.add_member(f"{name}@example.com"))
    office.clock.now_ms = at_ms("2026-11-23T06:12")
    office.close_days(site_id, "UTC", [date(2026, 11, day) for day in range(1, 23)])
    office.store_until(office.clock())
    deaths = 0
    while office.run_killed(deaths):
        deaths += 1
        assert len(office.mails()) in (0, 2), "both or none: they are one transaction"
    assert deaths > 8
    assert len(office.mails()) == 2
    assert office.run() == 0


def test_after_a_standstill_only_the_latest_of_each_kind_goes_out(office: Office) -> None:
    office.clock.now_ms = at_ms("2026-09-01T00:00")
    site_id, ann = office.add_site(), office.add_member("ann@example.com")
    for kind in KINDS:
        office.subscribe(site_id, kind, ann)
    office.clock.now_ms = at_ms("2026-12-03T12:30")
    office.store_until(office.clock())
    assert office.run() == 3
    assert sorted(day for _, day in office.sends()) == ["2026-11-01", "2026-11-23", "2026-12-02"]
    assert office.run() == 0
    office.clock.advance(86_400)
    assert office.run() == 1


def test_nothing_goes_out_about_the_time_before_somebody_asked(office: Office) -> None:
    office.clock.now_ms = at_ms("2026-11-23T09:00")
    site_id = office.add_site()
    office.subscribe(site_id, MailKind.DAILY, office.add_member("ann@example.com"))
    office.store_until(office.clock())
    assert office.run() == 0
    office.clock.now_ms = at_ms("2026-11-24T05:59")
    assert office.run() == 0
    office.clock.now_ms = at_ms("2026-11-24T06:00")
    office.close_days(site_id, "UTC", [date(2026, 11, 23)])
    office.store_until(office.clock())
    assert office.run() == 1


# -- complete or not ---------------------------------------------------------------------------------------------------


def ready_office(office: Office) -> int:
    """A site whose report about 2026-11-22 is due, with everything closed and stored."""
    office.clock.now_ms = at_ms("2026-11-20T00:00")
    site_id = office.add_site()
    office.subscribe(site_id, MailKind.DAILY, office.add_member("ann@example.com"))
    office.clock.now_ms = at_ms("2026-11-23T06:00")
    office.close_days(site_id, "UTC", [date(2026, 11, day) for day in range(1, 23)])
    office.store_until(office.clock())
    return site_id


def test_a_report_waits_for_the_watermark_and_then_goes_out_marked_partial(office: Office) -> None:
    ready_office(office)
    office.store_until(at_ms("2026-11-22T23:59:59"))
    assert office.run() == 0
    office.clock.advance(6 * 3600 - 1)
    assert office.run() == 0
    assert office.alerts.raised == []
    office.clock.advance(1)
    assert office.run() == 1
    (send,) = office.sends().values()
    assert send.is_partial
    assert office.mails()[0].subject.startswith("Partial: ")
    for content in (body_of(office).text, body_of(office).html):
        assert "Partial: not all hits of this time are counted yet" in content
    assert office.alerts.keys(AlertKind.REPORT_PARTIAL) == ["reports"]
    assert office.run() == 0


@pytest.mark.parametrize("what", ["never closed", "dirty"])
def test_a_report_waits_until_its_days_are_closed(office: Office, what: str) -> None:
    site_id = ready_office(office)
    day = ClosedDay.day == "2026-11-22"
    is_missing = what == "never closed"
    office.change(delete(ClosedDay).where(day) if is_missing else update(ClosedDay).where(day).values(is_dirty=True))
    assert office.run() == 0
    office.close_days(site_id, "UTC", [date(2026, 11, 22)])
    assert office.run() == 1
    (send,) = office.sends().values()
    assert not send.is_partial
    assert "Partial" not in body_of(office).text


def test_a_site_that_cannot_be_read_does_not_hold_up_the_others(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = ready_office(office)
    # A day of two weights is never closed: the site is asked by itself.
    office.change(update(ClosedDay).where(ClosedDay.site_id == broken).values(version=0))
    fine = office.add_site()
    office.close_days(fine, "UTC", [date(2026, 11, day) for day in range(1, 23)])
    office.subscribe(fine, MailKind.DAILY, office.add_member("bob@example.com"), confirmed_at_ms=1)

    def too_slow(*arguments: Any) -> Any:
        raise TooSlow("20 s per query", "This query takes too long.")

    office.one_site = too_slow
    with pytest.raises(ReportsFailed, match="1 sites"):
        office.run()
    assert [mail.to_address for mail in office.mails()] == ["bob@example.com"]


# -- to whom -----------------------------------------------------------------------------------------------------------


def test_who_is_no_member_any_more_gets_nothing_and_is_forgotten(office: Office) -> None:
    ready_office(office)
    office.change(delete(Membership))
    assert office.run() == 0
    assert office.subscriptions() == []


def test_a_site_that_moved_takes_nobody_along(office: Office) -> None:
    site_id = ready_office(office)
    office.add(Account(account_id=7, name="Other", created_at_ms=0))
    office.change(update(Site).values(account_id=7))
    office.subscribe(site_id, MailKind.DAILY, None, email="else@example.com", account_id=1, confirmed_at_ms=1)
    assert office.run() == 0
    assert office.subscriptions() == []


def test_an_address_that_has_not_agreed_gets_nothing(office: Office) -> None:
    site_id = ready_office(office)
    office.subscribe(site_id, MailKind.DAILY, None, email="else@example.com", confirmed_at_ms=None)
    assert office.run() == 1
    assert [mail.to_address for mail in office.mails()] == ["ann@example.com"]


def test_a_site_that_is_being_deleted_sends_nothing(office: Office) -> None:
    ready_office(office)
    office.change(update(Site).values(state="deleting"))
    assert office.run() == 0


def test_a_plan_without_reports_pauses_them(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    ready_office(office)
    bare = replace(FREE, features=frozenset())
    monkeypatch.setattr(plans, "PLANS_BY_CODE", {"FREE": bare})
    monkeypatch.setattr(Settings, "are_plans_enforced", True)
    office.add(BillingProfile(account_id=1, plan_code="FREE"))
    assert office.run() == 0
    (row,) = office.subscriptions()
    assert row.next_due_at_ms == at_ms("2026-11-24T06:00"), "kept, and looked at again when the next one is due"
    monkeypatch.setattr(plans, "PLANS_BY_CODE", {"FREE": FREE})
    office.change(update(ReportSubscription).values(next_due_at_ms=0))
    assert office.run() == 1


def test_pieces_share_the_sites_between_them(office: Office) -> None:
    ready_office(office)
    for _ in range(5):
        site_id = office.add_site()
        office.close_days(site_id, "UTC", [date(2026, 11, day) for day in range(1, 23)])
        office.subscribe(site_id, MailKind.DAILY, 1, confirmed_at_ms=1)
    assert sum(office.run(shard=(index, 4)) for index in range(4)) == 6
    assert office.run() == 0


def test_another_time_zone_has_the_job_look_again(office: Office) -> None:
    site_id = ready_office(office)
    assert office.run() == 1
    assert [row.next_due_at_ms for row in office.subscriptions()] == [at_ms("2026-11-24T06:00")]
    change_timezone(office.engine, site_id, "Pacific/Kiritimati", None)
    assert [row.next_due_at_ms for row in office.subscriptions()] == [0]
    assert office.run() == 0


# -- what is said ------------------------------------------------------------------------------------------------------


def test_a_report_can_be_ended_by_one_click_and_leads_to_the_same_days(office: Office) -> None:
    ready_office(office)
    assert office.run() == 1
    body = body_of(office)
    link = body.headers["List-Unsubscribe"].strip("<>")
    assert body.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link in body.text
    assert f'href="{link}"' in body.html
    assert "period=day&date=2026-11-22" in body.text
    assert "period=day&amp;date=2026-11-22" in body.html
    assert list(body.images) == ["chart@footfall"]
    assert 'src="cid:chart@footfall"' in body.html
    assert 'alt="Visitors by day, 9 November 2026 to 22 November 2026: none."' in body.html
    assert "Sun 22 Nov  0" in body.text
    for word in ("Visitors", "Visits", "Page views", "Views per visit", "Bounce rate", "Visit duration"):
        assert word in body.text
        assert word in body.html


def test_what_is_tidied_away_is_no_longer_looked_for() -> None:
    longest_ms = (31 + 31) * DAY_MS + WAITS_MS
    assert longest_ms < REPORT_DAYS * DAY_MS
