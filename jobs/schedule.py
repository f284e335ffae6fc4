"""The job table.

Schedules are cron expressions in UTC, of five fields as Kubernetes takes them. Their minutes differ so that jobs do not
all begin at once.
"""

from __future__ import annotations

from jobs import audit, backup, closing, destruction, reconciliation, salts, tidy
from jobs.job import CatchUp, Job

JOBS: tuple[Job, ...] = (
    Job(
        name="salts",
        schedule="3 * * * *",
        function=salts.run,
        deadline_s=60,
        monitor="footfall-salts",
        catch_up=CatchUp.LATEST,
        late_after_s=900,
    ),
    Job(
        name="audit",
        schedule="41 * * * *",
        function=audit.run,
        deadline_s=900,
        monitor="footfall-audit",
        catch_up=CatchUp.LATEST,
        late_after_s=1800,
    ),
    Job(
        # Days end at every quarter of an hour somewhere; open days of large sites are condensed as often as this.
        name="closing",
        schedule="7,22,37,52 * * * *",
        function=closing.run,
        deadline_s=840,
        monitor="footfall-closing",
        catch_up=CatchUp.LATEST,
        late_after_s=600,
    ),
    Job(
        name="reconciliation",
        schedule="17 * * * *",
        function=reconciliation.run,
        deadline_s=1800,
        monitor="footfall-reconciliation",
        catch_up=CatchUp.LATEST,
        late_after_s=1800,
    ),
    Job(
        name="destruction",
        schedule="33 * * * *",
        function=destruction.run,
        deadline_s=3300,
        monitor="footfall-destruction",
        catch_up=CatchUp.LATEST,
        late_after_s=1800,
    ),
    Job(
        name="backup",
        schedule="29 2 * * *",
        function=backup.run,
        deadline_s=6 * 3600,
        monitor="footfall-backup",
        catch_up=CatchUp.LATEST,
        late_after_s=3600,
    ),
    Job(
        name="tidy",
        schedule="23 3 * * *",
        function=tidy.run,
        deadline_s=1800,
        monitor="footfall-tidy",
        catch_up=CatchUp.LATEST,
        late_after_s=3600,
    ),
)
"""Every job there is."""
