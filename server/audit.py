"""The law of accounting: every answered hit is stored, dropped or rejected for a reason, in the spool or in quarantine.

    answered = stored + dropped(reason) + rejected(reason) + in spool + in quarantine

per site and in total. `ledger` says what was answered and left the spool; segments and quarantine say what has not.
The law holds when `events` has exactly the rows that `ledger` calls accepted, less those that it calls destroyed
(`server.destruction`), for each site and each batch, and, if the caller knows how many hits were answered, when the
sum is that number.

The audit is exact beside a running `serve`: it lists the segments first, then looks only at batches that are not among
them and older than the listing, which nobody changes any more. Rows past their retention class's shortest time are left
out on both sides.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from core_ext.native import OUTCOME_LABELS
from server.app_database import reading
from server.batch import SEALED_SUFFIX, UnreadableSegment, prepare
from server.clickhouse_tcp import BlockConnection
from server.config import Settings
from server.data_folder import home_id
from server.migrate import RETENTION_DAYS
from server.models import RetentionMove, Watermark
from server.quarantine import Quarantine
from server.queries import run_query
from server.spool import folders, is_in_use, segment_files
from server.store import open_store

ACCEPTED_LABEL = OUTCOME_LABELS[0]
DESTROYED_LABEL = "destroyed"
"""Lines that `server.destruction` posts; no outcome of a hit."""
FIRST_REJECTED_CODE = 100
"""Outcome codes from here on are rejections: rust_ext/ingest/src/drop_reason.rs."""
REJECTED_LABELS = frozenset(label for code, label in OUTCOME_LABELS.items() if code >= FIRST_REJECTED_CODE)
DAY_S = 24 * 3_600
WINDOW_S = (min(RETENTION_DAYS.values()) - 5) * DAY_S
"""Younger rows cannot have been dropped by retention; five days for parts that span a border."""
BATCHES_S = 7 * DAY_S - 3 * 3_600
"""batch_id lives 7 days; a line of `ledger` may have lost its own hours before the rows did."""
FAR_FUTURE_S = 2**32 - 1
"""The last second of DateTime: no upper bound."""
SETTLES_WITHIN_S = 15 * 60
"""A part of an import whose worker was killed between rows and counts is whole again within this time."""
WHAT_TO_DO = (
    "Fewer rows than hits: rows were lost or deleted after they were stored. `footfall spool inspect` shows whether a "
    "segment still has them, `footfall spool replay` sends it again without doubling; else restore the month of the "
    "day from a backup. More rows than hits: something was stored twice or by hand."
)
"""What an operator does about a gap."""
SETTLING_LOOKS = 4
"""Beside a running `serve` the present second's batches are left out, so an expected number may need another look."""
SETTLING_WAIT_S = 1.0
NO_SITE = 0
"""Records whose site is not known: unknown sites, and damage."""


@dataclass(slots=True)
class SiteAccount:
    """One site's hits. Each counter is by outcome label."""

    site_id: int
    answered_and_flushed: Counter[str] = field(default_factory=Counter)
    in_spool: Counter[str] = field(default_factory=Counter)
    in_quarantine: Counter[str] = field(default_factory=Counter)
    stored: int = 0
    destroyed: int = 0
    """Rows that were stored, and deleted since with their site's figures."""

    @property
    def accepted(self) -> int:
        """Flushed hits that must be rows."""
        return self.answered_and_flushed[ACCEPTED_LABEL]

    @property
    def dropped(self) -> int:
        """Flushed hits that the site's rules kept out."""
        return sum(
            count
            for label, count in self.answered_and_flushed.items()
            if label != ACCEPTED_LABEL and label not in REJECTED_LABELS
        )

    @property
    def rejected(self) -> int:
        """Flushed hits that were not valid."""
        return sum(count for label, count in self.answered_and_flushed.items() if label in REJECTED_LABELS)

    @property
    def answered(self) -> int:
        """All of them."""
        return self.answered_and_flushed.total() + self.in_spool.total() + self.in_quarantine.total()

    @property
    def ok(self) -> bool:
        """Whether the rows are those that were accepted, less those that were destroyed."""
        return self.stored == self.accepted - self.destroyed


