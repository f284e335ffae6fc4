"""The commands `footfall jobs run|list|history|monitors` and `footfall worker`.

`jobs run` is what a CronJob calls, on any machine, beside workers or without one. Exit codes: 0 everything that is due
has been run, or nothing is due; 1 a due time failed for good, somebody else kept the lock, or the command was stopped;
2 a wrong option or setting.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from server.config import PREFIX, SettingError, Settings, load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from jobs.runner import JobRunner, Piece, Result
    from server.models import JobRun
    from server.services import Services

# A lock whose holder died is free after `JobLimits.lease_ms`: waiting longer than that takes over from a killed pod.
LOCK_WAIT_S = 90

# How often a lock is looked at, and how often a line of progress is printed where there is no terminal.
LOOK_S = 1.0
PROGRESS_LINE_S = 10.0

EXIT_NOT_RUN = 1


@click.group("jobs")
def jobs_group() -> None:
    """What happens by itself at its time. Times are UTC."""


@jobs_group.command("run")
@click.argument("name")
@click.option("--shard", "shard_text", metavar="I/N", help="Only this piece of a job that is cut into n, from 0.")
@click.option("--at", "at_text", metavar="TIME", help="Run this due time, whatever its state (ISO 8601; UTC).")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0),
    default=LOCK_WAIT_S,
    show_default=True,
    help="Seconds to wait while somebody else runs it.",
)
def run_command(name: str, shard_text: str | None, at_text: str | None, wait_s: float) -> None:
    """Run what is due of a job and not done yet, now."""
    from jobs.runner import JobRunner, Piece
    from jobs.schedule import JOBS

    with _services() as services, _terminal() as terminal:
        runner = JobRunner(services, JOBS, observe=terminal.progress)
        job = _known(runner, name)
        with _refusing("--shard"):
            shards = [job.piece(shard_text)] if shard_text else job.pieces()
        at_ms = None if at_text is None else _due_time(runner, name, at_text)
        signal.signal(signal.SIGTERM, lambda number, frame: runner.stopping.set())
        signal.signal(signal.SIGINT, lambda number, frame: runner.stopping.set())
        runner.tick()
        errand = _Errand(runner, terminal, wait_s)
        done = [
            errand.run_due(Piece(job, shard)) if at_ms is None else errand.run_at(Piece(job, shard), at_ms)
            for shard in shards
        ]
    if not all(done):
        sys.exit(EXIT_NOT_RUN)


@jobs_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for programs.")
def list_command(as_json: bool) -> None:
    """List the jobs: when they ran last, how that ended, when they are due next, who runs them."""
    from jobs import state
    from jobs.runner import JobRunner, Piece
    from jobs.schedule import JOBS

    with _services() as services:
        runner = JobRunner(services, JOBS)
        now_ms = _now_ms()
        lines = []
        for job in runner.jobs.values():
            for shard in job.pieces():
                seen = runner.standing(Piece(job, shard))
                last = state.last_run(services.engine, job.name, shard)
                holder = state.holder_of(seen.lock_token) if seen.lock_token and seen.is_locked(now_ms) else None
                lines.append(
                    {
                        "job": job.name,
                        "shard": str(shard),
                        "schedule": job.schedule,
                        "last_run": None if last is None else _time(last.started_at_ms),
                        "outcome": None if last is None else _outcome(last, is_held=holder is not None),
                        "rows": None if last is None else last.rows,
                        "next_due": _time(job.due_after(seen.settled_until_ms)),
                        "running_by": holder,
                    }
                )
    _show(lines, as_json)


@jobs_group.command("history")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many runs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for programs.")
def history_command(name: str, limit: int, as_json: bool) -> None:
    """Show a job's runs, the newest first."""
    from jobs import state
    from jobs.runner import JobRunner
    from jobs.schedule import JOBS

    with _services() as services:
        runner = JobRunner(services, JOBS)
        job = _known(runner, name)
        lines = [
            {
                "run": run.run_id,
                "shard": run.shard,
                "due": _time(run.due_at_ms),
                "started": _time(run.started_at_ms),
                "seconds": None if run.ended_at_ms is None else (run.ended_at_ms - run.started_at_ms) / 1000,
                "outcome": run.outcome,
                "attempt": run.attempt,
                "by_hand": run.is_manual,
                "rows": run.rows,
                "by": state.holder_of(run.lock_token),
                "error": run.error,
            }
            for run in state.latest_runs(services.engine, job.name, limit)
        ]
    _show(lines, as_json)


