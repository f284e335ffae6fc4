"""Destroying a site whose time has come, in steps that may be cut anywhere and are done again.

    due ─▶ begun: nobody takes it back, nobody closes its days ─▶ every hit is stored ─▶ rows, quarantine ─▶ the rest

How far a site is stands in its row of `destructions`. The rows go by `server.destruction`, from every table that has a
`site_id`; what people set up, from every table of the app database that has one (`tables_about`). What remains is the
site's number, the lines of the ledger and the audit log. For some days afterwards the store is asked whether rows came
late (a replay, a closing that had begun before); then it is done once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Table, delete, select, update
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action
from server.app_database import bump_version, minimum_watermark, reading, writing
from server.backups.register import last_expiry
from server.clickhouse_tcp import BlockConnection
from server.clock import DAY_MS, time_text
from server.closed_days import closed_topic
from server.destruction import RowsOfSite, next_number, sites_with_rows
from server.imports.uploads import upload_path
from server.migrate import SchemaForm
from server.models import Base, ClosedDay, ClosedMonth, Destruction, Import, OpenDay, RetentionMove, Site
from server.quarantine import Quarantine
from server.quarantine_purge import purge
from server.retention_moves import Mover, class_tables, settle_move
from server.site_changes import log
from server.site_deletion import DELETION_GRACE_MS

if TYPE_CHECKING:
    from server.services import Services

LATE_FOR_MS = 9 * DAY_MS
"""batch_id lives 7 days, and with it a replay."""

WATERMARK_POLL_S = 0.5
WATERMARK_POLLS = 60
"""Watermarks are stored every five seconds. Longer waits are the next run's."""

MOST_SITES = 500

_KEPT = frozenset(("sites", "destructions", "accounts", "audit_log", "deletion_requests"))
"""What outlives a site or an account: numbers that are never given out again, and who did what."""


class HitsUnderWay(Exception):
    """Some machine has hits of that time that are not stored yet: the destruction waits for them."""


@dataclass(frozen=True)
class Means:
    """What a destruction works with. `fence` is called in each transaction, `progress` with each step: either may raise
    to end the work. For one thread.
    """

    services: Services
    connection: BlockConnection
    form: SchemaForm
    now_ms: Callable[[], int]
    fence: Callable[[Session], None]
    progress: Callable[[str], None]
    pause: Callable[[float], None]


def due_sites(session: Session, now_ms: int) -> Sequence[int]:
    """Sites whose grace is over, and those whose destruction has begun: the longest overdue first."""
    due = (Site.state == "deleting") & (Site.deleted_at_ms <= now_ms - DELETION_GRACE_MS)
    begun = select(Destruction.site_id).where(Destruction.ended_at_ms.is_(None))
    wanted = select(Site.site_id).where(due | Site.site_id.in_(begun)).order_by(Site.deleted_at_ms, Site.site_id)
    return session.execute(wanted.limit(MOST_SITES)).scalars().all()


def destroy_site(means: Means, site_id: int) -> bool:
    """Destroy a site as far as it is not yet; whether it is destroyed now. False: its deletion was taken back.

    Raises `HitsUnderWay`, `MutationFailed`, and what the stores raise. Safe to repeat, and after any of them.
    """
    row = _begin(means, site_id)
    if row is None:
        return False
    if row.ended_at_ms is not None:
        return True
    if row.rows_gone_at_ms is None:
        _wait_for_spools(means, row.until_ms)
        _destroy_rows(means, row)
    means.progress("quarantine")
    purge(Quarantine(means.services.settings.quarantine_dir), [site_id])
    _finish(means, site_id)
    return True


def find_late_rows(means: Means) -> list[int]:
    """Destroyed sites of which rows came since: their destruction begins once more."""
    now_ms = means.now_ms()
    with reading(means.services.engine) as session:
        lately = select(Destruction.site_id).where(Destruction.ended_at_ms >= now_ms - LATE_FOR_MS)
        site_ids = list(session.execute(lately.order_by(Destruction.ended_at_ms.desc())).scalars())
    found: list[int] = []
    for start in range(0, len(site_ids), MOST_SITES):
        found += sites_with_rows(means.connection, means.form, site_ids[start : start + MOST_SITES])
    if found:
        again = update(Destruction).where(Destruction.site_id.in_(found))
        with writing(means.services.engine) as session:
            means.fence(session)
            session.execute(again.values(until_ms=now_ms, number=None, rows_gone_at_ms=None, ended_at_ms=None))
    return found


