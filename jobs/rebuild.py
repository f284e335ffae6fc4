"""The command `footfall rebuild SITE FROM TO`: closes days again, from the events that are there.

Works beside a running worker: whoever is faster switches a day, and readers have the old version until then.
Exit codes: 0 closed, or nothing to close; 2 a wrong argument.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING

import click

from server.config import load_settings

if TYPE_CHECKING:
    from server.models import Site
    from server.queries.closing_store import ClosingConnection
    from server.services import Services

# Longer ranges are put together by hand; it bounds what one slip of the keyboard starts.
MOST_DAYS = 3_700


@click.command("rebuild")
@click.argument("site")
@click.argument("first", metavar="FROM")
@click.argument("last", metavar="TO")
def rebuild_command(site: str, first: str, last: str) -> None:
    """Close days of a site again (dates as 2026-11-25, both included), as after a repair of its events."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from server.app_database import migrate_app_database
    from server.clock import now_ms
    from server.data_folder import prepare_data_folder
    from server.logs import start_logging
    from server.queries.closing_store import open_closing_store
    from server.services import open_services
    from server.sites import find_site

    settings = load_settings()
    start_logging("error")
    days = _days(first, last)
    prepare_data_folder(settings)
    services = open_services(settings)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        migrate_app_database(settings, services.engine)
        found = find_site(services.engine, site)
        if found is None:
            raise click.BadParameter(f"there is no site {site}", param_hint="SITE")
        with open_closing_store(settings, migrates=True) as store, Progress(*columns) as bar:
            shown = bar.add_task(found.domain, total=len(days))
            done = rebuild(
                services,
                store.connection,
                found,
                days,
                now_ms,
                lambda many, step: bar.update(shown, completed=many, description=f"{site} {step}"),
            )
            bar.update(shown, completed=len(days), description=site)
    finally:
        services.close()
    skipped = len(days) - done
    rest = f"; {skipped} not: they have not ended, or were closed by a worker meanwhile" if skipped else ""
    click.echo(f"closed {done} days{rest}")


def rebuild(
    services: Services,
    connection: ClosingConnection,
    site: Site,
    days: list[date],
    clock: Callable[[], int],
    progress: Callable[[int, str], None] = lambda days, step: None,
) -> int:
    """Mark days dirty and close those that have ended, a month at a time; returns how many were closed.

    What is not reached, because this is stopped, is closed by the job `closing`.
    """
    from jobs.closing_chunk import Closer
    from jobs.closing_days import due_groups
    from jobs.closing_months import MonthCloser
    from jobs.job import Shard
    from server.app_database import minimum_watermark, reading, writing
    from server.closed_days import mark_dirty
    from server.closed_months import month_of

    with writing(services.engine) as session:
        mark_dirty(session, site.site_id, days, clock())
    watermark_ms = minimum_watermark(services.engine)
    until_ms = clock() if watermark_ms is None else min(clock(), watermark_ms)
    closer = Closer(services, connection, clock)
    closer.progress = lambda rows, step: progress(closer.days, step)
    with reading(services.engine) as session:
        groups = due_groups(session, Shard(), until_ms, [site.site_id])
    asked = set(days)
    for group in groups:
        if asked & set(group.days):
            closer.close(group)
    MonthCloser(services, connection, closer.next_ms).close(
        [site.site_id], {month_of(day) for _, day in closer.switched}
    )
    return closer.days


def _days(first: str, last: str) -> list[date]:
    ends = []
    for name, text in (("FROM", first), ("TO", last)):
        try:
            ends.append(date.fromisoformat(text))
        except ValueError:
            raise click.BadParameter(f"{text!r} is no date like 2026-11-25", param_hint=name) from None
    length = (ends[1] - ends[0]).days + 1
    if not 0 < length <= MOST_DAYS:
        raise click.BadParameter(f"expected 1 to {MOST_DAYS} days, FROM first", param_hint="TO")
    return [ends[0] + timedelta(days=index) for index in range(length)]