@dataclass(slots=True)
class AuditReport:
    """The accounts of every site, and what is wrong."""

    sites: list[SiteAccount]
    damaged: int
    """Lost to damage: answered, quarantined as byte ranges or unreadable segments, of no known site."""
    expected: int | None
    problems: list[str]

    @property
    def answered(self) -> int:
        """All hits whose answer left a record."""
        return sum(site.answered for site in self.sites) + self.damaged

    @property
    def stored(self) -> int:
        """All rows."""
        return sum(site.stored for site in self.sites)

    @property
    def by_outcome(self) -> Counter[str]:
        """Flushed hits of all sites by outcome label."""
        return sum((site.answered_and_flushed for site in self.sites), Counter())

    @property
    def in_spool(self) -> int:
        """Hits in segments that are not stored yet."""
        return sum(site.in_spool.total() for site in self.sites)

    @property
    def in_quarantine(self) -> int:
        """Hits that are set aside, damage included."""
        return sum(site.in_quarantine.total() for site in self.sites) + self.damaged

    @property
    def ok(self) -> bool:
        """Whether the law holds."""
        return not self.problems


@dataclass(slots=True)
class _Unfinished:
    """What segments and quarantine hold."""

    batch_ids: set[str] = field(default_factory=set)
    damage_ids: set[str] = field(default_factory=set)
    in_spool: dict[int, Counter[str]] = field(default_factory=dict)
    in_quarantine: dict[int, Counter[str]] = field(default_factory=dict)
    damaged: int = 0
    problems: list[str] = field(default_factory=list)


def audit(
    connection: BlockConnection,
    spool_root: Path,
    quarantine: Quarantine,
    *,
    expected: int | None = None,
    complete_until_s: int = FAR_FUTURE_S,
    moves: Sequence[RetentionMove] = (),
) -> AuditReport:
    """Check the law. `expected`: how many hits the caller knows to have been answered.

    `complete_until_s`: younger batches may lie in spools of other machines, which nobody can look into from here.
    `moves`: months whose rows are counted where they are on their way to (`server.retention_moves`).
    """
    for _ in range(SETTLING_LOOKS):
        is_live = any(is_in_use(folder) for folder in folders(spool_root))
        report = _audit_once(connection, spool_root, quarantine, is_live, expected, complete_until_s, moves)
        if not is_live or expected is None or report.answered >= expected:
            break
        time.sleep(SETTLING_WAIT_S)
    return report


def audit_fleet(settings: Settings, engine: Engine) -> AuditReport:
    """Check the law on the configured store, as far as every machine that shares the app database has flushed.

    Raises what the stores raise when they are away.
    """
    others = select(func.min(Watermark.oldest_unflushed_at_ms)).where(Watermark.home_id != home_id(settings))
    switching = select(RetentionMove).where(RetentionMove.state == "switching", RetentionMove.shard == 0)
    with reading(engine) as session:
        oldest_ms = session.execute(others).scalar()
        moves = list(session.execute(switching.where(RetentionMove.store_table == "events")).scalars())
    # A batch's time is when its segment was opened, and the watermark is not beyond the oldest segment that is left.
    complete_until_s = FAR_FUTURE_S if oldest_ms is None else oldest_ms // 1000
    with open_store(settings) as store:
        connection = store.connection()
        try:
            quarantine = Quarantine(settings.quarantine_dir)
            return audit(connection, settings.spool_root, quarantine, complete_until_s=complete_until_s, moves=moves)
        finally:
            connection.close()


