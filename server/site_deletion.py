"""Taking a site's figures away for good: resetting it, or deleting it whole.

A reset keeps the site and what its people set up, and takes every figure up to the moment it was asked for. A deletion
stops counting at once and hides the site; its owner may take that back until `jobs.destruction` comes, two days later,
and destroys the figures and everything that was set up (`server.site_destruction`).

Both wait until every hit from before is stored, because a hit that is still in a spool could not be deleted.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action
from server.accounts.errors import FormError, NotThere
from server.app_database import bump_version, minimum_watermark, reading, writing
from server.clock import DAY_MS, now_ms
from server.closed_days import closed_topic, mark_dirty
from server.destruction import RowsOfSite, next_number
from server.models import ClosedDay, ClosedMonth, Import, OpenDay, Site, Task
from server.open_days import forget_open
from server.site_changes import changing, log
from server.sites import GONE_STATES
from server.store import configured_store
from server.tasks import TaskRun, task
from server.tasks.rows import UNFINISHED

if TYPE_CHECKING:
    from server.services import Services

# "Soft at once, destroyed within 72 h" (DESIGN, section 8): a day remains for the job and its repetitions.
DELETION_GRACE_MS = 2 * DAY_MS

WATERMARK_POLL_S = 0.5

# A reset of a large site rewrites each of its months: minutes, not hours. The task goes on where it stopped.
DEADLINE_S = 3 * 3600.0


def ask_for_reset(services: Services, site_id: int, typed: str, actor: int | None) -> None:
    """Queue the deletion of every figure up to now. Raises `FormError` at `reset_domain`: the domain must be typed."""
    with changing(services.engine, site_id, is_told=False) as (session, site):
        _check_typed("reset_domain", typed, site)
        asked_at_ms = now_ms()
        services.tasks.enqueue(
            session,
            "site.reset",
            arguments={"site_id": site_id, "asked_at_ms": asked_at_ms},
            account_id=site.account_id,
            unique_key=_reset_key(site_id),
        )
        log(session, site, Action.SITE_RESET, actor)


def is_being_reset(session: Session, site_id: int) -> bool:
    """Whether figures are being deleted at the moment."""
    unfinished = (Task.unique_key == _reset_key(site_id)) & Task.state.in_(UNFINISHED)
    return session.execute(select(Task.task_id).where(unfinished)).first() is not None


def delete_site(services: Services, site_id: int, typed: str, actor: int | None) -> None:
    """Stop counting, hide the site, and destroy it in two days. Raises `FormError` at `delete_domain` likewise."""
    with changing(services.engine, site_id) as (session, site):
        _check_typed("delete_domain", typed, site)
        site.state_before_deletion, site.state, site.deleted_at_ms = site.state, "deleting", now_ms()
        log(session, site, Action.SITE_DELETED, actor)


def restore_site(services: Services, site_id: int, actor: int | None) -> None:
    """Take a deletion back: the site counts again, as far as it did before. Raises `NotThere` when it is too late."""
    with writing(services.engine) as session:
        site = session.get(Site, site_id, with_for_update=True)
        if site is None or site.state != "deleting":
            raise NotThere("site")
        site.state, site.state_before_deletion, site.deleted_at_ms = site.state_before_deletion, "", 0
        bump_version(session)
        log(session, site, Action.SITE_RESTORED, actor)


@task("site.reset", attempts=10, first_delay_s=60, deadline_s=DEADLINE_S)
def reset(run: TaskRun, *, site_id: int, asked_at_ms: int) -> None:
    """Delete a site's figures up to that time. Safe to repeat: what came later stays."""
    services = run.services
    with reading(services.engine) as session:
        site = session.get(Site, site_id)
        if site is None or site.state in GONE_STATES:
            return
    _destroy_rows(run, site_id, asked_at_ms)
    with writing(services.engine) as session:
        session.execute(update(Site).where(Site.site_id == site_id).values(first_hit_at_ms=None))
        # A closing that had read the rows before may have ended since: its days are closed again.
        days = session.execute(select(ClosedDay.day).where(ClosedDay.site_id == site_id)).scalars().all()
        mark_dirty(session, site_id, days, now_ms())
        forget_open(session, site_id)
        services.cache.invalidate(closed_topic(site_id), session)


@task("site.destroy", attempts=1, first_delay_s=60, deadline_s=60)
def destroy(run: TaskRun, *, site_id: int, asked_at_ms: int) -> None:
    """Nothing: releases before `jobs.destruction` queued this, and such a task may still wait."""


def _destroy_rows(run: TaskRun, site_id: int, until_ms: int) -> None:
    services = run.services
    _wait_for_spools(run, until_ms)

    def forget_closed_days() -> None:
        with writing(services.engine) as session:
            for model in (ClosedDay, ClosedMonth, OpenDay, Import):
                session.execute(delete(model).where(model.site_id == site_id))
            services.cache.invalidate(closed_topic(site_id), session)

    store = configured_store(services.settings)
    with closing(store.connection()) as connection:
        # Kept with the task: a repetition that took another number would post the same rows twice.
        number = run.checkpoint.get("number")
        if number is None:
            run.checkpoint["number"] = number = next_number(connection, site_id)
            run.progress(0, None, "Counting what goes")
        rows = RowsOfSite(connection, store.form, site_id, until_ms // 1000, int(number), run.progress)
        rows.destroy(forget_closed_days)


def _wait_for_spools(run: TaskRun, until_ms: int) -> None:
    """Return when every hit from before is stored. No watermark at all: no process takes hits."""
    while True:
        watermark = minimum_watermark(run.services.engine)
        if watermark is None or watermark > until_ms:
            return
        run.progress(0, None, "Waiting for hits that are under way")
        time.sleep(WATERMARK_POLL_S)


def _check_typed(field: str, typed: str, site: Site) -> None:
    if typed.strip().lower() != site.domain:
        raise FormError(field, f"Type {site.domain} to say that you mean it.")


def _reset_key(site_id: int) -> str:
    return f"reset site {site_id}"
