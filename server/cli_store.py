"""Commands about stored and unstored hits: `migrate`, `count`, `audit`, `spool inspect`, `spool drain`,
`spool replay`.

Each works beside a running `serve` and without one. `server.cli` adds them to the program; a wrong setting is reported
there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from server.app_database import migrate_app_database, open_app_database
from server.audit import NO_SITE, WHAT_TO_DO, AuditReport, audit
from server.config import Settings, load_settings
from server.migrate import pending
from server.quarantine import Quarantine
from server.queries import run_query
from server.segment_replay import DRAIN_PATIENCE_S, drain_spool, replay_files, replay_quarantine
from server.sites import destroyed_sites, find_site
from server.spool import inspect
from server.spool_drain import drain
from server.store import Store, open_store

EXIT_LAW_BROKEN = 1
"""`audit` found a difference."""
EXIT_NOT_ALL_SENT = 1
"""`spool replay` or `spool drain` left something."""


@click.command("migrate")
@click.option("--check", is_flag=True, help="Only list what would be applied; exit 1 if there is something.")
def migrate_command(check: bool) -> None:
    """Bring the ClickHouse schema up to date."""
    with open_store(load_settings()) as store:
        names = pending(store.addresses[0]()) if check else store.migrate()
    for name in names:
        click.echo(f"{'pending' if check else 'applied'} {name}")
    if not names:
        click.echo("the schema is up to date")
    if check and names:
        sys.exit(1)


@click.command("count")
@click.option("--site", "sites", multiple=True, help="Only this site, by domain or id; may be given again.")
def count_command(sites: tuple[str, ...]) -> None:
    """Count the stored rows."""
    settings = load_settings()
    site_ids = [_site_id(settings, site) for site in sites]
    with open_store(settings) as store:
        store.migrate()
        connection = store.connection()
        try:
            rows = run_query(connection, "count_rows", site_ids=site_ids or [NO_SITE])
        finally:
            connection.close()
    table = Table("site", "kind", "rows", "first", "last")
    for site_id, kind, count, first, last in rows:
        table.add_row(str(site_id), kind, str(count), f"{first:%Y-%m-%d %H:%M:%S}", f"{last:%Y-%m-%d %H:%M:%S}")
    _console().print(table)
    click.echo(f"{sum(row[2] for row in rows)} rows")


@click.command("audit")
@click.option("--answered", type=int, help="How many hits are known to have been answered.")
def audit_command(answered: int | None) -> None:
    """Check that every answered hit is accounted for; exit 1 if not."""
    settings = load_settings()
    with open_store(settings) as store:
        store.migrate()
        connection = store.connection()
        try:
            report = audit(connection, settings.spool_root, Quarantine(settings.quarantine_dir), expected=answered)
        finally:
            connection.close()
    print_audit(report, _console())
    if not report.ok:
        sys.exit(EXIT_LAW_BROKEN)


def print_audit(report: AuditReport, console: Console) -> None:
    """The report as tables, and its verdict as the last line."""
    sites = Table("site", "answered", "stored", "dropped", "rejected", "in spool", "in quarantine", "")
    for site in report.sites:
        numbers = (site.answered, site.stored, site.dropped, site.rejected)
        held = (site.in_spool.total(), site.in_quarantine.total())
        sites.add_row(str(site.site_id or "none"), *map(str, (*numbers, *held)), "" if site.ok else "WRONG")
    if report.damaged:
        sites.add_row("damaged", str(report.damaged), "", "", "", "", str(report.damaged), "")
    console.print(sites)
    outcomes = Table("outcome", "hits")
    for label, hits in sorted(report.by_outcome.items(), key=lambda item: (-item[1], item[0])):
        outcomes.add_row(label, str(hits))
    console.print(outcomes)
    if report.problems:
        console.print(WHAT_TO_DO)
    for problem in report.problems:
        console.print(f"WRONG {problem}", soft_wrap=True)
    dropped = sum(site.dropped for site in report.sites)
    rejected = sum(site.rejected for site in report.sites)
    console.print(
        f"{'OK' if report.ok else 'WRONG'} {report.answered} answered = {report.stored} stored + {dropped} dropped "
        f"+ {rejected} rejected + {report.in_spool} in spool + {report.in_quarantine} in quarantine",
        soft_wrap=True,
    )


@click.group("spool")
def spool_group() -> None:
    """Hits that are answered and not stored yet."""


@spool_group.command("inspect")
def inspect_command() -> None:
    """Show the segments of every process, and the quarantine."""
    settings = load_settings()
    console = _console()
    table = Table("process", "segment", "state", "records", "bytes", "age", "shard", "month", "problem")
    reports = inspect(settings.spool_root)
    for folder in reports:
        for segment in folder.segments:
            lost = f"{segment.lost_records} lost " if segment.lost_records else ""
            torn = f"{segment.torn_tail_bytes} torn bytes " if segment.torn_tail_bytes and not segment.is_open else ""
            table.add_row(
                f"{folder.path.name[:8]} {'running' if folder.in_use else 'ended'}",
                segment.path.stem,
                "open" if segment.is_open else "sealed",
                str(segment.records),
                str(segment.file_bytes),
                f"{segment.age_s:.0f} s",
                str(segment.shard),
                str(segment.month),
                f"{lost}{torn}{segment.problem}".strip(),
            )
    console.print(table)
    kept = Quarantine(settings.quarantine_dir).entries()
    if kept:
        quarantine = Table("quarantined", "what", "records", "reason", "error")
        for entry in kept:
            what = "segment" if entry.is_segment else "damage"
            quarantine.add_row(entry.path.stem, what, str(entry.records), entry.reason, entry.error)
        console.print(quarantine)
    click.echo(
        f"{sum(folder.records for folder in reports)} records, {sum(folder.file_bytes for folder in reports)} bytes in "
        f"spool; {sum(entry.records for entry in kept)} records in quarantine"
    )


@spool_group.command("drain")
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(0),
    default=DRAIN_PATIENCE_S,
    show_default=True,
    help="Seconds to try again while ClickHouse is away.",
)
def drain_command(patience_s: float) -> None:
    """Store what ended processes left. Exit 0: nothing is left, also in quarantine, and the data folder may go."""
    settings = load_settings()
    with open_store(settings) as store:
        drained = drain(settings, store, patience_s)
    click.echo(f"{drained.segments} segments with {drained.records} records stored")
    for line in drained.left:
        click.echo(f"left: {line}")
    if drained.left:
        sys.exit(EXIT_NOT_ALL_SENT)
    click.echo("the spool is empty")


@spool_group.command("replay")
@click.argument("segments", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--quarantine", "quarantined", is_flag=True, help="Send the quarantined segments.")
@click.option("--even-if-old", is_flag=True, help="Also segments over 7 days old, which may double what was stored.")
def replay_command(segments: tuple[Path, ...], quarantined: bool, even_if_old: bool) -> None:
    """Send segments again: the given files, the quarantine, or else what ended processes left."""
    settings = load_settings()
    with open_store(settings) as store:
        store.migrate()
        left = _replay(settings, store, segments, quarantined, even_if_old)
    if left:
        sys.exit(EXIT_NOT_ALL_SENT)


def _replay(settings: Settings, store: Store, segments: tuple[Path, ...], quarantined: bool, even_if_old: bool) -> int:
    """Returns how many segments could not be stored."""
    quarantine = Quarantine(settings.quarantine_dir)
    if not segments and not quarantined:
        flusher = drain_spool(settings.spool_root, quarantine, store.make_sink)
        counters = flusher.counters
        click.echo(f"{counters.segments} segments with {counters.records} records stored, {flusher.pending()} left")
        if flusher.last_failure is not None:
            click.echo(f"{flusher.last_failure.label}: {flusher.last_failure.message}")
        return flusher.pending() + counters.quarantined_segments
    left = 0
    how: dict[str, Any] = {"even_if_old": even_if_old, "destroyed_sites": _destroyed_sites(settings)}
    results = list(replay_files(segments, store.make_sink, **how))
    if quarantined:
        results += replay_quarantine(quarantine, store.make_sink, **how)
    for result in results:
        left += bool(result.problem)
        done = "was stored already" if result.found else "stored"
        click.echo(f"{result.path.stem} {result.records} records: {result.problem or done}")
    click.echo(f"{len(results) - left} segments stored, {left} left")
    return left


def _destroyed_sites(settings: Settings) -> frozenset[int]:
    engine = open_app_database(settings)
    try:
        migrate_app_database(settings, engine)
        return destroyed_sites(engine)
    finally:
        engine.dispose()


def _site_id(settings: Settings, site: str) -> int:
    """The id of a site that is named by its domain or its id."""
    if site.isdecimal():
        return int(site)
    engine = open_app_database(settings)
    try:
        found = find_site(engine, site)
    finally:
        engine.dispose()
    if found is None:
        raise click.BadParameter(f"there is no site {site!r}", param_hint="--site")
    return found.site_id


def _console() -> Console:
    """Tables keep their columns when the output is a file."""
    return Console(width=None if sys.stdout.isatty() else 160)
