"""The jobs of the table: each does its work, may be run again, and for a day that is past."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select
from sqlalchemy.exc import OperationalError

import server.audit
from jobs import closing_run, destruction_run, retention_run, tidy, usage_run
from jobs.context import JobContext
from jobs.runner import JobRunner, Piece, Result
from jobs.schedule import JOBS
from jobs.state import Outcome
from server.alerts import AlertKind
from server.app_database import bump_version, read_version, reading, writing
from server.config import Settings
from server.models import (
    Alert,
    Base,
    BatchClaim,
    CacheInvalidation,
    JobRun,
    KnownDevice,
    LoginSession,
    Mail,
    OneTimeToken,
    Salt,
    StripeEvent,
    User,
)
from server.queries import closing_store, reading_store
from server.queries import usage as usage_queries
from server.salts import kept_dates
from tests.jobs.doubles import HOUR_MS, NOON_MS, AlertBook, Clock, services_of

DAY_MS = 24 * HOUR_MS


class Office:
    """The real table under a clock that stands at noon."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.engine = engine
        self.clock = Clock()
        self.alerts = AlertBook()
        self.purged: list[int] = []
        tasks = SimpleNamespace(purge=self._purge)
        self.runner = JobRunner(services_of(engine, settings, self.alerts, tasks=tasks), JOBS, clock=self.clock)

    def _purge(self, now_ms: int) -> int:
        self.purged.append(now_ms)
        return 3

    def run(self, name: str, hours_ago: int = 0) -> Result:
        job = self.runner.job(name)
        due_ms = job.latest_due(self.clock() - hours_ago * HOUR_MS)
        result = self.runner.run_at(Piece(job, job.pieces()[0]), due_ms)
        assert result is not None
        return result

    def count(self, model: type[Base]) -> int:
        with reading(self.engine) as session:
            return session.execute(select(func.count()).select_from(model)).scalar_one()


@pytest.fixture
def office(settings: Settings, engine: Engine) -> Office:
    return Office(settings, engine)


def test_salts_are_kept_by_their_job_whenever_it_runs(office: Office) -> None:
    with reading(office.engine) as session:
        before = read_version(session)
    assert [office.run("salts", hours_ago).rows for hours_ago in (0, 0, 48)] == [1, 0, 0]
    with reading(office.engine) as session:
        assert sorted(session.execute(select(Salt.date)).scalars()) == kept_dates(NOON_MS)
    with writing(office.engine) as session:
        assert bump_version(session) == before + 2, "the snapshot was told of the salts"


def fill(engine: Engine, count: int) -> None:
    """For each table: rows that are over, and rows that are only almost over."""
    late, early = NOON_MS - 1, NOON_MS + HOUR_MS

    def ago(days: float) -> int:
        return NOON_MS - int(days * DAY_MS)

    rows: dict[type[Base], list[dict[str, Any]]] = {
        User: [{"user_id": 1, "email": "a@example.com", "password_hash": "x", "created_at_ms": 0}],
        OneTimeToken: [
            {"purpose": "reset_password", "created_at_ms": 0, "expires_at_ms": at_ms} for at_ms in (late, early)
        ],
        LoginSession: [
            {"user_id": 1, "device": "d", "created_at_ms": ago(created), "seen_at_ms": ago(seen)}
            for created, seen in ((20, 14.1), (90.1, 0), (89.9, 13.9))
        ],
        BatchClaim: [{"account_id": 1, "body_hash": "b", "claimed_at_ms": ago(days)} for days in (2.1, 1.9)],
        KnownDevice: [{"user_id": 1, "seen_at_ms": ago(days)} for days in (365.1, 364.9)],
        CacheInvalidation: [{"topic": "t", "at_ms": ago(days)} for days in (1.1, 0.9)],
        Mail: [
            {"to_address": "a@example.com", "template": "t", "subject": "s", "state": state, "created_at_ms": ago(days)}
            for state, days in (("sent", 30.1), ("failed", 30.1), ("queued", 99), ("sent", 29.9))
        ],
        Alert: [
            {"kind": "security", "summary": "s", "first_at_ms": 0, "sent_at_ms": 0, "last_at_ms": ago(days)}
            for days in (100.1, 99.9)
        ],
        StripeEvent: [
            {"kind": "invoice.paid", "state": state, "created_at_ms": 0, "received_at_ms": ago(days)}
            for state, days in (("applied", 90.1), ("ignored", 90.1), ("queued", 99), ("applied", 89.9))
        ],
        JobRun: [
            {"job": "x", "shard": "0/1", "due_at_ms": 0, "lock_token": "t", "outcome": outcome, "started_at_ms": at}
            for outcome, at in (("succeeded", ago(100.1)), ("running", ago(100.1)), ("failed", ago(99.9)))
        ],
    }
    keys = {OneTimeToken: "token_hash", LoginSession: "token_hash", BatchClaim: "key_hash", KnownDevice: "device_hash"}
    keys |= {Alert: "key", StripeEvent: "event_id"}
    with writing(engine) as session:
        for model, lines in rows.items():
            repeated = 1 if model is User else count
            values = [
                {**line, **({keys[model]: f"{number}-{copy}"} if model in keys else {})}
                for number, line in enumerate(lines)
                for copy in range(repeated)
            ]
            session.execute(insert(model), values)


