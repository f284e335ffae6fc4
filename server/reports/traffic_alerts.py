"""Alerts about a site's traffic: more visitors than somebody expects, or far fewer hits than usual.

| kind | raised when |
|---|---|
| `visitors_now` | more than `threshold` visitors within five minutes |
| `visitors_hour` | more than `threshold` visitors within the last 60 minutes |
| `hits_hour` | the last whole hour had at most `threshold` percent of the mean of that hour in the last weeks |

An alert is told once, and again when it is still so after its repeat time; with `tells_end` also when it is over. What
is told is queued in the transaction that changes the row, so each message goes out once.

The same hour of last weeks is the one at which the site's clocks showed the same. Where it had hardly any hits on
average (`LEAST_USUAL_HITS`) nothing is said, and an hour is judged once everything answered in it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError
from server.app_database import minimum_watermark, reading, writing
from server.billing.capacity import has_enough_capacity
from server.clock import HOUR_MS
from server.models import ReportSubscription, Site, TrafficAlert
from server.queries.event_reader import EventReader
from server.queries.periods import SiteCalendar
from server.queries.traffic import Presence, hits_of_hours, presence
from server.reports.periods import MailKind
from server.reports.recipients import Audience, audience_of
from server.reports.unsubscribing import unsubscribe_headers, unsubscribe_token
from server.site_changes import changing

if TYPE_CHECKING:
    from server.services import Services

BATCH_SITES = 500
WEEKS = 4
"""Last weeks with that many of the same hour: enough that one odd week does not decide."""
LEAST_USUAL_HITS = 10
"""An hour that usually has fewer hits is empty by chance as well."""
MOST_THRESHOLD = 1_000_000_000
REPEATS_S = (3_600, 4 * 3_600, 24 * 3_600)
"""What people may choose from."""
LOOK_AT_THE_SITE = "Is the site up, and is the snippet still on its pages?"
USED_UP = "The plan of its account is used up, so its hits are being dropped."
"""What a drop of hits may come from."""


class AlertCause(StrEnum):
    """What an alert looks at; `TrafficAlert.kind`."""

    VISITORS_NOW = "visitors_now"
    VISITORS_HOUR = "visitors_hour"
    HITS_HOUR = "hits_hour"


@dataclass(frozen=True)
class AlertChoice:
    """One alert as a person sets it; without a threshold there is none."""

    threshold: int | None
    repeat_s: int = REPEATS_S[1]
    tells_end: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether an alert's cause holds, and what there is to say."""

    holds: bool
    headline: str
    explanation: str


# -- what people set ---------------------------------------------------------------------------------------------------


def read_alerts(session: Session, site_id: int) -> dict[AlertCause, TrafficAlert]:
    """A site's alerts."""
    rows = session.execute(select(TrafficAlert).where(TrafficAlert.site_id == site_id)).scalars()
    return {AlertCause(row.kind): row for row in rows}


def checked_threshold(cause: AlertCause, text: str) -> int | None:
    """A threshold as typed; None for an empty field. Raises `FormError` at the cause's name."""
    text = text.strip().replace(",", "").removesuffix("%").strip()
    if not text:
        return None
    least, most = (0, 90) if cause is AlertCause.HITS_HOUR else (1, MOST_THRESHOLD)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise FormError(str(cause), f"A whole number from {least:,} to {most:,} is expected; empty for no alert.")
    return int(text)


def set_alerts(
    services: Services, site_id: int, choices: Mapping[AlertCause, AlertChoice], actor: int, now_ms: int
) -> None:
    """Keep what somebody set. What changes is judged anew, and told without waiting for its repeat time."""
    with changing(services.engine, site_id, is_told=False) as (session, site):
        there = read_alerts(session, site_id)
        for cause, choice in choices.items():
            row = there.get(cause)
            if choice.threshold is None:
                if row is not None:
                    session.delete(row)
                continue
            kept = {"repeat_s": choice.repeat_s, "tells_end": choice.tells_end}
            if row is None:
                row = TrafficAlert(
                    site_id=site_id, kind=cause, threshold=choice.threshold, created_at_ms=now_ms, **kept
                )
                session.add(row)
            elif row.threshold != choice.threshold:
                row.threshold, row.is_raised, row.told_at_ms, row.judged_until_ms = choice.threshold, False, 0, 0
            row.repeat_s, row.tells_end = choice.repeat_s, choice.tells_end
        write_entry(
            session,
            Action.TRAFFIC_ALERTS_SET,
            now_ms,
            actor=actor,
            account_id=site.account_id,
            target=site.domain,
            **{str(cause): choice.threshold for cause, choice in choices.items()},
        )


