"""One run of the job `retention`.

New hits carry their site's class (`server.snapshot`), and whole parts expire by it. What is left to do is this:

- a site has the class of its account's plan; a greater plan holds at once, a lesser one after `WAIT_MS`, counted from
  the change, and never on a server whose plans limit nobody;
- rows in another class than their site's are moved (`server.retention_moves`), at most `MOST_PIECES` and `MOST_ROWS`
  in a run; the next one goes on. Rows of a month that is past its site's time expire in their new class. A backup
  copies one partition after the other: none is moved while one is being made.

What a killed run left half done comes first.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobs.context import JobContext
from server.app_database import bump_version, minimum_watermark, reading, writing
from server.backups.register import half_restored, keeps_off
from server.billing.plans import plan_held
from server.clock import DAY_MS, MINUTE_MS
from server.closed_days import closed_topic
from server.closed_months import forget_claims
from server.imports.rows import UNFINISHED
from server.models import BillingProfile, Import, PlanChange, RetentionMove, RetentionWait, Site
from server.queries.closing_store import ClosingConnection
from server.retention_moves import (
    ClassTable,
    Mover,
    Piece,
    RowsChanged,
    class_tables,
    cutoff_of,
    is_shorter,
    pieces_of,
    settle_move,
)
from server.sites import GONE_STATES
from server.snapshot import announce

log = logging.getLogger(__name__)

WAIT_MS = 30 * DAY_MS
"""Who goes back to a greater plan in this time has lost nothing."""
NOTICED_WITHIN_MS = 3 * DAY_MS
"""A change of plan that is older is not what made a site's class the greater one: it came from another account."""

MOST_PIECES = 500
MOST_ROWS = 200_000_000
SPARE_MS = 5 * MINUTE_MS
"""Nothing is begun so shortly before the deadline."""

_KEPT_FOR_EVER = 0


class BackupUnderWay(Exception):
    """A backup is being made: the next run moves what is left."""


def apply_retention(context: JobContext, nodes: Sequence[ClosingConnection]) -> int:
    """See the module; returns how many rows were moved. `nodes`: a connection to each shard."""
    if half_restored(context.services.engine):
        log.warning("nothing is moved until a restore is completed")
        return 0
    movers = [Mover(node, lambda message: context.progress(context.rows, message)) for node in nodes]
    tables = [class_tables(node) for node in nodes]
    _finish_moves(context, movers, tables)
    classes = settle_classes(context)
    complete_until_ms = min(context.now_ms(), minimum_watermark(context.services.engine) or context.now_ms())
    pieces = moved = 0
    for shard, (node, mover) in enumerate(zip(nodes, movers, strict=True)):
        for table in tables[shard]:
            cutoff = cutoff_of(table, complete_until_ms, context.now_ms())
            for piece in pieces_of(node, table, classes):
                is_late = context.now_ms() > context.deadline_at_ms - SPARE_MS
                if is_late or pieces >= MOST_PIECES or moved >= MOST_ROWS:
                    log.info("the next run goes on moving rows", extra={"moved": moved})
                    return moved
                try:
                    rows = _move(context, shard, mover, table, piece, classes[piece.site_id], cutoff)
                except BackupUnderWay:
                    log.info("the next run goes on moving rows: a backup is being made", extra={"moved": moved})
                    return moved
                pieces, moved = pieces + 1, moved + rows
                context.progress(moved, "moved")
    return moved


