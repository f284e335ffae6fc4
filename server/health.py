"""Liveness and readiness of one process, and of all of them together.

`/healthz` (live): the event loop runs, which answering proves, and the flusher moves. `/readyz` (ready): the spool can
be written and has room, and a snapshot is loaded. A stopping process is live but not ready. Each answer names what is
wrong in words, without addresses or secrets.

The worker process answers no requests, and its parent starts it again by itself: what is wrong with it is a *note* of
the internal port's `/healthz`, beside `"ok": true`. It neither restarts a pod nor takes hits away from it; alerts and
`footfall_worker_up` tell the operator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# A flusher thread gives a sign of life with each look at its queue, with each segment, and every second while it waits
# for ClickHouse. What it does in between are fractions of a second; the rest is for machines that are loaded to the
# brim. With the second until the next report, `/healthz` fails well within 30 s.
FLUSHER_STALL_S = 20.0

# A process reports to its parent every second; one that was silent for this long hangs.
REPORT_STALL_S = 10.0


@dataclass(frozen=True)
class HealthReport:
    """What is wrong; nothing when well. `notes` are no reason to restart anything, nor to send no requests."""

    live: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class ProcessHealth:
    """Watches one process. A role that has no collector or flusher leaves those probes out."""

    has_snapshot: Callable[[], bool]
    is_spool_writable: Callable[[], bool] | None = None
    has_spool_room: Callable[[], bool] | None = None
    flusher_moved_at_s: Callable[[], float] | None = None
    is_stopping: bool = False
    clock: Callable[[], float] = field(default=time.monotonic)

    def report(self) -> HealthReport:
        """The state at this moment."""
        live: list[str] = []
        if self.flusher_moved_at_s is not None and self.clock() - self.flusher_moved_at_s() > FLUSHER_STALL_S:
            live.append(f"the flusher has not moved for {FLUSHER_STALL_S:.0f} s")
        ready = list(live)
        if self.is_stopping:
            ready.append("the process is stopping")
        if not self.has_snapshot():
            ready.append("no snapshot is loaded")
        if self.is_spool_writable is not None and not self.is_spool_writable():
            ready.append("the spool cannot be written")
        if self.has_spool_room is not None and not self.has_spool_room():
            ready.append("the spool is full")
        return HealthReport(tuple(live), tuple(ready))


def merge_reports(reports: Mapping[str, tuple[float, HealthReport]], expected: int, now_s: float) -> HealthReport:
    """The state of all serving processes, from when each last reported and what it said."""
    live: list[str] = []
    ready: list[str] = []
    for process, (reported_at_s, report) in sorted(reports.items()):
        if now_s - reported_at_s > REPORT_STALL_S:
            live.append(f"process {process}: silent for {now_s - reported_at_s:.0f} s")
            continue
        live.extend(f"process {process}: {reason}" for reason in report.live)
        ready.extend(f"process {process}: {reason}" for reason in report.ready)
    if len(reports) < expected:
        ready.append(f"{expected - len(reports)} of {expected} processes have not started")
    return HealthReport(tuple(live), (*live, *ready))


def worker_problems(last_report: tuple[float, HealthReport] | None, now_s: float) -> tuple[str, ...]:
    """What is wrong with the worker process, from when it last reported and what it said."""
    if last_report is None:
        return ("worker: not started",)
    reported_at_s, report = last_report
    if now_s - reported_at_s > REPORT_STALL_S:
        return (f"worker: silent for {now_s - reported_at_s:.0f} s",)
    return tuple(f"worker: {reason}" for reason in report.ready)


def health_answer(problems: tuple[str, ...], notes: tuple[str, ...] = ()) -> tuple[int, dict[str, object]]:
    """Status and JSON for a probe. Notes do not change the status."""
    noted: dict[str, object] = {"notes": list(notes)} if notes else {}
    if problems:
        return 503, {"ok": False, "problems": list(problems), **noted}
    return 200, {"ok": True, **noted}