def is_anything_asked(engine: Engine) -> bool:
    """Whether there is an alert at all."""
    with reading(engine) as session:
        return session.execute(select(TrafficAlert.site_id).limit(1)).scalar() is not None


# -- what is judged ----------------------------------------------------------------------------------------------------


@dataclass
class TrafficAlerts:
    """Judges every alert once. `fence` joins each transaction; `progress` hears how many mails were queued."""

    services: Services
    reader: EventReader
    now_ms: Callable[[], int]
    fence: Callable[[Session], None] = lambda session: None
    progress: Callable[[int, str], None] = lambda mails, message: None
    mails: int = 0
    _hour_ms: int = field(default=0)

    def judge_all(self) -> int:
        """Judge all sites; how many mails were queued. Raises what the stores raise."""
        now_ms = self.now_ms()
        watermark_ms = minimum_watermark(self.services.engine)
        complete_ms = now_ms if watermark_ms is None else min(now_ms, watermark_ms)
        # The last whole hour of which everything is stored, unless that is long ago: then nobody is helped any more.
        self._hour_ms = complete_ms // HOUR_MS * HOUR_MS - HOUR_MS
        is_fresh = self._hour_ms >= now_ms - 3 * HOUR_MS
        last = 0
        while True:
            with reading(self.services.engine) as session:
                ids = self._site_ids(session, last)
                alerts, audience = self._read(session, ids)
            if not ids:
                return self.mails
            last = ids[-1]
            self._judge(alerts, audience, now_ms, is_fresh=is_fresh)
            self.progress(self.mails, "alerts")

    def _site_ids(self, session: Session, last: int) -> list[int]:
        ids = select(TrafficAlert.site_id).where(TrafficAlert.site_id > last).distinct()
        return list(session.execute(ids.order_by(TrafficAlert.site_id).limit(BATCH_SITES)).scalars())

    def _read(self, session: Session, site_ids: Sequence[int]) -> tuple[list[TrafficAlert], Audience]:
        wanted = select(TrafficAlert).where(TrafficAlert.site_id.in_(site_ids))
        alerts = list(session.execute(wanted.order_by(TrafficAlert.site_id, TrafficAlert.kind)).scalars())
        theirs = (ReportSubscription.kind == MailKind.ALERTS) & ReportSubscription.site_id.in_(site_ids)
        rows = session.execute(select(ReportSubscription).where(theirs)).scalars().all()
        return alerts, audience_of(session, self.services.settings, rows)

    def _judge(self, alerts: Sequence[TrafficAlert], audience: Audience, now_ms: int, *, is_fresh: bool) -> None:
        # Nobody is told of a site that is gone, paused, or of which nobody wants to hear.
        asked = [
            each for each in alerts if audience.addressees.get(each.site_id) and each.site_id not in audience.paused
        ]
        by_hour = [
            each
            for each in asked
            if each.kind == AlertCause.HITS_HOUR and is_fresh and each.judged_until_ms < self._hour_ms + HOUR_MS
        ]
        visited = {each.site_id for each in asked if each.kind != AlertCause.HITS_HOUR}
        present = presence(self.reader, visited, now_ms)
        usual = {each.site_id: self._same_hours(audience, each.site_id) for each in by_hour}
        hours = {self._hour_ms, *(hour for earlier in usual.values() for hour in earlier)}
        hits = hits_of_hours(self.reader, usual, hours)
        for each in asked:
            site = audience.sites[each.site_id]
            if each.kind != AlertCause.HITS_HOUR:
                self._tell(each, site, visitors_verdict(each, present[each.site_id]), audience, now_ms)
            elif each.site_id in usual:
                hours_of_site = [hits.get((each.site_id, hour), 0) for hour in usual[each.site_id]]
                verdict = hits_verdict(each, hits.get((each.site_id, self._hour_ms), 0), hours_of_site)
                if verdict.holds:
                    is_counted = has_enough_capacity(self.services, site, now_ms)
                    advice = LOOK_AT_THE_SITE if is_counted else USED_UP
                    verdict = replace(verdict, explanation=f"{verdict.explanation} {advice}")
                self._tell(each, site, verdict, audience, now_ms)

    def _same_hours(self, audience: Audience, site_id: int) -> list[int]:
        """When the site's clocks showed the hour that is judged, in the last weeks since there has been a site."""
        calendar = SiteCalendar(audience.zones[site_id])
        wall = calendar.local(self._hour_ms)
        found = []
        for weeks in range(1, WEEKS + 1):
            earlier = wall.replace(tzinfo=None) - timedelta(weeks=weeks)
            at_ms = int(earlier.replace(tzinfo=calendar.zone(earlier.date())).timestamp() * 1000)
            found.append(at_ms // HOUR_MS * HOUR_MS)
        created_ms = audience.sites[site_id].created_at_ms
        return [hour for hour in found if hour >= created_ms]

    def _tell(self, alert: TrafficAlert, site: Site, verdict: Verdict, audience: Audience, now_ms: int) -> None:
        """Change the row and queue what it means, in one transaction."""
        ours = (TrafficAlert.site_id == alert.site_id) & (TrafficAlert.kind == alert.kind)
        judged = {"judged_until_ms": self._hour_ms + HOUR_MS} if alert.kind == AlertCause.HITS_HOUR else {}
        is_told = verdict.holds and (now_ms - alert.told_at_ms >= alert.repeat_s * 1000)
        is_over = alert.is_raised and not verdict.holds
        if not is_told and not is_over and not judged:
            return
        changed = dict(judged)
        if is_told:
            changed |= {"is_raised": True, "told_at_ms": now_ms}
        elif is_over:
            changed["is_raised"] = False
        with writing(self.services.engine) as session:
            self.fence(session)
            # As it was read: another runner, or a person, may have changed it meanwhile.
            unchanged = (
                ours & (TrafficAlert.threshold == alert.threshold) & (TrafficAlert.told_at_ms == alert.told_at_ms)
            )
            unchanged &= TrafficAlert.is_raised.is_(alert.is_raised)
            done = session.execute(update(TrafficAlert).where(unchanged).values(**changed).returning(TrafficAlert.kind))
            if done.scalar() is None or not (is_told or (is_over and alert.tells_end)):
                return
            self._queue(session, site, verdict, audience, now_ms)

    def _queue(self, session: Session, site: Site, verdict: Verdict, audience: Audience, now_ms: int) -> None:
        base = self.services.settings.snippet_base
        for each in audience.addressees[site.site_id]:
            link = f"{base}/unsubscribe/{unsubscribe_token(self.services.secret_key, each.row)}"
            self.services.mailer.queue(
                session,
                each.address,
                "traffic_alert",
                headers=unsubscribe_headers(link),
                site_name=site.domain,
                headline=verdict.headline,
                explanation=verdict.explanation,
                at_ms=now_ms,
                dashboard_link=f"{base}/sites/{site.domain}?period=today",
                footer_label="Unsubscribe from alerts about this site",
                footer_link=link,
            )
            self.mails += 1


def visitors_verdict(alert: TrafficAlert, seen: Presence) -> Verdict:
    """Whether there are more visitors than the threshold."""
    is_now = alert.kind == AlertCause.VISITORS_NOW
    visitors = seen.now if is_now else seen.last_hour
    when = "now" if is_now else "in the last hour"
    holds = visitors > alert.threshold
    if holds:
        explanation = f"The alert is set to more than {alert.threshold:,} visitors {when}."
    else:
        explanation = f"That is not more than {alert.threshold:,} any more: the alert is over."
    return Verdict(holds, f"{_counted(visitors, 'visitor')} {when}", explanation)


def hits_verdict(alert: TrafficAlert, hits: int, earlier: Sequence[int]) -> Verdict:
    """Whether an hour had far fewer hits than the same hour of last weeks."""
    total = sum(earlier)
    is_usual = bool(earlier) and total >= LEAST_USUAL_HITS * len(earlier)
    mean = total // len(earlier) if earlier else 0
    holds = is_usual and hits * 100 * len(earlier) <= alert.threshold * total
    usual = f"The same hour of the last {len(earlier)} weeks had {_counted(mean, 'hit')} on average."
    if not holds:
        return Verdict(False, f"{_counted(hits, 'hit')} in the last full hour", f"{usual} The alert is over.")
    headline = "No hits in the last full hour" if not hits else f"Only {_counted(hits, 'hit')} in the last full hour"
    return Verdict(True, headline, usual)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