def _audit_once(
    connection: BlockConnection,
    spool_root: Path,
    quarantine: Quarantine,
    is_live: bool,
    expected: int | None,
    complete_until_s: int,
    moves: Sequence[RetentionMove],
) -> AuditReport:
    until_s = min(int(time.time()) if is_live else FAR_FUTURE_S, complete_until_s)
    unfinished = _list_unfinished(spool_root, quarantine)
    # An empty list would make `NOT IN ()`; no batch has this id.
    parameters = {
        "since_s": int(time.time()) - WINDOW_S,
        "batches_since_s": int(time.time()) - BATCHES_S,
        "until_s": until_s,
        # Imports and the demo have no spool: while their counts follow their rows, nothing else says so.
        "settled_s": until_s if until_s == FAR_FUTURE_S else until_s - SETTLES_WITHIN_S,
        "unfinished": sorted(unfinished.batch_ids) or ["-"],
    }
    accounts: dict[int, SiteAccount] = {}

    def account(site_id: int) -> SiteAccount:
        return accounts.setdefault(site_id, SiteAccount(site_id))

    for site_id, label, hits in run_query(connection, "audit_ledger", **parameters):
        if label == DESTROYED_LABEL:
            account(int(site_id)).destroyed += int(hits)
        else:
            account(int(site_id)).answered_and_flushed[str(label)] += int(hits)
    for site_id, rows in run_query(connection, "audit_events", **parameters):
        account(int(site_id)).stored = int(rows)
    on_their_way: set[str] = set()
    for move in moves:
        for batch_id, rows in _moving(connection, move, parameters):
            on_their_way.add(batch_id)
            account(move.site_id).stored += rows
    for site_id, counts in unfinished.in_spool.items():
        account(site_id).in_spool = counts
    for site_id, counts in unfinished.in_quarantine.items():
        account(site_id).in_quarantine = counts
    sites = [accounts[site_id] for site_id in sorted(accounts)]
    report = AuditReport(sites, unfinished.damaged, expected, unfinished.problems)
    report.problems += [
        f"site {site.site_id}: {site.stored} rows are stored, {site.accepted} hits were accepted"
        + (f", {site.destroyed} destroyed" if site.destroyed else "")
        for site in sites
        if not site.ok
    ]
    moving = {(move.site_id, str(move.month)) for move in moves}
    report.problems += [
        f"site {site_id}, {day}: {rows} rows are stored, {hits} hits were accepted"
        + (f", {gone} destroyed" if gone else "")
        for site_id, day, rows, hits, gone in run_query(connection, "audit_days", **parameters)
        if (int(site_id), str(day)[:7].replace("-", "")) not in moving
    ]
    report.problems += [
        f"batch {batch_id}: {rows} rows are stored, {hits} hits were accepted"
        for batch_id, rows, hits in run_query(connection, "audit_batches", **parameters)
        if batch_id not in on_their_way
    ]
    if expected is not None and report.answered != expected:
        report.problems.append(f"{expected} hits were answered, {report.answered} are accounted for")
    return report


def _moving(connection: BlockConnection, move: RetentionMove, parameters: dict[str, Any]) -> list[tuple[str, int]]:
    """By batch: rows that count in the staging table, less those that are still where they were."""
    where = {"site_id": move.site_id, "month": move.month, "from_class": move.from_class, "cutoff_s": move.cutoff}
    name = "audit_moving" if connection.select("EXISTS TABLE events_moving")[0][0] else "audit_moved"
    rows = run_query(connection, name, **where, **parameters)
    return [(str(batch_id), int(difference)) for batch_id, difference in rows]


def _list_unfinished(spool_root: Path, quarantine: Quarantine) -> _Unfinished:
    """Count every segment once, wherever it is: one may stand in the spool and in quarantine after a crash."""
    found = _Unfinished()
    entries = quarantine.entries()
    damage = [entry for entry in entries if not entry.is_segment]
    segments = {entry.path: entry.records for entry in entries if entry.is_segment}
    found.damaged = sum(entry.records for entry in damage)
    found.damage_ids = {entry.path.stem for entry in damage}
    in_spool = [path for folder in folders(spool_root) for path in segment_files(folder)]
    found.problems += [f"{path} cannot be read" for path in _count(found, in_spool, found.in_spool)]
    found.damaged += sum(segments[path] for path in _count(found, segments, found.in_quarantine))
    return found


def _count(found: _Unfinished, paths: Iterable[Path], counts: dict[int, Counter[str]]) -> set[Path]:
    """Add up the segments' records by site and outcome. Returns those that hold something and cannot be read."""
    unreadable = set()
    for path in paths:
        try:
            batch = prepare(path)
        except FileNotFoundError:
            # Stored since, or an open one that has been sealed under its final name.
            if (sealed := path.with_suffix(SEALED_SUFFIX)) != path and sealed.exists():
                unreadable |= _count(found, [sealed], counts)
            continue
        except UnreadableSegment as error:
            if error.records:
                unreadable.add(path)
            continue
        if batch.id in found.batch_ids:
            continue
        found.batch_ids.add(batch.id)
        if batch.id not in found.damage_ids:
            found.damaged += batch.lost_records
        for site_id, _hour_s, outcome, _bot_reasons, count in batch.entries:
            counts.setdefault(site_id, Counter())[OUTCOME_LABELS[outcome]] += count
    return unreadable
