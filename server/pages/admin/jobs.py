"""`/admin/jobs`: each job's latest runs with how long they took, what is late, what failed; starting one now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tornado.web import HTTPError

from server.clock import now_ms, time_text
from server.handler import AppContext
from server.job_starts import queue_start
from server.models import JobRun, JobState
from server.pages.admin.staff_page import StaffPage
from server.rate_limit import rate_limit

# Bars of one job: what fits beside its name.
CHART_RUNS = 24

# Pieces of all jobs; the table of jobs has a handful.
MOST_PIECES = 500

HISTORY_ROWS = 50

BAD_OUTCOMES = ("failed", "abandoned")


@dataclass(frozen=True)
class Piece:
    """A piece of a job, its latest runs with the newest first."""

    state: JobState
    is_running: bool
    is_late: bool
    runs: list[JobRun] = field(default_factory=list)

    @property
    def bars(self) -> list[tuple[float, str, str]]:
        """For the chart, the oldest first."""
        return [bar_of(run) for run in reversed(self.runs)]


def bar_of(run: JobRun) -> tuple[float, str, str]:
    """How long a run took, as a bar."""
    seconds = ((run.ended_at_ms or run.started_at_ms) - run.started_at_ms) / 1000
    kind = "bad" if run.outcome in BAD_OUTCOMES else "soft" if run.outcome == "running" else ""
    return max(seconds, 0.05), f"{time_text(run.started_at_ms)}: {length(seconds)}, {run.outcome}", kind


def length(seconds: float) -> str:
    """A span of time as people read it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class JobsHandler(StaffPage):
    """`/admin/jobs`"""

    template = "admin/jobs.html"
    room = "/admin/jobs"

    async def get(self) -> None:
        """The page."""
        self.show(pieces=await self.read(_read), length=length)

    @rate_limit("30/m")
    async def post(self) -> None:
        """Start a piece of a job now."""
        given, actor, services = self.form("job", "shard"), self.staff_id, self.app_context.services
        await self.carry_out(
            lambda session: queue_start(session, services, given["job"], given["shard"], actor, now_ms())
        )
        self.done("/admin/jobs", "job-started")


class JobHandler(StaffPage):
    """`/admin/jobs/<name>`: its history."""

    template = "admin/job.html"
    room = "/admin/jobs"

    async def get(self, name: str) -> None:
        """The page."""
        before = self.number("before")

        def read(session: Session) -> list[JobRun]:
            # By the index on job and time; numbers grow with it.
            theirs = select(JobRun).where(JobRun.job == name)
            if before is not None:
                theirs = theirs.where(JobRun.run_id < before)
            newest = theirs.order_by(JobRun.started_at_ms.desc(), JobRun.run_id.desc()).limit(HISTORY_ROWS + 1)
            return list(session.execute(newest).scalars())

        runs = await self.read(read)
        if not runs and before is None:
            raise HTTPError(404, "This job has not run yet, or there is none of that name.")
        has_more = len(runs) > HISTORY_ROWS
        runs = runs[:HISTORY_ROWS]
        self.show(
            job=name,
            runs=runs,
            before=before,
            next_before=runs[-1].run_id if has_more else None,
            bars=[bar_of(run) for run in reversed(runs) if run.outcome != "covered"],
            length=length,
        )


def _read(session: Session) -> list[Piece]:
    """Every piece of every job, with its latest runs: two statements."""
    now = now_ms()
    place = func.row_number().over(partition_by=(JobRun.job, JobRun.shard), order_by=JobRun.run_id.desc())
    ranked = select(JobRun.run_id, place.label("place")).where(JobRun.outcome != "covered").subquery()
    latest = select(JobRun).join(ranked, ranked.c.run_id == JobRun.run_id).where(ranked.c.place <= CHART_RUNS)
    runs: dict[tuple[str, str], list[JobRun]] = defaultdict(list)
    for run in session.execute(latest.order_by(JobRun.run_id.desc())).scalars():
        runs[run.job, run.shard].append(run)
    states = select(JobState).order_by(JobState.job, JobState.shard).limit(MOST_PIECES)
    return [
        Piece(
            state=state,
            is_running=state.lock_until_ms > now,
            is_late=abs(state.late_alerted_due_ms) > state.settled_until_ms,
            runs=runs.get((state.job, state.shard), []),
        )
        for state in session.execute(states).scalars()
    ]


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [(r"/admin/jobs", JobsHandler, given), (r"/admin/jobs/([a-z0-9_-]{1,64})", JobHandler, given)]
