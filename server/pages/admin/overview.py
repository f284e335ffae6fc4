"""`/admin`: what needs an eye, each with the way to where it is looked after; the latest alerts; who signed up."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from server.accounts.deletion import open_requests
from server.accounts.search import find_people
from server.billing.usage import used_up
from server.clock import DAY_MS, now_ms
from server.handler import AppContext
from server.models import Account, Alert, Block, DeletionRequest, JobRun, JobState, Mail, Site, Task, User
from server.pages.admin.drops import STORE_ERRORS, hits_by_day
from server.pages.admin.staff_page import StaffPage
from server.quarantine import Quarantine
from server.tasks.rows import TaskState

log = logging.getLogger(__name__)

ALERT_ROWS = 10
SIGN_UPS = 8


@dataclass(frozen=True)
class Eye:
    """One thing to keep an eye on. `number` None: it could not be found out. `is_bad`: somebody should look."""

    label: str
    number: int | None
    path: str
    is_bad: bool
    hint: str = ""


class OverviewHandler(StaffPage):
    """`/admin`"""

    template = "admin/overview.html"

    async def get(self) -> None:
        """The page."""
        shown = await self.read(self._read)
        kept = await self.in_thread(Quarantine(self.app_context.settings.quarantine_dir).entries)
        eyes = [
            *shown.pop("eyes"),
            Eye("in quarantine", len(kept), "/admin/quarantine", bool(kept), "files with hits that were not stored"),
            await self._dropped_today(),
        ]
        self.show(eyes=eyes, **shown)

    def _read(self, session: Session) -> dict[str, Any]:
        now = now_ms()
        day_ago = now - DAY_MS
        latest = select(func.max(JobRun.run_id)).group_by(JobRun.job, JobRun.shard)
        failing = _count(
            session, select(JobRun).where(JobRun.run_id.in_(latest), JobRun.outcome.in_(("failed", "abandoned")))
        )
        # The alert about a due time is noted in the row; it is late until a run has settled it.
        late = _count(
            session, select(JobState).where(func.abs(JobState.late_alerted_due_ms) > JobState.settled_until_ms)
        )
        failed_tasks = _count(session, select(Task).where(Task.state == TaskState.FAILED, Task.ended_at_ms > day_ago))
        overdue = select(Task).where(Task.state == TaskState.QUEUED, Task.run_at_ms < now - 10 * 60_000)
        depleted = _count(session, used_up(now))
        failed_mails = _count(session, select(Mail).where(Mail.state == "failed", Mail.created_at_ms > day_ago))
        alerts = select(Alert).order_by(Alert.last_at_ms.desc()).limit(ALERT_ROWS)
        eyes = [
            Eye("jobs failing", failing, "/admin/jobs", failing > 0, "whose latest run failed"),
            Eye("jobs late", late, "/admin/jobs", late > 0, "not started in time"),
            Eye("tasks failed", failed_tasks, "/admin/tasks?state=failed", failed_tasks > 0, "in the last 24 hours"),
            _waiting(_count(session, overdue)),
            Eye("mails failed", failed_mails, "/admin/mail", failed_mails > 0, "in the last 24 hours"),
            _deletions(open_requests(session)),
            Eye(
                "accounts used up",
                depleted,
                "/admin/accounts?used_up=1",
                False,
                "in a period that runs",
            ),
            Eye("blocked", _count(session, select(Block)), "/admin/data/blocks", False, "accounts and sites"),
        ]
        return {
            "totals": {name: _count(session, select(model)) for name, model in _TOTALS},
            "eyes": eyes,
            "alerts": list(session.execute(alerts).scalars()),
            "people": find_people(session, "", None, SIGN_UPS),
        }

    async def _dropped_today(self) -> Eye:
        hint, path = "hits since midnight UTC", "/admin/drops"
        try:
            stats = self.app_context.stats
            found = await stats.run(hits_by_day, stats.reader, 1, now_ms())
        except STORE_ERRORS as error:
            log.warning("drops were not counted", extra={"reason": type(error).__name__})
            return Eye("dropped today", None, path, True, "the event store does not answer")
        return Eye("dropped today", sum(sum(reason.by_day) for reason in found.reasons), path, False, hint)


_TOTALS = (("people", User), ("accounts", Account), ("sites", Site))


def _deletions(requests: Sequence[DeletionRequest]) -> Eye:
    waiting = sum(request.approved_at_ms is None for request in requests)
    return Eye("deletions asked for", waiting, "/admin/deletions", waiting > 0, f"{len(requests) - waiting} approved")


def _waiting(number: int) -> Eye:
    return Eye("tasks waiting", number, "/admin/tasks?state=queued", number > 0, "due for over ten minutes")


def _count(session: Session, question: Select[Any]) -> int:
    return session.execute(select(func.count()).select_from(question.subquery())).scalar_one()


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    return [(r"/admin", OverviewHandler, {"app_context": app_context})]
