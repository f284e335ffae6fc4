"""A process that runs one job which counts to a number, a row at a time: what `test_killed` kills.

    python -m tests.jobs.counting_program DATA_DIR NUMBER PAUSE_MS

The job goes on after the last number that it wrote down. It prints a line when it begins and one for each run's end.
"""

from __future__ import annotations

import sys
import time

from sqlalchemy import text

from jobs.context import JobContext
from jobs.job import CatchUp, Job, Shard
from jobs.limits import JobLimits
from jobs.runner import JobRunner, Piece
from server.app_database import reading, writing
from server.config import load_settings
from server.services import open_services

LEASE_MS = 600


def main(data_dir: str, number: int, pause_ms: int) -> None:
    """Run what is due, and wait for a lock that somebody else holds."""
    services = open_services(load_settings(data_dir=data_dir))

    def count(context: JobContext) -> int:
        with reading(services.engine) as session:
            begin = int(session.execute(text("SELECT coalesce(max(number), 0) FROM counted")).scalar_one())
        for next_number in range(begin + 1, number + 1):
            with writing(services.engine) as session:
                context.fence(session)
                session.execute(text("INSERT INTO counted VALUES (:number)"), {"number": next_number})
            context.progress(next_number - begin)
            time.sleep(pause_ms / 1000)
        return number - begin

    job = Job("count", "0 0 1 1 *", count, 60, "", CatchUp.LATEST, 3600)
    limits = JobLimits(lease_ms=LEASE_MS, heartbeat_interval_s=0.1)
    runner = JobRunner(services, [job], limits=limits)
    piece = Piece(job, Shard())
    print("begin", flush=True)
    while job.due_after(runner.standing(piece).settled_until_ms) < time.time() * 1000:
        result = runner.run_next(piece)
        if result is None:
            time.sleep(0.05)
        else:
            print(result.outcome, result.rows, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
