"""Sites with subscriptions to reports on a fake clock, over an app database alone: what goes out, what should."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, Executable, event, select

from server.app_database import reading, store_watermark, writing
from server.cache import Cache
from server.clock import HOUR_MS
from server.config import Settings
from server.mail import Mailer
from server.models import Account, Base, ClosedDay, Mail, Membership, ReportSend, ReportSubscription, Site, User
from server.queries.metrics import METRICS
from server.queries.periods import SiteCalendar
from server.queries.site_reports import HEADLINES, Figure, Question, SiteReport
from server.reports import sending
from server.reports.periods import MailKind
from server.reports.sending import Reports
from tests.jobs.doubles import AlertBook, Clock, services_of

DAY = timedelta(days=1)
SECRET = "a secret key of a test, long enough"
_numbers = itertools.count(1)


class Killed(BaseException):
    """The process ends here and now."""


def empty_report(question: Question) -> SiteReport:
    """A site on which nothing happened."""
    headlines = [Figure(METRICS[name], 0, 0, 0) for name in HEADLINES]
    return SiteReport(headlines, dict.fromkeys(question.chart, 0))


@dataclass
class Office:
    """One app database. `rows` is what the event store answers."""

    settings: Settings
    engine: Engine
    clock: Clock = field(default_factory=Clock)
    alerts: AlertBook = field(default_factory=AlertBook)
    rows: Callable[..., list[Any]] = lambda *arguments, **settings: []
    one_site: Callable[..., SiteReport] = lambda engine, site, question, now_ms: empty_report(question)

    def __post_init__(self) -> None:
        tasks: Any = SimpleNamespace(now_ms=self.clock, enqueue=lambda *arguments, **more: None)
        self.services = services_of(
            self.engine,
            self.settings,
            self.alerts,
            secret_key=SECRET,
            tasks=tasks,
            cache=Cache(self.settings, self.engine),
            mailer=Mailer(self.settings, SECRET, tasks),
        )

    def add_site(self, zone: str = "UTC", created: date = date(2025, 1, 1)) -> int:
        """A site of account 1."""
        with writing(self.engine) as session:
            number = next(_numbers)
            at_ms = SiteCalendar.of(zone).start_ms(created)
            site = Site(public_id=f"r-{number}", domain=f"r{number}.test", timezone=zone, created_at_ms=at_ms)
            session.add(site)
            session.flush()
            return site.site_id

    def add_member(self, email: str, account_id: int = 1) -> int:
        """Somebody in an account."""
        with writing(self.engine) as session:
            if session.get(Account, account_id) is None:
                session.add(Account(account_id=account_id, name="Acme", created_at_ms=0))
            user = User(email=email, password_hash="x", email_confirmed_at_ms=1, created_at_ms=0)
            session.add(user)
            session.flush()
            session.add(Membership(account_id=account_id, user_id=user.user_id, role="viewer", created_at_ms=0))
            return user.user_id

    def subscribe(self, site_id: int, kind: MailKind, user_id: int | None, **more: Any) -> int:
        """Somebody gets a report from now on."""
        values = {"account_id": 1, "confirmed_at_ms": self.clock(), **more}
        with writing(self.engine) as session:
            row = ReportSubscription(site_id=site_id, kind=kind, user_id=user_id, created_at_ms=self.clock(), **values)
            session.add(row)
            session.flush()
            return row.report_subscription_id

    def close_days(self, site_id: int, zone: str, days: Sequence[date], *, is_dirty: bool = False) -> None:
        """Days that readers read from closed tables."""
        calendar = SiteCalendar.of(zone)
        with writing(self.engine) as session:
            for day in days:
                session.merge(
                    ClosedDay(
                        site_id=site_id,
                        day=day.isoformat(),
                        version=1 << 40,
                        is_dirty=is_dirty,
                        starts_at_ms=calendar.start_ms(day),
                        ends_at_ms=calendar.start_ms(day + DAY),
                        closed_at_ms=1,
                    )
                )

    def store_until(self, at_ms: int) -> None:
        """Everything before this time is stored."""
        store_watermark(self.engine, "home", "spool", [], at_ms, self.clock())

    def run(self, **more: Any) -> int:
        """One run of the job, whatever the time."""
        reader: Any = SimpleNamespace(rows=self.rows)
        # Reading one site is asked of a real store in test_site_reports.
        with patch.object(sending, "one_site", self.one_site):
            return Reports(self.services, reader, self.clock, **more).send_due()

    def run_killed(self, statements: int, **more: Any) -> bool:
        """A run whose process dies before its so many-th statement or commit; whether it did."""
        left = iter(range(statements))

        def count(*arguments: Any) -> None:
            if next(left, None) is None:
                raise Killed

        event.listen(self.engine, "before_cursor_execute", count)
        event.listen(self.engine, "commit", count)
        try:
            self.run(**more)
        except Killed:
            return True
        finally:
            event.remove(self.engine, "before_cursor_execute", count)
            event.remove(self.engine, "commit", count)
        return False

    def sends(self) -> dict[tuple[int, str], ReportSend]:
        """What went out, by subscription and first day."""
        with reading(self.engine) as session:
            rows = session.execute(select(ReportSend)).scalars().all()
        return {(row.report_subscription_id, row.first_day): row for row in rows}

    def mails(self) -> list[Mail]:
        """What was queued, in order."""
        with reading(self.engine) as session:
            return list(session.execute(select(Mail).order_by(Mail.mail_id)).scalars())

    def change(self, statement: Executable) -> None:
        """Change the app database."""
        with writing(self.engine) as session:
            session.execute(statement)

    def add(self, row: Base) -> None:
        """Add a row to it."""
        with writing(self.engine) as session:
            session.merge(row)

    def subscriptions(self) -> list[ReportSubscription]:
        """Who gets what."""
        with reading(self.engine) as session:
            return list(session.execute(select(ReportSubscription)).scalars())


# -- when something should go out, counted naively ---------------------------------------------------------------------


def naive_due_ms(zone: str, day: date) -> int:
    """The first quarter of an hour at which the zone's clocks show this date and at least six."""
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)
    while True:
        local = at.astimezone(ZoneInfo(zone))
        if local.date() == day and local.hour >= 6:
            return int(at.timestamp() * 1000)
        at += timedelta(minutes=15)


def naive_start_ms(zone: str, day: date) -> int:
    """The first minute of a date in a zone."""
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)
    while at.astimezone(ZoneInfo(zone)).date() < day:
        at += timedelta(minutes=1)
    return int(at.timestamp() * 1000)


def naive_period(kind: MailKind, zone: str, now_ms: int) -> tuple[date, date, int]:
    """The newest period whose report is due: first day, last day, when it fell due."""
    day = datetime.fromtimestamp(now_ms / 1000, UTC).date() + 2 * DAY
    while True:
        day -= DAY
        begins = (
            kind is MailKind.DAILY
            or (kind is MailKind.WEEKLY and day.weekday() == 0)
            or (kind is MailKind.MONTHLY and day.day == 1)
        )
        if begins and naive_due_ms(zone, day) <= now_ms:
            break
    last = day - DAY
    first = last
    if kind is MailKind.WEEKLY:
        first = last - 6 * DAY
    elif kind is MailKind.MONTHLY:
        first = last.replace(day=1)
    return first, last, naive_due_ms(zone, day)


WAITS_MS = 6 * HOUR_MS