KEPT = {OneTimeToken: 1, LoginSession: 1, BatchClaim: 1, KnownDevice: 1, CacheInvalidation: 1, Mail: 2, Alert: 1}
KEPT |= {StripeEvent: 2}
DELETED_IN_ALL = 1 + 2 + 1 + 1 + 1 + 2 + 1 + 1 + 2


def test_tidy_deletes_what_is_over_and_nothing_else(office: Office) -> None:
    fill(office.engine, 3)
    result = office.run("tidy")
    assert (result.outcome, result.rows) == (Outcome.SUCCEEDED, DELETED_IN_ALL * 3 + 3)
    assert {model: office.count(model) for model in KEPT} == {model: kept * 3 for model, kept in KEPT.items()}
    assert office.count(JobRun) == 2 * 3 + 1
    assert office.purged == [NOON_MS]
    assert office.run("tidy").rows == 3
    assert office.run("tidy", hours_ago=48).rows == 3
    assert {model: office.count(model) for model in KEPT} == {model: kept * 3 for model, kept in KEPT.items()}


def test_tidy_goes_in_steps_and_goes_on_where_it_was_killed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidy, "STEP_ROWS", 4)
    fill(office.engine, 10)
    deleted: list[int] = []
    delete_some = tidy._delete_some

    def dying(context: JobContext, leftover: tidy.Leftover) -> int:
        rows = delete_some(context, leftover)
        deleted.append(rows)
        if len(deleted) == 5:
            raise KeyboardInterrupt
        return rows

    monkeypatch.setattr(tidy, "_delete_some", dying)
    with pytest.raises(KeyboardInterrupt):
        office.run("tidy")
    assert max(deleted) == 4
    office.clock.advance(61)
    assert office.run("tidy").rows == DELETED_IN_ALL * 10 - sum(deleted[:5]) + 3
    assert max(deleted) == 4
    assert {model: office.count(model) for model in KEPT} == {model: kept * 10 for model, kept in KEPT.items()}


def test_a_gap_in_the_account_of_hits_is_an_urgent_alert(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [f"site {number}: 1 rows are stored, 2 hits were accepted" for number in range(30)]
    report = SimpleNamespace(ok=True, answered=12, problems=[])
    monkeypatch.setattr(server.audit, "audit_fleet", lambda settings, engine: report)
    assert office.run("audit").rows == 12
    assert office.alerts.raised == []
    report.ok, report.problems = False, problems
    assert office.run("audit").outcome is Outcome.SUCCEEDED, "the audit did its work"
    (alert,) = office.alerts.raised
    assert (alert.kind, alert.is_urgent, alert.summary) == (
        AlertKind.CONSERVATION_GAP,
        True,
        "30 gaps in the account of hits",
    )
    assert alert.detail.splitlines() == [*problems[:20], server.audit.WHAT_TO_DO]


def test_an_audit_without_its_stores_is_a_failed_run(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(settings: Settings, engine: Engine) -> Any:
        raise OperationalError("SELECT secret", {"mail": "a@example.com"}, Exception("no answer"))

    monkeypatch.setattr(server.audit, "audit_fleet", away)
    result = office.run("audit")
    assert result.outcome is Outcome.FAILED
    assert "a@example.com" not in result.error


@pytest.mark.parametrize("name", [job.name for job in JOBS])
def test_every_job_is_run_by_its_schedule(office: Office, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    report = SimpleNamespace(ok=True, answered=1, problems=[])
    monkeypatch.setattr(server.audit, "audit_fleet", lambda settings, engine: report)
    # What closing does is asked in test_closing; no event store runs here.
    monkeypatch.setattr(
        closing_store, "open_closing_store", lambda settings: contextlib.nullcontext(SimpleNamespace(connection=None))
    )
    monkeypatch.setattr(closing_run, "close_due", lambda context, store: 0)
    # What usage counts is asked in test_usage.
    monkeypatch.setattr(usage_run, "meter", lambda context, store: 0)
    monkeypatch.setattr(usage_queries, "EventUsage", lambda connection: None)
    monkeypatch.setattr(closing_store, "open_nodes", lambda settings: contextlib.nullcontext([]))
    monkeypatch.setattr(retention_run, "apply_retention", lambda context, nodes: 0)
    monkeypatch.setattr(destruction_run, "destroy_due", lambda context, store: 0)
    # Nothing is due: what these jobs do otherwise is asked in test_reports and test_traffic_alerts.
    nobody = contextlib.nullcontext(SimpleNamespace(rows=lambda *arguments: []))
    monkeypatch.setattr(reading_store, "open_event_reader", lambda settings: nobody)
    office.runner.tick()
    job = office.runner.job(name)
    office.clock.now_ms = job.due_after(NOON_MS)
    pieces = [piece for piece in office.runner.tick() if piece.job is job]
    assert [piece.shard for piece in pieces] == job.pieces()
    for piece in pieces:
        (result,) = office.runner.catch_up(piece)
        assert (result.outcome, result.is_settled) == (Outcome.SUCCEEDED, True)
