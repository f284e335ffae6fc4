"""The commands `footfall backup key|create|list|verify|restore`.

Exit codes: 0 done; 1 something is wrong with the backup, its place or its key, or the installation is not as a restore
needs it (one line on standard error says what to do); 2 a wrong option or setting.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from server.config import Settings, load_settings
from server.logs import first_line, start_logging

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from server.backups.manifest import Manifest

EXIT_DAMAGED = 1
"""`verify` found something."""

Progress = Callable[[int, int, str], None]


@click.group("backup")
def backup_group() -> None:
    """Encrypted copies of everything, kept elsewhere (FOOTFALL_BACKUP_TARGET), and bringing them back."""


@backup_group.command("key")
def key_command() -> None:
    """Make a key, to be set as FOOTFALL_BACKUP_KEY."""
    from server.backups.key import new_key

    click.echo(new_key())
    click.echo(
        "Set it as FOOTFALL_BACKUP_KEY (or put it in a file and set FOOTFALL_BACKUP_KEY_FILE), and keep a copy where "
        "this machine's loss does not reach it. It is stored nowhere else: whoever loses it has lost every backup made "
        "with it.",
        err=True,
    )


@backup_group.command("create")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def create_command(as_json: bool) -> None:
    """Make a backup now, then remove those that are over. Works beside a running `serve`."""
    from server.backups.session import back_up
    from server.clock import now_ms

    settings = load_settings()
    began_s = time.monotonic()
    with telling(), _app_database(settings) as engine, progress_bar("rows") as progress:
        made, expired = back_up(settings, engine, now_ms, progress)
    manifest = made.manifest
    said = {
        "backup_id": manifest.backup_id,
        "rows": manifest.rows,
        "partitions": len(manifest.partitions),
        "copied_partitions": made.copied_partitions,
        "file_bytes": manifest.file_bytes,
        "new_bytes": made.new_bytes,
        "removed_backups": expired.backups,
        "seconds": round(time.monotonic() - began_s, 1),
        "notes": [*made.notes, *_unreadable(expired.unreadable)],
    }
    if as_json:
        click.echo(json.dumps(said))
        return
    click.echo(
        f"{manifest.backup_id}: {manifest.rows:,} rows in {len(manifest.partitions)} partitions, "
        f"{made.copied_partitions} of them copied ({_mib(made.new_bytes)}), {said['seconds']} s"
    )
    if expired.backups:
        click.echo(f"{expired.backups} backups were over and are removed")
    for note in made.notes + _unreadable(expired.unreadable):
        click.echo(f"Note: {note}", err=True)


@backup_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for programs.")
def list_command(as_json: bool) -> None:
    """List the backups, oldest first, and when they will be removed."""
    from server.backups.errors import BackupError, TargetRefused, TargetUnavailable
    from server.backups.key import load_key
    from server.backups.manifest import backup_ids, id_time_ms, load_manifest
    from server.backups.register import expires_at_ms
    from server.backups.target import open_target
    from server.clock import time_text

    settings = load_settings()
    lines: list[dict[str, Any]] = []
    with telling():
        target, key = open_target(settings), load_key(settings)
        for backup_id in backup_ids(target):
            expires_ms = expires_at_ms(settings, id_time_ms(backup_id))
            line: dict[str, Any] = {"backup_id": backup_id, "expires_at_ms": expires_ms, "problem": ""}
            try:
                manifest = load_manifest(target, key, backup_id)
                line |= {"taken_at_ms": manifest.taken_at_ms, "rows": manifest.rows, "file_bytes": manifest.file_bytes}
            except (TargetRefused, TargetUnavailable):
                raise
            except BackupError as error:
                line |= {"taken_at_ms": id_time_ms(backup_id), "rows": 0, "file_bytes": 0, "problem": str(error)}
            lines.append(line)
    if as_json:
        click.echo(json.dumps(lines))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("backup", "of", "rows", "size", "removed after", "problem")
    for line in lines:
        taken, expires = time_text(line["taken_at_ms"]), time_text(line["expires_at_ms"])
        table.add_row(line["backup_id"], taken, f"{line['rows']:,}", _mib(line["file_bytes"]), expires, line["problem"])
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    click.echo(f"{len(lines)} backups in {target.name}")


@backup_group.command("verify")
@click.argument("backup", default="")
@click.option("--quick", is_flag=True, help="Only hash the files: finds damage, but opens nothing.")
def verify_command(backup: str, quick: bool) -> None:
    """Read a backup (the newest, or by id) whole and hold it against its manifest; exit 1 if anything is wrong."""
    from server.backups.verification import verify

    settings = load_settings()
    with telling(), progress_bar("bytes") as progress:
        target, key, manifest = _chosen(settings, backup)
        found = verify(target, key, manifest, progress, is_quick=quick)
    for problem in found.problems:
        click.echo(problem, err=True)
    verdict = "DAMAGED" if found.problems else "OK"
    opened = "hashed" if quick else "decrypted and checked"
    click.echo(
        f"{verdict} {manifest.backup_id}: {found.objects} of {len(manifest.objects)} objects {opened}, "
        f"{found.rows:,} rows, {_mib(found.file_bytes)}"
    )
    if found.problems:
        sys.exit(EXIT_DAMAGED)


@backup_group.command("restore")
@click.argument("backup", default="")
@click.option("--replace", "replaces", is_flag=True, help="Delete what this installation has first.")
def restore_command(backup: str, replaces: bool) -> None:
    """Bring a backup (the newest, or by id) back into a fresh installation. Call it again when it was cut short."""
    from sqlalchemy.exc import SQLAlchemyError

    from server.app_database import open_app_database
    from server.backups.restoring import Restorer
    from server.clock import now_ms
    from server.data_folder import prepare_data_folder
    from server.embedded import home_folder, is_served
    from server.store import open_store

    settings = load_settings()
    began_s = time.monotonic()
    with telling():
        target, key, manifest = _chosen(settings, backup)
        prepare_data_folder(settings)
        if not settings.clickhouse_url and is_served(home_folder(settings.data_dir)):
            raise click.ClickException(f"something runs in {settings.data_dir}: stop `footfall serve` first")
        engine = open_app_database(settings)
        try:
            with open_store(settings) as store, progress_bar("rows") as progress:
                restored = Restorer(settings, engine, store, target, key, manifest, now_ms, progress).restore(
                    replaces=replaces
                )
        except SQLAlchemyError as error:
            raise click.ClickException(f"the app database does not take it: {first_line(error)}") from None
        finally:
            engine.dispose()
    click.echo(
        f"restored {manifest.backup_id}: {restored.rows:,} rows in {len(manifest.partitions)} partitions and "
        f"{restored.app_rows:,} of the app database, in {time.monotonic() - began_s:.1f} s"
    )
    for note in restored.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(
        "Everybody has to log in again, and what happened after the backup is lost. Start `footfall serve`.", err=True
    )


def _chosen(settings: Settings, asked: str) -> tuple[Any, Any, Manifest]:
    from server.backups.key import load_key
    from server.backups.manifest import chosen_id, load_manifest
    from server.backups.target import open_target

    target, key = open_target(settings), load_key(settings)
    return target, key, load_manifest(target, key, chosen_id(target, asked))


@contextmanager
def _app_database(settings: Settings) -> Iterator[Engine]:
    from sqlalchemy.exc import SQLAlchemyError

    from server.app_database import migrate_app_database, open_app_database
    from server.data_folder import prepare_data_folder

    prepare_data_folder(settings)
    engine = open_app_database(settings)
    try:
        migrate_app_database(settings, engine)
        yield engine
    except SQLAlchemyError as error:
        raise click.ClickException(f"the app database does not answer: {first_line(error)}") from None
    finally:
        engine.dispose()


@contextmanager
def telling() -> Iterator[None]:
    """What is wrong with a backup becomes one line and exit code 1; so does a store that does not answer."""
    from clickhouse_driver.errors import Error as StoreError

    from server.backups.errors import BackupError

    start_logging("error", sys.stderr)
    try:
        yield
    except BackupError as error:
        raise click.ClickException(str(error)) from None
    except (StoreError, ConnectionError, TimeoutError, EOFError) as error:
        raise click.ClickException(f"ClickHouse does not answer as it should: {first_line(error)}") from None


@contextmanager
def progress_bar(unit: str) -> Iterator[Progress]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        shown = progress.add_task(unit, total=None)
        yield lambda done, total, what: progress.update(
            shown, completed=done, total=total or None, description=what or unit
        )


def _unreadable(backup_ids: tuple[str, ...]) -> tuple[str, ...]:
    if not backup_ids:
        return ()
    return (
        f"{', '.join(backup_ids)} cannot be read with this key: until they are over, nothing that no other backup "
        "refers to is removed",
    )


def _mib(count: int) -> str:
    return f"{count / 1024 / 1024:,.1f} MiB"
