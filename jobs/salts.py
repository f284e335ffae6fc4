"""The job `salts`: visitor salts are made a day ahead and forgotten when they are over, whoever takes hits."""

from __future__ import annotations

from jobs.context import JobContext
from server.salts import keep_salts


def run(context: JobContext) -> int:
    """Make the missing salts and delete those that are over; 1 when something changed."""
    return int(keep_salts(context.services.engine, context.now_ms()))
