"""Sends the reports that are due: many sites' figures at once, then each mail once.

One subscription's life under the job:

| step | a crash after it leaves |
|---|---|
| `next_due_at_ms` is over: the newest period that is due is looked at, older ones are passed over | nothing |
| its figures are complete, or `WAITS_MS` is over: they are read | nothing |
| one transaction, fenced by the job's lock: a row of `report_sends`, the mail, the next due time | it is done |

So a report goes out at most once whoever runs, and at least once as long as somebody runs before the next one is due.
Complete means: everything answered before the period's end is stored (the watermark), and each of its days is closed,
without rows that came later. A day that is never closed, since its sampling changed, is read from the events.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from server.alerts.kinds import AlertKind
from server.app_database import inserting, minimum_watermark, reading, writing
from server.models import ClosedDay, Import, ReportSend, ReportSubscription, Site
from server.queries.closed_figures import FIGURE_IMPORTS
from server.queries.engine import StatsEngine
from server.queries.errors import QueryFailed, QueryRefused
from server.queries.event_reader import EventReader
from server.queries.periods import SiteCalendar
from server.queries.site_reports import Question, SiteReport, are_closed, many_sites, one_site
from server.reports.content import Content, dashboard_link, report_content
from server.reports.periods import (
    REPORT_KINDS,
    WAITS_MS,
    MailKind,
    Period,
    chart_days,
    due_ms,
    latest_period,
    next_due_ms,
    period_before,
)
from server.reports.recipients import Addressee, Audience, audience_of
from server.reports.unsubscribing import unsubscribe_headers, unsubscribe_token

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)

BATCH_SITES = 200
"""Sites whose figures are read at once."""
TRANSACTION_SITES = 20
"""Sites whose mails are queued at once: rendering takes milliseconds, and on SQLite everybody else waits."""


class ReportsFailed(Exception):
    """The figures of some sites could not be read; their reports are tried again. All others went out."""


@dataclass(frozen=True)
class _Due:
    """A report of one site that is to be sent now."""

    site: Site
    period: Period
    next_due_at_ms: int
    question: Question
    addressees: Sequence[Addressee]
    is_partial: bool
    is_batched: bool


@dataclass
class Reports:
    """Sends what is due. `fence` joins each transaction; `progress` hears how many mails were queued, and may raise.

    `shard`: of the sites whose number modulo the second is the first.
    """

    services: Services
    reader: EventReader
    now_ms: Callable[[], int]
    shard: tuple[int, int] = (0, 1)
    fence: Callable[[Session], None] = lambda session: None
    progress: Callable[[int, str], None] = lambda mails, message: None
    mails: int = 0
    failed_sites: list[int] = field(default_factory=list)
    partial_sites: int = 0

    def send_due(self) -> int:
        """Send everything that is due; how many mails were queued. Raises `ReportsFailed` when some could not be."""
        watermark_ms = minimum_watermark(self.services.engine)
        for kind in REPORT_KINDS:
            for ids in self._due_sites(kind):
                self._send_batch(kind, ids, watermark_ms)
        if self.partial_sites:
            self.services.alerts.raise_alert(
                AlertKind.REPORT_PARTIAL,
                "reports",
                f"{self.partial_sites} reports went out with incomplete figures",
                "Hits of their time are not stored or closed yet. Look at the watermark (spools) and the job closing.",
            )
        if self.failed_sites:
            raise ReportsFailed(f"the figures of {len(self.failed_sites)} sites could not be read")
        return self.mails

    # -- what is due -----------------------------------------------------------------------------------------------

    def _due_sites(self, kind: MailKind) -> Iterator[list[int]]:
        """Sites with a report of this kind that may be due, in batches; each once."""
        last = 0
        index, count = self.shard
        while True:
            due = (
                select(ReportSubscription.site_id)
                .where(
                    ReportSubscription.kind == kind,
                    ReportSubscription.next_due_at_ms <= self.now_ms(),
                    ReportSubscription.site_id > last,
                    ReportSubscription.site_id % count == index,
                )
                .distinct()
                .order_by(ReportSubscription.site_id)
                .limit(BATCH_SITES)
            )
            with reading(self.services.engine) as session:
                ids = list(session.execute(due).scalars())
            if not ids:
                return
            last = ids[-1]
            yield ids

    def _send_batch(self, kind: MailKind, site_ids: Sequence[int], watermark_ms: int | None) -> None:
        now_ms = self.now_ms()
        with reading(self.services.engine) as session:
            rows = session.execute(
                select(ReportSubscription).where(
                    ReportSubscription.kind == kind,
                    ReportSubscription.site_id.in_(site_ids),
                    ReportSubscription.next_due_at_ms <= now_ms,
                )
            ).scalars()
            audience = audience_of(session, self.services.settings, rows.all())
            passed, due = self._sorted(session, kind, audience, now_ms, watermark_ms)
        self._pass_over(audience.void, passed)
        figures = self._figures(due, now_ms)
        ready = [each for each in due if each.site.site_id in figures]
        for start in range(0, len(ready), TRANSACTION_SITES):
            some = ready[start : start + TRANSACTION_SITES]
            contents = [
                report_content(
                    each.site.domain, kind, each.period, figures[each.site.site_id], is_partial=each.is_partial
                )
                for each in some
            ]
            self.progress(self.mails, f"{kind} reports")
            with writing(self.services.engine) as session:
                self.fence(session)
                queued = sum(
                    self._queue(session, kind, each, content) for each, content in zip(some, contents, strict=True)
                )
            self.mails += queued
            self.partial_sites += sum(each.is_partial for each in some)
            self.progress(self.mails, f"{kind} reports")

    def _sorted(
        self, session: Session, kind: MailKind, audience: Audience, now_ms: int, watermark_ms: int | None
    ) -> tuple[dict[int, int], list[_Due]]:
        """When subscriptions that get nothing now are due next; and the reports to send. What waits is in neither."""
        passed: dict[int, int] = {}
        wanted: list[tuple[Site, SiteCalendar, Period, list[Addressee]]] = []
        sent = _sent(session, audience)
        for site_id, site in audience.sites.items():
            calendar = SiteCalendar(audience.zones[site_id])
            period = latest_period(kind, calendar, now_ms)
            due_at_ms, next_ms = due_ms(calendar, period), next_due_ms(kind, calendar, now_ms)
            addressees = []
            for each in audience.addressees[site_id]:
                row = each.row
                began_ms = row.confirmed_at_ms or row.created_at_ms
                is_sent = (row.report_subscription_id, period.first.isoformat()) in sent
                if is_sent or began_ms > due_at_ms or site_id in audience.paused:
                    passed[row.report_subscription_id] = next_ms
                else:
                    addressees.append(each)
            if addressees:
                wanted.append((site, calendar, period, addressees))
        closed, dirty = _closed_days(session, kind, [(site.site_id, period) for site, _, period, _ in wanted])
        with_imports = _with_imports(session, [site.site_id for site, *_ in wanted])
        due = []
        for site, calendar, period, addressees in wanted:
            question = Question(
                site.site_id,
                period.days,
                period_before(kind, period).days,
                chart_days(kind, period),
                closed[site.site_id],
            )
            ends_at_ms = period.range(calendar).until_ms
            is_stored = watermark_ms is None or watermark_ms >= ends_at_ms
            created = calendar.day_at(site.created_at_ms)
            is_settled = all(
                (day in question.versions or day < created) and (site.site_id, day) not in dirty for day in period.days
            )
            is_complete = is_stored and is_settled
            if not is_complete and now_ms < due_ms(calendar, period) + WAITS_MS:
                continue
            is_batched = is_complete and are_closed(question, created, has_imports=site.site_id in with_imports)
            next_ms = next_due_ms(kind, calendar, now_ms)
            due.append(_Due(site, period, next_ms, question, addressees, not is_complete, is_batched))
        return passed, due

    def _pass_over(self, void: Sequence[int], passed: dict[int, int]) -> None:
        if not void and not passed:
            return
        by_time: dict[int, list[int]] = defaultdict(list)
        for subscription_id, next_ms in passed.items():
            by_time[next_ms].append(subscription_id)
        with writing(self.services.engine) as session:
            self.fence(session)
            session.execute(delete(ReportSubscription).where(ReportSubscription.report_subscription_id.in_(void)))
            for next_ms, ids in by_time.items():
                theirs = ReportSubscription.report_subscription_id.in_(ids)
                session.execute(update(ReportSubscription).where(theirs).values(next_due_at_ms=next_ms))

    # -- figures ---------------------------------------------------------------------------------------------------

    def _figures(self, due: Sequence[_Due], now_ms: int) -> dict[int, SiteReport]:
        found = many_sites(self.reader, [each.question for each in due if each.is_batched])
        engine = StatsEngine(self.services.engine, self.reader)
        for each in due:
            if each.is_batched:
                continue
            self.progress(self.mails, "one by one")
            try:
                found[each.site.site_id] = one_site(engine, each.site, each.question, now_ms)
            except (QueryFailed, QueryRefused) as error:
                # One site's days may be too much to read; the others' reports are not to wait for it.
                extra = {"site_id": each.site.site_id, "reason": type(error).__name__}
                log.warning("the figures of a report cannot be read", extra=extra)
                self.failed_sites.append(each.site.site_id)
        return found

    # -- mails -----------------------------------------------------------------------------------------------------

    def _queue(self, session: Session, kind: MailKind, due: _Due, content: Content) -> int:
        """Claim and queue a site's report for everybody who gets it; how many mails that were."""
        ids = [each.row.report_subscription_id for each in due.addressees]
        # Locked: somebody who unsubscribes now is told so after this mail, or gets none.
        there = select(ReportSubscription.report_subscription_id).where(
            ReportSubscription.report_subscription_id.in_(ids)
        )
        kept = set(session.execute(there.with_for_update()).scalars())
        mails = 0
        for each in due.addressees:
            if each.row.report_subscription_id not in kept or not self._claim(session, each, due):
                continue
            mail_id = queue_report(self.services, session, kind, due.site.domain, due.period, each, content)
            session.execute(
                update(ReportSend)
                .where(
                    ReportSend.report_subscription_id == each.row.report_subscription_id,
                    ReportSend.first_day == due.period.first.isoformat(),
                )
                .values(mail_id=mail_id)
            )
            mails += 1
        theirs = ReportSubscription.report_subscription_id.in_(kept)
        session.execute(update(ReportSubscription).where(theirs).values(next_due_at_ms=due.next_due_at_ms))
        return mails

    def _claim(self, session: Session, each: Addressee, due: _Due) -> bool:
        claimed = (
            inserting(session, ReportSend)
            .values(
                report_subscription_id=each.row.report_subscription_id,
                first_day=due.period.first.isoformat(),
                mail_id=0,
                is_partial=due.is_partial,
                at_ms=self.now_ms(),
            )
            .on_conflict_do_nothing()
            .returning(ReportSend.first_day)
        )
        return session.execute(claimed).scalar() is not None