def settle_classes(context: JobContext) -> dict[int, int]:
    """Give sites the class of their plan when it is time; the class of each site whose rows may be moved now."""
    services, now_ms = context.services, context.now_ms()
    classes: dict[int, int] = {}
    is_changed = False
    with writing(services.engine) as session:
        context.fence(session)
        waits = {wait.site_id: wait for wait in session.execute(select(RetentionWait)).scalars()}
        busy = set(session.execute(select(Import.site_id).where(Import.state.in_(UNFINISHED))).scalars())
        sites = (
            select(Site, BillingProfile.plan_code)
            .outerjoin(BillingProfile, BillingProfile.account_id == Site.account_id)
            .where(Site.state.not_in(GONE_STATES))
        )
        for site, plan_code in session.execute(sites).all():
            wanted = plan_held(plan_code).retention_class
            wait = waits.pop(site.site_id, None)
            if site.retention_class != _KEPT_FOR_EVER:
                if is_shorter(wanted, site.retention_class) and services.settings.are_plans_enforced:
                    is_over = _wait(session, site, wait, wanted, now_ms)
                    wait = None
                else:
                    is_over = is_shorter(site.retention_class, wanted)
                if is_over:
                    log.info("a site is kept otherwise", extra={"site": site.site_id, "class": wanted})
                    site.retention_class, is_changed = wanted, True
            if wait is not None:
                session.delete(wait)
            if site.site_id not in busy:
                classes[site.site_id] = site.retention_class
        for wait in waits.values():
            session.delete(wait)
        if is_changed:
            bump_version(session)
    if is_changed:
        announce(services.settings)
    return classes


def _wait(session: Session, site: Site, wait: RetentionWait | None, wanted: int, now_ms: int) -> bool:
    """Whether a site has waited for its lesser class long enough."""
    if wait is None:
        changed = select(func.max(PlanChange.at_ms)).where(PlanChange.account_id == site.account_id)
        changed_ms = session.execute(changed).scalar() or 0
        since_ms = changed_ms if changed_ms > now_ms - NOTICED_WITHIN_MS else now_ms
        session.add(RetentionWait(site_id=site.site_id, to_class=wanted, since_ms=since_ms))
        return False
    wait.to_class = wanted
    if now_ms < wait.since_ms + WAIT_MS:
        return False
    session.delete(wait)
    return True


def _move(
    context: JobContext, shard: int, mover: Mover, table: ClassTable, piece: Piece, to_class: int, cutoff: int
) -> int:
    """Move a piece; how many rows. 0 when there are none, or it is still being written to. Raises `BackupUnderWay`."""
    if not mover.left(table, piece, cutoff):
        return 0
    key = (piece.site_id, shard, piece.table, piece.month, piece.from_class)
    with writing(context.services.engine) as session:
        context.fence(session)
        if not keeps_off(session, context.now_ms()):
            raise BackupUnderWay
        session.add(
            RetentionMove(
                site_id=piece.site_id,
                shard=shard,
                store_table=piece.table,
                month=piece.month,
                from_class=piece.from_class,
                to_class=to_class,
                state="copying",
                cutoff=cutoff,
            )
        )
    rows = 0
    try:
        rows = mover.copy(table, piece, to_class, cutoff)
    except RowsChanged:
        log.info("rows came to a month that was to be moved", extra={"table": piece.table, "month": piece.month})
    with writing(context.services.engine) as session:
        context.fence(session)
        may_switch = keeps_off(session, context.now_ms())
        row = session.get_one(RetentionMove, key)
        is_switching = rows > 0 and may_switch
        row.state, row.rows = "switching" if is_switching else "copying", rows
        if is_switching:
            # Sums of these rows would miss those that are away.
            forget_claims(session, piece.site_id)
    if is_switching:
        mover.switch(table, piece, to_class, cutoff)
    else:
        mover.drop(table)
    _forget(context, key)
    if not may_switch:
        raise BackupUnderWay
    mover.scrub(table, piece)
    return rows


def _finish_moves(context: JobContext, movers: Sequence[Mover], tables: Sequence[Sequence[ClassTable]]) -> None:
    with reading(context.services.engine) as session:
        left = list(session.execute(select(RetentionMove)).scalars())
    for row in left:
        piece = Piece(row.store_table, row.site_id, row.month, row.from_class)
        mover = movers[row.shard]
        table = next(each for each in tables[row.shard] if each.name == row.store_table)
        settle_move(mover, table, row)
        _forget(context, (row.site_id, row.shard, row.store_table, row.month, row.from_class))
        mover.scrub(table, piece)


def _forget(context: JobContext, key: tuple[int, int, str, int, int]) -> None:
    with writing(context.services.engine) as session:
        context.fence(session)
        row = session.get(RetentionMove, key)
        if row is not None:
            session.delete(row)
        # What was answered while the month was away.
        context.services.cache.invalidate(closed_topic(key[0]), session)
