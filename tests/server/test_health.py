"""Liveness and readiness, of one process and of all."""

from __future__ import annotations

from server.health import (
    FLUSHER_STALL_S,
    REPORT_STALL_S,
    HealthReport,
    ProcessHealth,
    health_answer,
    merge_reports,
    worker_problems,
)


def test_a_well_process_is_live_and_ready() -> None:
    health = ProcessHealth(
        has_snapshot=lambda: True,
        is_spool_writable=lambda: True,
        has_spool_room=lambda: True,
        flusher_moved_at_s=lambda: 0.0,
        clock=lambda: 1.0,
    )
    assert health.report() == HealthReport()


def test_each_problem_is_named() -> None:
    health = ProcessHealth(
        has_snapshot=lambda: False,
        is_spool_writable=lambda: False,
        has_spool_room=lambda: False,
        flusher_moved_at_s=lambda: 0.0,
        clock=lambda: FLUSHER_STALL_S + 1,
        is_stopping=True,
    )
    report = health.report()
    assert len(report.live) == 1
    assert len(report.ready) == 5
    assert set(report.live) <= set(report.ready)


def test_a_stopping_process_is_live_but_not_ready() -> None:
    report = ProcessHealth(has_snapshot=lambda: True, is_stopping=True).report()
    assert (report.live, report.ready) == ((), ("the process is stopping",))


def test_a_silent_process_is_not_live() -> None:
    well = HealthReport()
    merged = merge_reports({"0": (100.0, well), "1": (100.0 - REPORT_STALL_S - 1, well)}, 2, 100.0)
    assert merged.live == ("process 1: silent for 11 s",)
    assert merged.ready == merged.live


def test_a_missing_process_is_not_ready() -> None:
    merged = merge_reports({"0": (100.0, HealthReport())}, 2, 100.0)
    assert (merged.live, merged.ready) == ((), ("1 of 2 processes have not started",))


def test_the_answer_is_503_with_reasons() -> None:
    assert health_answer(()) == (200, {"ok": True})
    assert health_answer(("why",)) == (503, {"ok": False, "problems": ["why"]})


def test_the_worker_is_described_by_what_it_last_said() -> None:
    assert worker_problems(None, 100.0) == ("worker: not started",)
    assert worker_problems((95.0, HealthReport()), 100.0) == ()
    assert worker_problems((95.0, HealthReport(ready=("no database",))), 100.0) == ("worker: no database",)
    silent = worker_problems((100.0 - REPORT_STALL_S - 1, HealthReport(ready=("no database",))), 100.0)
    assert silent == ("worker: silent for 11 s",)


def test_notes_change_no_status() -> None:
    assert health_answer((), ("worker: not started",)) == (200, {"ok": True, "notes": ["worker: not started"]})
    assert health_answer(("why",), ("note",)) == (503, {"ok": False, "problems": ["why"], "notes": ["note"]})
