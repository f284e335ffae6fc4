"""Alerts about traffic and the staff's mail: counted by hand in a real store; told once, again, and when it is over."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from clickhouse_driver import Client
from sqlalchemy import Engine, select, update

from server.app_database import reading
from server.clickhouse_url import ClickHouseAddress
from server.clock import DAY_MS, HOUR_MS, MINUTE_MS
from server.config import Settings
from server.mail.message import Body
from server.models import (
    BillingProfile,
    JobRun,
    Mail,
    PlanChange,
    Site,
    StaffReport,
    StripeEvent,
    TrafficAlert,
    UsagePeriod,
    User,
)
from server.queries.event_reader import EventReader
from server.queries.traffic import Presence, hits_of_hours, ingest_totals, presence
from server.reports.periods import MailKind
from server.reports.staff import day_before, send_staff_report
from server.reports.traffic_alerts import (
    WEEKS,
    AlertCause,
    AlertChoice,
    TrafficAlerts,
    hits_verdict,
    set_alerts,
    visitors_verdict,
)
from server.sealing import unseal
from tests.jobs.report_office import SECRET, Office
from tests.server.queries.traffic import event, store_with

WEEK_MS = 7 * DAY_MS
NOW_MS = int(datetime(2026, 11, 23, 12, 20, tzinfo=UTC).timestamp() * 1000)
_sites = itertools.count(70_000)


@pytest.fixture(scope="module")
def reader(address: ClickHouseAddress) -> Iterator[EventReader]:
    asked = EventReader(lambda: address)
    yield asked
    asked.close()


@pytest.fixture
def office(sqlite_settings: Settings, app: Engine) -> Office:
    made = Office(sqlite_settings, app)
    made.clock.now_ms = NOW_MS
    return made


# -- what the store says -----------------------------------------------------------------------------------------------


def test_who_is_there_and_how_many_hits_an_hour_had(client: Client, reader: EventReader) -> None:
    one, other = next(_sites), next(_sites)
    noon_ms = NOW_MS // HOUR_MS * HOUR_MS
    store_with(
        client,
        one,
        [
            event(visitor_id=1, time_ms=NOW_MS - 61 * MINUTE_MS),
            event(visitor_id=2, time_ms=NOW_MS - 59 * MINUTE_MS, sample_weight=3),
            event(visitor_id=3, time_ms=NOW_MS - 4 * MINUTE_MS, kind="custom", event_name="x"),
            event(visitor_id=4, time_ms=NOW_MS - 3 * MINUTE_MS, kind="engagement"),
            event(visitor_id=5, time_ms=NOW_MS - 2 * MINUTE_MS, kind="vitals", metrics={"cls": 0.1}),
            event(visitor_id=6, time_ms=noon_ms - 7 * DAY_MS - 1),
        ],
    )
    store_with(client, other, [event(visitor_id=1, time_ms=NOW_MS)])
    assert presence(reader, [one, other, 1], NOW_MS) == {
        one: Presence(now=2, last_hour=4),
        other: Presence(now=1, last_hour=1),
        1: Presence(),
    }
    hours = [noon_ms - HOUR_MS, noon_ms, noon_ms - 7 * DAY_MS - HOUR_MS]
    assert hits_of_hours(reader, [one], hours) == {
        (one, noon_ms - HOUR_MS): 4,
        (one, noon_ms): 1,
        (one, noon_ms - 7 * DAY_MS - HOUR_MS): 1,
    }


def alert(cause: AlertCause, threshold: int) -> TrafficAlert:
    return TrafficAlert(kind=cause, threshold=threshold)


@pytest.mark.parametrize(("seen", "holds"), [(10, False), (11, True)])
def test_more_visitors_than_the_threshold(seen: int, holds: bool) -> None:
    now = visitors_verdict(alert(AlertCause.VISITORS_NOW, 10), Presence(now=seen))
    hour = visitors_verdict(alert(AlertCause.VISITORS_HOUR, 10), Presence(last_hour=seen))
    assert (now.holds, hour.holds) == (holds, holds)
    assert now.headline == f"{seen} visitors now"
    assert hour.headline == f"{seen} visitors in the last hour"


@pytest.mark.parametrize(
    ("hits", "earlier", "percent", "holds"),
    [
        (20, [100, 100, 100, 100], 20, True),
        (21, [100, 100, 100, 100], 20, False),
        (0, [40, 0, 0, 0], 0, True),
        (1, [100, 100], 0, False),
        (0, [9, 10, 9, 10], 20, False),  # usually fewer than ten
        (0, [], 20, False),  # a new site
        (5, [3, 30, 3, 4], 50, True),  # a mean of 10
    ],
)
def test_far_fewer_hits_than_usual(hits: int, earlier: list[int], percent: int, holds: bool) -> None:
    assert hits_verdict(alert(AlertCause.HITS_HOUR, percent), hits, earlier).holds is holds


# -- what is told ------------------------------------------------------------------------------------------------------


class Told:
    """A site whose traffic a test sets, and what people are told of it."""

    def __init__(self, office: Office, zone: str = "UTC", **choices: AlertChoice) -> None:
        self.office = office
        self.site_id = office.add_site(zone)
        office.subscribe(self.site_id, MailKind.ALERTS, office.add_member("ann@example.com"))
        self.now = self.hour = 0
        self.hits: dict[int, int] = {}
        self.asked: list[list[int]] = []
        self.store: Callable[..., list[Any]] = self.rows
        chosen = {AlertCause(name): choice for name, choice in choices.items()}
        set_alerts(office.services, self.site_id, chosen, 1, office.clock())

    def rows(self, statement: str, parameters: dict[str, Any], *more: Any) -> list[Any]:
        if "now_from_ms" in parameters:
            return [(self.site_id, self.now, self.hour)]
        self.asked.append(list(parameters["hours"]))
        return [
            (self.site_id, hour_s, self.hits[hour_s * 1000])
            for hour_s in parameters["hours"]
            if hour_s * 1000 in self.hits
        ]

    def judge(self, **more: Any) -> list[str]:
        """One run of the job; the subjects of the mails it queued."""
        before = len(self.office.mails())
        reader: Any = SimpleNamespace(rows=self.store)
        TrafficAlerts(self.office.services, reader, self.office.clock, **more).judge_all()
        return [mail.subject.partition(": ")[2] for mail in self.office.mails()[before:]]


def newest_body(office: Office) -> Body:
    mail = office.mails()[-1]
    assert mail.body_sealed is not None
    return Body.from_json(unseal(SECRET, "mail", mail.body_sealed, f"mail {mail.mail_id}"))


def test_a_spike_is_told_once_again_after_its_time_and_when_it_is_over(office: Office) -> None:
    told = Told(office, visitors_now=AlertChoice(10, 3_600, tells_end=True))
    assert told.judge() == []
    told.now = 11
    assert told.judge() == ["11 visitors now"]
    office.clock.advance(3_599)
    assert told.judge() == []
    office.clock.advance(1)
    told.now = 30
    assert told.judge() == ["30 visitors now"]
    told.now = 3
    assert told.judge() == ["3 visitors now"]
    assert told.judge() == []
    body = newest_body(office)
    assert "the alert is over" in body.text
    assert body.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    told.now = 11
    assert told.judge() == [], "within the repeat time, even if it was over in between"


def test_without_the_wish_nobody_is_told_of_the_end(office: Office) -> None:
    told = Told(office, visitors_hour=AlertChoice(10))
    told.hour = 11
    assert told.judge() == ["11 visitors in the last hour"]
    told.hour = 0
    assert told.judge() == []


def test_two_runners_at_once_tell_it_once(office: Office) -> None:
    told = Told(office, visitors_now=AlertChoice(10))
    told.now = 11
    inner: list[str] = []

    def come_in(session: Any) -> None:
        raise AssertionError("nothing is left to tell")

    def rows_with_another(*arguments: Any) -> list[Any]:
        told.store = told.rows
        inner.extend(told.judge())
        return told.rows(*arguments)

    told.store = rows_with_another
    assert told.judge() == ["11 visitors now"]
    assert inner == ["11 visitors now"]
    assert len(office.mails()) == 1
    assert told.judge(fence=come_in) == []


def test_a_drop_is_judged_once_an_hour_when_all_its_hits_are_stored(office: Office) -> None:
    told = Told(office, hits_hour=AlertChoice(20))
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS - HOUR_MS
    told.hits = {hour_ms - week * WEEK_MS: 100 for week in range(1, WEEKS + 1)}
    office.store_until(hour_ms + HOUR_MS - 1)
    told.judge()
    assert told.asked[-1][-1] == (hour_ms - HOUR_MS) // 1000, "the hour before is the last that is whole"
    office.store_until(NOW_MS)
    assert told.judge() == ["No hits in the last full hour"]
    asked = len(told.asked)
    assert told.judge() == []
    assert len(told.asked) == asked, "an hour is looked at once"
    office.clock.advance(3_600)
    office.store_until(office.clock())
    assert told.judge() == []


@pytest.mark.parametrize(("grace_days", "cause"), [(-1, "The plan of its account is used up"), (1, "Is the site up")])
def test_a_drop_names_a_plan_that_is_used_up_as_its_cause(
    office: Office, monkeypatch: pytest.MonkeyPatch, grace_days: int, cause: str
) -> None:
    told = Told(office, hits_hour=AlertChoice(20))
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS - HOUR_MS
    told.hits = {hour_ms - week * WEEK_MS: 100 for week in range(1, WEEKS + 1)}
    office.store_until(NOW_MS)
    monkeypatch.setattr(Settings, "are_plans_enforced", True)
    office.add(BillingProfile(account_id=1, plan_code="FREE"))
    times = {"starts_at_ms": 0, "ends_at_ms": 2**50, "grace_ends_at_ms": NOW_MS + grace_days * DAY_MS}
    office.add(UsagePeriod(account_id=1, anchor="calendar", counted_events=100_000, **times))
    assert told.judge() == ["No hits in the last full hour"]
    assert cause in newest_body(office).text


def test_nobody_is_told_of_a_drop_when_the_figures_are_hours_behind(office: Office) -> None:
    told = Told(office, hits_hour=AlertChoice(20))
    office.store_until(NOW_MS - 5 * HOUR_MS)
    assert told.judge() == []
    assert told.asked == []


def test_the_same_hour_is_that_of_the_clocks_on_the_wall(office: Office) -> None:
    """Clocks in New York went back on 2026-11-01: noon there was an hour earlier in UTC before."""
    told = Told(office, "America/New_York", hits_hour=AlertChoice(20))
    office.store_until(NOW_MS)
    told.judge()
    hours = [datetime.fromtimestamp(hour_s, UTC) for hour_s in told.asked[-1]]
    assert [(hour.month, hour.day, hour.hour) for hour in hours] == [
        (10, 26, 10),
        (11, 2, 11),
        (11, 9, 11),
        (11, 16, 11),
        (11, 23, 11),
    ]


def test_a_changed_threshold_is_told_at_once(office: Office) -> None:
    told = Told(office, visitors_now=AlertChoice(10))
    told.now = 25
    assert told.judge() == ["25 visitors now"]
    set_alerts(office.services, told.site_id, {AlertCause.VISITORS_NOW: AlertChoice(20)}, 1, office.clock())
    assert told.judge() == ["25 visitors now"]


def test_nobody_asks_the_store_for_sites_that_nobody_hears_of(office: Office) -> None:
    told = Told(office, visitors_now=AlertChoice(10))
    told.now = 11
    office.change(update(Site).values(state="deleting"))
    assert told.judge() == []


# -- staff -------------------------------------------------------------------------------------------------------------


def test_staff_are_told_of_a_day_once(office: Office, client: Client, reader: EventReader) -> None:
    # A month of its own: other tests of this store have hits too.
    day = date(2026, 9, 22)
    start_ms = int(datetime(2026, 9, 22, tzinfo=UTC).timestamp() * 1000)
    columns = "INSERT INTO ledger (site_id, hour, outcome, bot_reasons, count, batch_time, batch_id) VALUES"
    lines = [("accepted", 0, 900), ("bot", 0, 80), ("capacity", 23, 20), ("destroyed", 1, 7), ("accepted", 24, 5)]
    client.execute(
        columns,
        [
            {
                "site_id": 1,
                "hour": datetime.fromtimestamp(start_ms // 1000 + hour * 3600, UTC),
                "outcome": outcome,
                "bot_reasons": 0,
                "count": count,
                "batch_time": datetime.now(UTC),
                "batch_id": "",
            }
            for outcome, hour, count in lines
        ],
    )
    assert ingest_totals(reader, start_ms, start_ms + DAY_MS) == {"accepted": 900, "bot": 80, "capacity": 20}
    office.clock.now_ms = start_ms + DAY_MS + 6 * HOUR_MS
    for email in ("staff@example.com", "ann@example.com"):
        office.add_member(email)
    office.change(update(User).where(User.email == "staff@example.com").values(is_staff=True))
    for at_ms in (start_ms - 1, start_ms, start_ms + DAY_MS - 1, start_ms + DAY_MS):
        office.add(User(email=f"u{at_ms}@example.com", password_hash="x", created_at_ms=at_ms))
    office.add(PlanChange(account_id=1, from_plan_code="FREE", to_plan_code="BASIC", reason="x", at_ms=start_ms))
    office.add(StripeEvent(event_id="e1", kind="invoice.paid", created_at_ms=0, received_at_ms=start_ms + 5))
    office.add(StripeEvent(event_id="e2", kind="customer.updated", created_at_ms=0, received_at_ms=start_ms + 5))
    run = {"job": "closing", "shard": "0/1", "due_at_ms": 0, "lock_token": "t", "started_at_ms": start_ms}
    office.add(JobRun(outcome="failed", ended_at_ms=start_ms + 9, **run))
    office.add(JobRun(outcome="succeeded", ended_at_ms=start_ms + 9, **run))
    office.add(
        Mail(
            to_address="x@example.com",
            template="invitation",
            subject="s",
            state="failed",
            created_at_ms=start_ms,
            ended_at_ms=start_ms + 9,
        )
    )
    assert day_before(office.clock()) == day
    queued = len(office.mails())
    assert send_staff_report(office.services, reader, day, office.clock()) == 1
    assert send_staff_report(office.services, reader, day, office.clock()) == 0
    (mail,) = office.mails()[queued:]
    assert (mail.to_address, mail.subject) == ("staff@example.com", "[Footfall] Tuesday, 22 September 2026")
    assert mail.body_sealed is not None
    text = Body.from_json(unseal(SECRET, "mail", mail.body_sealed, f"mail {mail.mail_id}")).text
    said = {line.strip() for line in text.splitlines()}
    expected = {
        "2  Sign-ups",
        "1  From Free to Basic",
        "1  Invoices paid",
        "1,000  Hits answered",
        "900  Hits accepted",
        "80  Bots and scripts",
        "20  Plan's capacity used up",
        "1  Job closing",
        "1  Mail invitation",
    }
    assert expected <= said, text
    with reading(office.engine) as session:
        assert session.execute(select(StaffReport.day)).scalars().all() == ["2026-09-22"]
