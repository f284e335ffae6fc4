"""The job table.

Schedules are cron expressions in UTC, of five fields as Kubernetes takes them. Their minutes differ so that jobs do not
all begin at once.
"""

from __future__ import annotations

from jobs import (
    audit,
    backup,
    closing,
    destruction,
    reconciliation,
    reports,
    retention,
    salts,
    staff_mail,
    tidy,
    traffic_alerts,
    usage,
)
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
        name="usage",
        schedule="11,26,41,56 * * * *",
        function=usage.run,
        deadline_s=840,
        monitor="footfall-usage",
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
        # Before the backup: a month that is on its way between two classes is not whole.
        name="retention",
        schedule="9 0 * * *",
        function=retention.run,
        deadline_s=2 * 3600,
        monitor="footfall-retention",
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
    Job(
        # After closing: the mornings of all zones begin at quarters of an hour.
        name="reports",
        schedule="12,27,42,57 * * * *",
        function=reports.run,
        deadline_s=840,
        monitor="footfall-reports",
        catch_up=CatchUp.LATEST,
        late_after_s=600,
        shards=4,
    ),
    Job(
        name="traffic_alerts",
        schedule="4-59/5 * * * *",
        function=traffic_alerts.run,
        deadline_s=240,
        monitor="footfall-traffic-alerts",
        catch_up=CatchUp.LATEST,
        late_after_s=240,
    ),
    Job(
        # An hour and more after the day: segments that waited through the night are stored by then.
        name="staff_mail",
        schedule="47 5 * * *",
        function=staff_mail.run,
        deadline_s=600,
        monitor="footfall-staff-mail",
        catch_up=CatchUp.LATEST,
        late_after_s=3600,
    ),
)
"""Every job there is."""
