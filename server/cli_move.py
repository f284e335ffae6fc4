"""The command `footfall move`.

Exit codes: 0 done; 1 it cannot be moved, or not now (one line on standard error says why); 2 a wrong option or setting.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from server.cli_backup import progress_bar, telling
from server.config import PREFIX, load_settings
from server.logs import first_line


@click.command("move")
@click.argument("settings_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--practise", "practises", is_flag=True, help="Copy beside a running `serve`, to see how long it takes.")
@click.option("--replace", "replaces", is_flag=True, help="Delete what the new stores have first.")
def move_command(settings_file: Path, *, practises: bool, replaces: bool) -> None:
    """Move everything that is stored into the stores that SETTINGS_FILE names.

    It holds lines such as FOOTFALL_CLICKHOUSE_URL=… and FOOTFALL_APP_DATABASE_URL=…, as the new installation has them.
    Stop `footfall serve` first; what was answered and is not stored yet stays in the spool until it is started again.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from server.clock import now_ms
    from server.moving import MoveError, Mover, settings_there

    settings = load_settings()
    began_s = time.monotonic()
    with telling(), progress_bar("rows") as progress:
        try:
            there = settings_there(settings, settings_file)
            moved = Mover(settings, there, now_ms, progress).move(practises=practises, replaces=replaces)
        except MoveError as error:
            raise click.ClickException(str(error)) from None
        except SQLAlchemyError as error:
            raise click.ClickException(f"an app database does not take it: {first_line(error)}") from None
    for note in moved.notes:
        click.echo(f"Note: {note}", err=True)
    took = f"{moved.rows:,} rows and {moved.app_rows:,} of the app database, in {time.monotonic() - began_s:.1f} s"
    if practises:
        click.echo(
            f"copied {took}. Nothing has changed here; the real move needs --replace, and about as long or less."
        )
        return
    click.echo(f"moved {took}; {moved.waiting_hits:,} hits wait in the spool")
    click.echo(
        f"Now start `footfall serve` here with the settings of {settings_file}: it stores what waits, and takes hits "
        f"for the new stores until nobody sends any here. Where {PREFIX}SECRET_KEY is not set there yet, set it to what"
        f" is in {settings.data_dir / 'secret_key'}.",
        err=True,
    )
