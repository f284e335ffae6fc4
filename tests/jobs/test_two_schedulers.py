"""Several schedulers at once for real: threads with engines of their own, nobody waiting for anybody."""

from __future__ import annotations

import threading
from collections import Counter

from sqlalchemy import Engine, select

from jobs.context import JobContext
from jobs.job import CatchUp, Job, Shard
from jobs.limits import JobLimits
from jobs.runner import JobRunner, Piece
from server.alerts import AlertKind
from server.app_database import open_app_database, reading
from server.config import Settings
from server.models import JobRun
from tests.jobs.doubles import AlertBook, Clock, services_of

SCHEDULERS = 4
DUE_TIMES = 40


def test_each_due_run_happens_once_though_all_look_at_once(settings: Settings, engine: Engine) -> None:
    clock, alerts = Clock(), AlertBook()
    done: Counter[tuple[Shard, int]] = Counter()
    running: Counter[Shard] = Counter()
    overlaps: list[Shard] = []
    errors: list[BaseException] = []

    def work(context: JobContext) -> int:
        running[context.shard] += 1
        if running[context.shard] > 1:
            overlaps.append(context.shard)
        context.progress(1)
        done[context.shard, context.due_at_ms] += 1
        running[context.shard] -= 1
        return 1

    job = Job("test", "* * * * *", work, 60, "", CatchUp.EACH, 300, shards=2)
    JobRunner(services_of(engine, settings, alerts), [job], clock=clock).tick()
    began_ms = clock()
    clock.advance(DUE_TIMES * 60)
    start = threading.Barrier(SCHEDULERS)

    def is_done(runner: JobRunner) -> bool:
        standings = [runner.standing(Piece(job, shard)) for shard in job.pieces()]
        return errors != [] or all(seen.settled_until_ms == clock() for seen in standings)

    def schedule() -> None:
        own = open_app_database(settings)
        limits = JobLimits(progress_interval_ms=0)
        runner = JobRunner(services_of(own, settings, alerts), [job], limits=limits, clock=clock)
        start.wait()
        try:
            while not is_done(runner):
                for piece in runner.tick():
                    runner.run_next(piece)
        except BaseException as error:
            errors.append(error)
        finally:
            own.dispose()

    threads = [threading.Thread(target=schedule) for _ in range(SCHEDULERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (errors, overlaps) == ([], [])
    dues = list(job.due_between(began_ms, clock()))
    assert done == {(shard, due): 1 for shard in job.pieces() for due in dues}
    with reading(engine) as session:
        runs = session.execute(select(JobRun.outcome, JobRun.attempt)).all()
    assert set(runs) == {("succeeded", 1)}
    assert len(runs) == DUE_TIMES * 2
    # All of them were late when the schedulers came; each piece is told of once, whoever looked.
    assert len(set(alerts.keys(AlertKind.JOB_LATE))) == 2