@jobs_group.command("monitors")
def monitors_command() -> None:
    """Make a check for each job at the monitor, or bring it up to date."""
    from jobs.monitors import MonitorRefused, make_checks
    from jobs.schedule import JOBS

    try:
        checks = make_checks(load_settings(), JOBS)
    except MonitorRefused as error:
        raise click.ClickException(str(error)) from None
    for check in checks:
        click.echo(f"{'made' if check.is_new else 'brought up to date'}: {check.name} ({check.job.schedule})")


@click.command("worker")
def worker_command() -> None:
    """Carry out tasks and jobs on this machine, without taking hits or showing pages."""
    from server.data_folder import prepare_data_folder
    from server.logs import start_logging
    from server.supervisor import Supervisor

    settings = load_settings()
    if settings.worker_threads < 1:
        raise SettingError(f"{PREFIX}WORKER_THREADS", "0", "at least 1 for a worker")
    start_logging(settings.log_level)

    async def live() -> None:
        supervisor = Supervisor(settings, serves=False)
        await supervisor.start()
        await supervisor.run_until_stopped()

    prepare_data_folder(settings)
    asyncio.run(live())


class _Terminal:
    """Says how a run comes along: in place on a terminal, now and then as a line elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._line_due_s = time.monotonic() + PROGRESS_LINE_S
        self._is_shown = False

    def say(self, line: str) -> None:
        """A line that stays."""
        self.clear()
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def progress(self, rows: int, message: str) -> None:
        """How far a run has come."""
        text = f"{rows} rows{f', {message}' if message else ''}"
        if self._console.is_terminal:
            self._status.update(text)
            if not self._is_shown:
                self._status.start()
                self._is_shown = True
        elif time.monotonic() >= self._line_due_s:
            self._line_due_s = time.monotonic() + PROGRESS_LINE_S
            self.say(text)

    def clear(self) -> None:
        """Take the moving line away."""
        if self._is_shown:
            self._status.stop()
            self._is_shown = False


class _Errand:
    """One call of `jobs run`: runs, waits and reports. Each method says whether all is well."""

    def __init__(self, runner: JobRunner, terminal: _Terminal, wait_s: float) -> None:
        self._runner = runner
        self._terminal = terminal
        self._wait_s = wait_s

    def run_due(self, piece: Piece) -> bool:
        """Run every due time that has come, and try failed ones again until they are settled."""
        from jobs.runner import due_now

        name = _named(piece)
        is_well, has_run, locked_since_s = True, False, time.monotonic()
        while not self._runner.stopping.is_set():
            seen, now_ms = self._runner.standing(piece), _now_ms()
            if due_now(piece.job, seen, now_ms) is None:
                if not has_run:
                    next_due = _time(piece.job.due_after(seen.settled_until_ms))
                    self._terminal.say(f"{name}: nothing is due; the next time is {next_due}")
                return is_well
            if seen.is_locked(now_ms):
                if not self._wait_for_lock(piece, locked_since_s):
                    return False
                continue
            if seen.next_attempt_at_ms > now_ms:
                self._terminal.say(f"{name}: tried again at {_time(seen.next_attempt_at_ms)}")
                self._runner.stopping.wait((seen.next_attempt_at_ms - now_ms) / 1000)
                continue
            result = self._runner.run_next(piece)
            if result is not None:
                has_run, locked_since_s = True, time.monotonic()
                is_well = self._report(piece, result) and is_well
        self._terminal.say(f"{name}: stopped")
        return False

    def run_at(self, piece: Piece, due_at_ms: int) -> bool:
        """Run one due time by hand."""
        began_s = time.monotonic()
        while not self._runner.stopping.is_set():
            result = self._runner.run_at(piece, due_at_ms)
            if result is not None:
                return self._report(piece, result) and result.is_settled
            if not self._wait_for_lock(piece, began_s):
                return False
        self._terminal.say(f"{_named(piece)}: stopped")
        return False

    def _wait_for_lock(self, piece: Piece, since_s: float) -> bool:
        """Wait a moment; False when that was long enough."""
        from jobs import state

        if time.monotonic() - since_s < self._wait_s:
            self._runner.stopping.wait(LOOK_S)
            return True
        token = self._runner.standing(piece).lock_token
        by = f" by {state.holder_of(token)}" if token else ""
        self._terminal.say(f"{_named(piece)}: it is being run{by}; waited {self._wait_s:g} s")
        return False

    def _report(self, piece: Piece, result: Result) -> bool:
        """Say what became of a run. False when its due time failed for good."""
        from jobs.state import Outcome

        due = f"{_named(piece)} {_time(result.due_at_ms)}"
        if result.outcome is Outcome.SUCCEEDED:
            self._terminal.say(f"{due}: done, {result.rows} rows")
            return True
        tries = f"attempt {result.attempt} of {piece.job.attempts}"
        self._terminal.say(f"{due}: {result.outcome} ({tries}): {result.error}")
        return not (result.outcome is Outcome.FAILED and result.is_settled)


def _outcome(run: JobRun, *, is_held: bool) -> str:
    """A run whose process died is called abandoned only by the next one: here already."""
    from jobs.state import Outcome

    if run.outcome != Outcome.RUNNING:
        return run.outcome
    if not is_held:
        return Outcome.ABANDONED
    return f"{run.outcome}, {run.error}" if run.error else run.outcome


@contextmanager
def _terminal() -> Iterator[_Terminal]:
    from rich.console import Console

    terminal = _Terminal(Console())
    try:
        yield terminal
    finally:
        terminal.clear()


@contextmanager
def _services() -> Iterator[Services]:
    """The services of this installation, its app database migrated."""
    from sqlalchemy.exc import SQLAlchemyError

    from server.app_database import migrate_app_database
    from server.data_folder import prepare_data_folder
    from server.logs import first_line, start_logging
    from server.services import open_services

    settings: Settings = load_settings()
    # What a person reads goes to standard output.
    start_logging("error", sys.stderr)
    prepare_data_folder(settings)
    services = open_services(settings)
    try:
        migrate_app_database(settings, services.engine)
        yield services
    except SQLAlchemyError as error:
        raise click.ClickException(f"the app database does not answer: {first_line(error)}") from None
    finally:
        services.close()


@contextmanager
def _refusing(option: str) -> Iterator[None]:
    """A value that is not allowed is said in one line; exit 2."""
    try:
        yield
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _known(runner: JobRunner, name: str) -> Any:
    from jobs.runner import UnknownJob

    try:
        return runner.job(name)
    except UnknownJob as error:
        raise click.BadParameter(str(error), param_hint="NAME") from None


def _due_time(runner: JobRunner, name: str, text: str) -> int:
    """The due time that a person wrote. It must be one of the job's, and not in the future."""
    with _refusing("--at"):
        at = datetime.fromisoformat(text)
        at_ms = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
        job = runner.job(name)
        if not job.is_due_at(at_ms):
            near = f"{_time(job.latest_due(at_ms))} and {_time(job.due_after(at_ms))}"
            raise ValueError(f"{name} is not due at {_time(at_ms)}; the times around it are {near}")
        if at_ms > _now_ms():
            raise ValueError(f"{_time(at_ms)} has not come yet")
        return at_ms


def _named(piece: Piece) -> str:
    from jobs.watch import named

    return named(piece.job, piece.shard)


def _time(at_ms: int) -> str:
    from jobs.job import shown_time

    return shown_time(at_ms)


def _now_ms() -> int:
    from server.clock import now_ms

    return now_ms()


def _show(lines: list[dict[str, Any]], as_json: bool) -> None:
    """A table, or the same as JSON."""
    from rich.console import Console
    from rich.table import Table

    if as_json:
        click.echo(json.dumps(lines))
        return
    names = list(lines[0]) if lines else ["no runs"]
    table = Table(*(name.replace("_", " ") for name in names))
    for line in lines:
        table.add_row(*("" if value is None or value is False else str(value) for value in line.values()))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
