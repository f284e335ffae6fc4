"""What staff are told each day: a day (UTC) of the whole installation, by mail to everybody who is staff."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.app_database import inserting, reading, writing
from server.billing.plans import PLANS_BY_CODE
from server.clock import DAY_MS, utc_date
from server.models import Account, JobRun, Mail, PlanChange, ReportSend, Site, StaffReport, StripeEvent, Task, User
from server.queries.drops import ACCEPTED, REASON_LABELS
from server.queries.event_reader import EventReader
from server.queries.traffic import ingest_totals

if TYPE_CHECKING:
    from server.services import Services

Row = Mapping[str, str]
"""`label` and `value` of a line."""

_REVENUE_EVENTS = {
    "checkout.session.completed": "Checkouts finished",
    "invoice.paid": "Invoices paid",
    "invoice.payment_failed": "Payments that failed",
    "customer.subscription.deleted": "Subscriptions ended",
}
"""Of Stripe's events, those that mean money; the others say what follows from them."""
MOST_FAILED = 20
"""Lines of failures; the rest is one line."""


def day_before(at_ms: int) -> date:
    """The last whole day (UTC)."""
    return utc_date(at_ms) - timedelta(days=1)


def send_staff_report(
    services: Services,
    reader: EventReader,
    day: date,
    now_ms: int,
    fence: Callable[[Session], None] = lambda session: None,
) -> int:
    """Queue the mail about a day to all staff, once; how many mails. Raises what the stores raise."""
    with reading(services.engine) as session:
        if session.get(StaffReport, day.isoformat()) is not None:
            return 0
    from_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    until_ms = from_ms + DAY_MS
    outcomes = ingest_totals(reader, from_ms, until_ms)
    with reading(services.engine) as session:
        figures = [*_people(session, from_ms, until_ms), *_revenue(session, from_ms, until_ms)]
        failures = _failures(session, from_ms, until_ms)
        addresses = _staff(session)
    figures += [
        _row("Hits answered", sum(outcomes.values())),
        _row("Hits accepted", outcomes.get(ACCEPTED, 0)),
    ]
    drops = [_row(REASON_LABELS.get(label, label), hits) for label, hits in outcomes.items() if label != ACCEPTED]
    with writing(services.engine) as session:
        fence(session)
        if not _claim(session, day, len(addresses), now_ms):
            return 0
        for address in addresses:
            services.mailer.queue(
                session,
                address,
                "staff_report",
                day=f"{day:%A}, {day.day} {day:%B %Y}",
                figures=figures,
                drops=drops,
                failures=failures,
                admin_link=f"{services.settings.snippet_base}/admin",
            )
    return len(addresses)


def _claim(session: Session, day: date, mails: int, now_ms: int) -> bool:
    row = inserting(session, StaffReport).values(day=day.isoformat(), mails=mails, at_ms=now_ms)
    return session.execute(row.on_conflict_do_nothing().returning(StaffReport.day)).scalar() is not None


def _staff(session: Session) -> list[str]:
    staff = select(User.email).where(User.is_staff, User.state == "active", User.email_confirmed_at_ms.is_not(None))
    return list(session.execute(staff.order_by(User.email)).scalars())


def _people(session: Session, from_ms: int, until_ms: int) -> list[Row]:
    def born(model: type[User] | type[Account] | type[Site]) -> int:
        made = (model.created_at_ms >= from_ms) & (model.created_at_ms < until_ms)
        return session.execute(select(func.count()).select_from(model).where(made)).scalar_one()

    return [_row("Sign-ups", born(User)), _row("New accounts", born(Account)), _row("New sites", born(Site))]


def _revenue(session: Session, from_ms: int, until_ms: int) -> list[Row]:
    """Changes of plans, and Stripe's events about money. A day without any has no lines."""
    changes = session.execute(
        select(PlanChange.from_plan_code, PlanChange.to_plan_code, func.count())
        .where((PlanChange.at_ms >= from_ms) & (PlanChange.at_ms < until_ms))
        .group_by(PlanChange.from_plan_code, PlanChange.to_plan_code)
        .order_by(PlanChange.from_plan_code, PlanChange.to_plan_code)
    ).all()
    rows = [_row(f"From {_plan(before)} to {_plan(after)}", count) for before, after, count in changes]
    came = (StripeEvent.received_at_ms >= from_ms) & (StripeEvent.received_at_ms < until_ms)
    counted = select(StripeEvent.kind, func.count()).where(came & StripeEvent.kind.in_(_REVENUE_EVENTS))
    events: dict[str, int] = {kind: count for kind, count in session.execute(counted.group_by(StripeEvent.kind)).all()}  # noqa: C416 - a Row is no pair for mypy
    return rows + [_row(label, events[kind]) for kind, label in _REVENUE_EVENTS.items() if kind in events]


def _plan(code: str) -> str:
    return PLANS_BY_CODE[code].display_name if code in PLANS_BY_CODE else code


def _failures(session: Session, from_ms: int, until_ms: int) -> list[Row]:
    """Runs of jobs, tasks and mails that ended badly, by name; and reports that went out incomplete."""
    sources = (
        ("Job", JobRun.job, JobRun.ended_at_ms, JobRun.outcome == "failed"),
        ("Task", Task.kind, Task.ended_at_ms, Task.state == "failed"),
        ("Mail", Mail.template, Mail.ended_at_ms, Mail.state == "failed"),
    )
    rows: list[Row] = []
    for what, name, at_ms, has_failed in sources:
        failed = select(name, func.count()).where(has_failed, at_ms >= from_ms, at_ms < until_ms).group_by(name)
        rows += [_row(f"{what} {each}", count) for each, count in session.execute(failed.order_by(name))]
    partial = (
        select(func.count())
        .select_from(ReportSend)
        .where(ReportSend.is_partial, ReportSend.at_ms >= from_ms, ReportSend.at_ms < until_ms)
    )
    partial_reports = session.execute(partial).scalar_one()
    if partial_reports:
        rows.append(_row("Reports with incomplete figures", partial_reports))
    if len(rows) > MOST_FAILED:
        rows = [*rows[:MOST_FAILED], _row("Further kinds of failures", len(rows) - MOST_FAILED)]
    return rows


def _row(label: str, value: int) -> Row:
    return {"label": label, "value": f"{value:,}"}
