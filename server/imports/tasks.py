"""The tasks that carry imports out: `import.run` and `import.remove`. Both are safe to repeat.

A removal waits until the run it ends has stopped: what that one has under way at the moment is still stored, and would
stay otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from server.app_database import reading, writing
from server.clickhouse_tcp import BlockConnection
from server.clock import now_ms
from server.closed_days import closed_topic, mark_dirty
from server.imports import rows
from server.imports.errors import ImportBusy, ImportRefused
from server.imports.rows import FIGURE_KINDS, ImportState
from server.imports.run import ImportContext, NotRunning, run_import
from server.imports.stored_figures import delete_events, delete_figures
from server.imports.uploads import sweep, upload_path
from server.models import Import, Site
from server.queries import run_query
from server.queries.periods import HOUR_MS, SiteCalendar
from server.site_zones import BEGINNING, zones_of
from server.store import Store, configured_store
from server.tasks import GivenUp, TaskRun, task, task_status

# A year of a busy site's access log on a small machine.
DEADLINE_S = 12 * 3_600.0

REMOVAL_DEADLINE_S = 3_600.0

# How long a removal waits for the run that it ends before it is put off.
STOPS_WITHIN_S = 20.0
LOOK_S = 0.1


def _given_up(session: Session, given_up: GivenUp) -> None:
    rows.fail(session, int(given_up.arguments["import_id"]), given_up.reason, given_up.at_ms)


@task("import.run", attempts=6, first_delay_s=10, deadline_s=DEADLINE_S, on_given_up=_given_up)
def run(run: TaskRun, *, import_id: int) -> None:
    """Import a file, going on where the last attempt stopped."""
    services = run.services
    settings, engine = services.settings, services.engine

    @contextmanager
    def open_store() -> Iterator[Store]:
        yield configured_store(settings)

    path = upload_path(settings, import_id)
    context = ImportContext(settings, engine, services.secret_key, open_store)
    try:
        run_import(context, import_id, path, run.progress)
    except NotRunning:
        return
    except ImportRefused as refused:
        # Nothing that another attempt could change: said once, and not an alert.
        with writing(engine) as session:
            rows.fail(session, import_id, str(refused), now_ms())
        return
    loaded = rows.load(engine, import_id)
    if loaded is not None:
        services.cache.invalidate(closed_topic(loaded[0].site_id))
    path.unlink(missing_ok=True)
    sweep(engine, settings)


@task("import.remove", attempts=20, first_delay_s=5, deadline_s=REMOVAL_DEADLINE_S)
def remove(run: TaskRun, *, import_id: int) -> None:
    """Take an import away: its rows, its counts, its file."""
    services = run.services
    loaded = rows.load(services.engine, import_id)
    if loaded is None or loaded[0].state != ImportState.REMOVING:
        return
    row, _ = loaded
    _wait_for_run(services.engine, row, run)
    store = configured_store(services.settings)
    with closing(store.connection()) as connection:
        if row.kind in FIGURE_KINDS:
            delete_figures(connection, store.form, row.site_id, import_id)
        else:
            _remove_events(services.engine, store, connection, row, run)
    with writing(services.engine) as session:
        rows.end_removal(session, import_id, now_ms())
        services.cache.invalidate(closed_topic(row.site_id), session)
    upload_path(services.settings, import_id).unlink(missing_ok=True)


def _remove_events(engine: Engine, store: Store, connection: BlockConnection, row: Import, run: TaskRun) -> None:
    with reading(engine) as session:
        site = session.get(Site, row.site_id)
        zones = ((BEGINNING, "UTC"),) if site is None else zones_of(session, site)
    found = run_query(connection, "imported_hours", site_id=row.site_id, import_id=row.import_id)
    days = _days_of_hours(SiteCalendar(zones), [int(hour_s) for (hour_s,) in found])
    # An attempt that was cut short may have taken rows away already: their days lie in the import's range.
    if run.attempt > 1 and row.first_day and row.last_day:
        days |= _range(date.fromisoformat(row.first_day), date.fromisoformat(row.last_day))
    run.progress(0, None, "taking its rows away")
    delete_events(connection, store.form, row.site_id, row.import_id)
    with writing(engine) as session:
        mark_dirty(session, row.site_id, days, now_ms())


def _days_of_hours(calendar: SiteCalendar, hours_s: list[int]) -> set[date]:
    """The days that these hours belong to; where zones are half an hour off, one hour belongs to two."""
    starts = {calendar.day_at(hour_s * 1000) for hour_s in hours_s}
    return starts | {calendar.day_at(hour_s * 1000 + HOUR_MS - 1) for hour_s in hours_s}


def _range(first: date, last: date) -> set[date]:
    return {first + timedelta(days=number) for number in range((last - first).days + 1)}


def _wait_for_run(engine: Engine, row: Import, run: TaskRun) -> None:
    """Raises `ImportBusy` when the run has not stopped in time: the removal is tried again later."""
    deadline_s = time.monotonic() + STOPS_WITHIN_S
    while row.task_id is not None and (status := task_status(engine, row.task_id)) and not status.is_finished:
        if time.monotonic() > deadline_s:
            raise ImportBusy("its run has not stopped yet")
        run.progress(0, None, "waiting for the import to stop")
        time.sleep(LOOK_S)