def queue_report(
    services: Services,
    session: Session,
    kind: MailKind,
    domain: str,
    period: Period,
    addressee: Addressee,
    content: Content,
) -> int:
    """Queue a report in the caller's transaction; the mail's number."""
    base = services.settings.snippet_base
    link = f"{base}/unsubscribe/{unsubscribe_token(services.secret_key, addressee.row)}"
    return services.mailer.queue(
        session,
        addressee.address,
        "site_report",
        headers=unsubscribe_headers(link),
        images=content.images,
        why=f"You get the {kind} report about {domain}.",
        dashboard_link=dashboard_link(base, domain, kind, period),
        footer_label="Unsubscribe from this report",
        footer_link=link,
        **content.values,
    )


def _sent(session: Session, audience: Audience) -> set[tuple[int, str]]:
    ids = [each.row.report_subscription_id for rows in audience.addressees.values() for each in rows]
    known = select(ReportSend.report_subscription_id, ReportSend.first_day).where(
        ReportSend.report_subscription_id.in_(ids)
    )
    return {(subscription_id, day) for subscription_id, day in session.execute(known)}


def _closed_days(
    session: Session, kind: MailKind, periods: Sequence[tuple[int, Period]]
) -> tuple[dict[int, dict[date, int]], set[tuple[int, date]]]:
    """The versions of the days that these sites' reports are about, OPEN ones among them; and which are dirty."""
    versions: dict[int, dict[date, int]] = {site_id: {} for site_id, _ in periods}
    dirty: set[tuple[int, date]] = set()
    by_period: dict[Period, list[int]] = defaultdict(list)
    for site_id, period in periods:
        by_period[period].append(site_id)
    for period, site_ids in by_period.items():
        first = min(period_before(kind, period).first, chart_days(kind, period)[0])
        known = select(ClosedDay.site_id, ClosedDay.day, ClosedDay.version, ClosedDay.is_dirty).where(
            ClosedDay.site_id.in_(site_ids),
            ClosedDay.day >= first.isoformat(),
            ClosedDay.day <= period.last.isoformat(),
        )
        for site_id, text, version, is_dirty in session.execute(known):
            day = date.fromisoformat(text)
            versions[site_id][day] = version
            if is_dirty:
                dirty.add((site_id, day))
    return versions, dirty


def _with_imports(session: Session, site_ids: Sequence[int]) -> set[int]:
    of_these = (Import.site_id.in_(site_ids)) & Import.kind.in_(FIGURE_IMPORTS) & (Import.state == "done")
    return set(session.execute(select(Import.site_id).where(of_these).distinct()).scalars())
