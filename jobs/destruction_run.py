"""One run of the job `destruction`.

Nothing that fails holds up what is due beside it: failures are collected, and raised at the end. What is not destroyed
72 hours after it was promised is an urgent alert, in each run until it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from sqlalchemy import select

from jobs.context import JobContext
from server.account_destruction import HELD_UP, destroy_account
from server.accounts.deletion import (
    DESTROYED_WITHIN_MS,
    approve,
    due_for_destruction,
    waiting_too_long,
)
from server.accounts.errors import NotAllowed, NotThere
from server.alerts import AlertKind
from server.app_database import reading, writing
from server.backups.register import half_restored
from server.clock import MINUTE_MS, time_text
from server.models import DeletionRequest, Destruction, Site
from server.queries.closing_store import ClosingStore
from server.site_destruction import Means, destroy_site, due_sites, find_late_rows
from server.snapshot import announce

log = logging.getLogger(__name__)

SPARE_MS = 5 * MINUTE_MS
"""Nothing is begun so shortly before the deadline: what is left is the next run's."""


class DestructionHeldUp(Exception):
    """Some of what is due is not destroyed yet. The next run goes on."""


def destroy_due(context: JobContext, store: ClosingStore, pause: Callable[[float], None] = time.sleep) -> int:
    """Destroy what is due; returns how many sites and accounts were. Raises `DestructionHeldUp` in the end."""
    services = context.services
    if half_restored(services.engine):
        log.warning("nothing is destroyed until a restore is completed")
        return 0
    _approve_waiting(context)
    _tell_what_is_late(context)
    means = Means(
        services,
        store.connection,
        store.form,
        context.now_ms,
        fence=context.fence,
        progress=lambda message: context.progress(context.rows, message),
        pause=pause,
    )
    late = find_late_rows(means)
    if late:
        log.warning("rows of destroyed sites came late", extra={"sites": len(late)})
    with reading(services.engine) as session:
        requests = [request.request_id for request in due_for_destruction(session, context.now_ms())]
    failures: list[str] = []
    for request_id in requests:
        _try(context, failures, f"account of request {request_id}", partial(destroy_account, means, request_id))
    with reading(services.engine) as session:
        site_ids = due_sites(session, context.now_ms())
    for site_id in site_ids:
        _try(context, failures, f"site {site_id}", partial(destroy_site, means, site_id))
    if failures:
        raise DestructionHeldUp("; ".join(failures[:10]))
    return context.rows


def _try(context: JobContext, failures: list[str], what: str, destroy: Callable[[], bool]) -> None:
    if context.now_ms() > context.deadline_at_ms - SPARE_MS:
        failures.append(f"{what}: left to the next run")
        return
    try:
        context.progress(context.rows + destroy(), what)
    except HELD_UP as error:
        log.warning("a destruction is held up", extra={"what": what, "reason": type(error).__name__})
        failures.append(f"{what}: {type(error).__name__}")


def _approve_waiting(context: JobContext) -> None:
    services = context.services
    with reading(services.engine) as session:
        request_ids = [request.request_id for request in waiting_too_long(session, context.now_ms())]
    for request_id in request_ids:
        with writing(services.engine) as session:
            context.fence(session)
            try:
                approve(session, services, request_id, None, context.now_ms())
            except (NotThere, NotAllowed):
                log.info("a deletion was taken back meanwhile", extra={"request": request_id})
    if request_ids:
        announce(services.settings)


def _tell_what_is_late(context: JobContext) -> None:
    before_ms = context.now_ms() - DESTROYED_WITHIN_MS
    requests = select(DeletionRequest).where(
        DeletionRequest.approved_at_ms < before_ms,
        DeletionRequest.destroyed_at_ms.is_(None),
        DeletionRequest.refused_at_ms.is_(None),
        DeletionRequest.taken_back_at_ms.is_(None),
    )
    unended = select(Destruction.site_id).where(Destruction.ended_at_ms.is_(None))
    is_under_way = (Site.state == "deleting") | Site.site_id.in_(unended)
    sites = select(Site).where(is_under_way, Site.deleted_at_ms < before_ms, Site.deleted_at_ms > 0)
    with reading(context.services.engine) as session:
        late = [
            (f"account {request.account_id}", request.approved_at_ms) for request in session.execute(requests).scalars()
        ]
        late += [(f"site {site.site_id}", site.deleted_at_ms) for site in session.execute(sites).scalars()]
    for what, since_ms in late:
        context.services.alerts.raise_alert(
            AlertKind.DESTRUCTION_LATE,
            what,
            f"The {what} is not destroyed 72 hours after that was due to begin",
            f"Deleted at {time_text(since_ms or 0)}. The runs of the job `destruction` say what holds it up: a machine "
            "that does not store its hits (its watermark stands still), a store that refuses the deletion, or Stripe.",
            is_urgent=True,
        )