def tables_about(column: str) -> list[Table]:
    """Every table of the app database whose rows belong to what this column names, those that refer to others first."""
    return [
        table for table in reversed(Base.metadata.sorted_tables) if column in table.columns and table.name not in _KEPT
    ]


def _begin(means: Means, site_id: int) -> Destruction | None:
    with writing(means.services.engine) as session:
        means.fence(session)
        site = session.get_one(Site, site_id, with_for_update=True)
        row = session.get(Destruction, site_id)
        if row is None:
            if site.state != "deleting":
                return None
            now_ms = means.now_ms()
            row = Destruction(site_id=site_id, began_at_ms=now_ms, until_ms=now_ms)
            session.add(row)
            # Nobody takes it back any more, and no day of it is closed.
            site.state = "destroyed"
            bump_version(session)
        return row


def _wait_for_spools(means: Means, until_ms: int) -> None:
    """Return when every hit from before is stored. No watermark at all: no process takes hits."""
    for _ in range(WATERMARK_POLLS):
        watermark_ms = minimum_watermark(means.services.engine)
        if watermark_ms is None or watermark_ms > until_ms:
            return
        means.progress("waiting for hits that are under way")
        means.pause(WATERMARK_POLL_S)
    raise HitsUnderWay(f"hits from before {time_text(until_ms)} are not stored yet")


def _settle_moves(means: Means, site_id: int) -> None:
    """Rows that are on their way between retention classes come back to their table first, where they are counted."""
    with reading(means.services.engine) as session:
        moves = list(session.execute(select(RetentionMove).where(RetentionMove.site_id == site_id)).scalars())
    for move in moves:
        mover = Mover(means.connection, means.progress)
        (table,) = [table for table in class_tables(means.connection) if table.name == move.store_table]
        settle_move(mover, table, move)
    with writing(means.services.engine) as session:
        means.fence(session)
        session.execute(delete(RetentionMove).where(RetentionMove.site_id == site_id))


def _destroy_rows(means: Means, row: Destruction) -> None:
    _settle_moves(means, row.site_id)
    number = row.number
    if number is None:
        number = next_number(means.connection, row.site_id)
        # Kept: a repetition that took another number would post the same rows twice.
        _note(means, row.site_id, number=number)

    def forget_closed_days() -> None:
        with writing(means.services.engine) as session:
            means.fence(session)
            for model in (ClosedDay, ClosedMonth, OpenDay):
                session.execute(delete(model).where(model.site_id == row.site_id))
            means.services.cache.invalidate(closed_topic(row.site_id), session)

    def progress(done: int, total: int, what: str) -> None:
        means.progress(f"site {row.site_id}: {what}, {done} of {total}")

    rows = RowsOfSite(means.connection, means.form, row.site_id, row.until_ms // 1000, number, progress)
    rows.destroy(forget_closed_days)
    _note(means, row.site_id, rows_gone_at_ms=means.now_ms())


def _note(means: Means, site_id: int, **values: int) -> None:
    with writing(means.services.engine) as session:
        means.fence(session)
        session.execute(update(Destruction).where(Destruction.site_id == site_id).values(**values))


def _finish(means: Means, site_id: int) -> None:
    services = means.services
    means.progress("what was set up")
    with writing(services.engine) as session:
        means.fence(session)
        site = session.get_one(Site, site_id, with_for_update=True)
        row = session.get_one(Destruction, site_id)
        for import_id in session.execute(select(Import.import_id).where(Import.site_id == site_id)).scalars():
            upload_path(services.settings, import_id).unlink(missing_ok=True)
        for table in tables_about("site_id"):
            session.execute(delete(table).where(table.c.site_id == site_id))
        row.ended_at_ms = means.now_ms()
        row.backups_until_ms = last_expiry(session, means.services.settings, row.ended_at_ms)
        until = "" if row.backups_until_ms is None else time_text(row.backups_until_ms)
        log(session, site, Action.SITE_DESTROYED, None, backups_until=until)
        # The name is free again. No domain has such a one, and the audit log keeps what it was.
        site.domain, site.former_domain = f"destroyed #{site_id}", ""
        site.allowed_hostnames, site.blocked_networks, site.embed_origins = [], [], []
        site.blocked_countries, site.blocked_paths = [], []
        services.cache.invalidate(closed_topic(site_id), session)
        bump_version(session)
