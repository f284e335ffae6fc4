"""The program `footfall`. Commands live beside what they do; those that need much are imported when called.

Exit codes: 0 done, 1 the command found something wrong, 2 a wrong option or setting (one line on standard error).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from server import __version__
from server.config import Role, SettingError, Settings, load_settings, setting_lines, unknown_names
from server.logs import first_line, start_logging

# Commands of other modules: name → (module, attribute, first line of help).
LAZY_COMMANDS = {
    "migrate": ("server.cli_store", "migrate_command"),
    "count": ("server.cli_store", "count_command"),
    "audit": ("server.cli_store", "audit_command"),
    "spool": ("server.cli_store", "spool_group"),
    "replay": ("server.cli_replay", "replay_command"),
    "profile": ("server.cli_profile", "profile_group"),
    "users": ("server.cli_users", "users_group"),
    "backup": ("server.cli_backup", "backup_group"),
    "move": ("server.cli_move", "move_command"),
    "demo": ("jobs.demo", "demo_command"),
    "rebuild": ("jobs.rebuild", "rebuild_command"),
    "jobs": ("jobs.commands", "jobs_group"),
    "worker": ("jobs.commands", "worker_command"),
}


class Program(click.Group):
    """Imports a command's module only when the command is asked for, so that `footfall config` starts at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name."""
        return sorted({*super().list_commands(ctx), *LAZY_COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported if need be."""
        if cmd_name in LAZY_COMMANDS:
            module, attribute = LAZY_COMMANDS[cmd_name]
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="footfall")
def program() -> None:
    """Footfall: self-hosted web traffic and web performance analytics.

    Settings are environment variables; `footfall config` lists them.
    """


@program.command("serve")
@click.option("--host", help="Address that takes hits and shows pages.")
@click.option("--port", type=int, help="Port of it.")
@click.option("--processes", type=int, help="Processes that share the port.")
@click.option("--role", type=click.Choice([role.value for role in Role]), help="What the processes do.")
@click.option("--data-dir", help="Folder of the spool and the embedded stores.")
@click.option("--site", "first_site_domain", help="Domain of the site that the first start makes.")
def serve_command(**options: Any) -> None:
    """Take hits, store them, show pages. The first start makes the data folder and a first site."""
    from server.serve import serve

    settings = load_settings(**options)
    start_logging(settings.log_level)
    for line in unknown_names(os.environ):
        click.echo(line, err=True)
    sys.exit(serve(settings))


@program.command("config")
def config_command() -> None:
    """List every setting: name, value, default and what it means."""
    settings = load_settings()
    group = ""
    for line in setting_lines(settings):
        if line.group != group:
            group = line.group
            click.echo(f"\n# {group}")
        is_default = "" if line.value == line.default else f"   (default: {line.default or 'empty'})"
        click.echo(f"{line.name}={line.value}{is_default}\n    {line.meaning}; {line.allowed}")
    for text in unknown_names(os.environ):
        click.echo(text, err=True)


@program.group("sites")
def sites_group() -> None:
    """The sites whose hits are taken."""


@sites_group.command("add")
@click.argument("domain")
@click.option("--timezone", default="UTC", show_default=True, help="Time zone of its days, such as Europe/Berlin.")
def add_command(domain: str, timezone: str) -> None:
    """Add a site and print its snippet. A running server takes its hits within a second."""
    from server.sites import SiteError, add_site
    from server.snapshot import announce
    from server.snippet import snippet

    settings = load_settings()
    with_database = _database(settings)
    try:
        site = with_database(lambda engine: add_site(engine, domain, timezone))
    except SiteError as error:
        raise click.ClickException(str(error)) from None
    announce(settings)
    click.echo(f"{site.domain} {site.public_id}")
    click.echo(snippet(settings, site.domain))


@sites_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for programs.")
def list_command(as_json: bool) -> None:
    """List the sites with their ids."""
    from rich.console import Console
    from rich.table import Table

    from server.sites import list_sites

    settings = load_settings()
    sites = _database(settings)(list_sites)
    if as_json:
        names = ("site_id", "public_id", "domain", "timezone", "state")
        click.echo(json.dumps([{name: getattr(site, name) for name in names} for site in sites]))
        return
    table = Table("site", "id", "number", "time zone", "state")
    for site in sites:
        table.add_row(site.domain, site.public_id, str(site.site_id), site.timezone, site.state)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _database(settings: Settings) -> Callable[[Callable[[Any], Any]], Any]:
    """Runs a function on the migrated app database."""

    def run(work: Callable[[Any], Any]) -> Any:
        from sqlalchemy.exc import SQLAlchemyError

        from server.app_database import migrate_app_database, open_app_database
        from server.data_folder import prepare_data_folder

        prepare_data_folder(settings)
        engine = open_app_database(settings)
        try:
            migrate_app_database(settings, engine)
            return work(engine)
        except SQLAlchemyError as error:
            raise click.ClickException(f"the app database does not answer: {first_line(error)}") from None
        finally:
            engine.dispose()

    return run


def main() -> None:
    """The console script: a wrong setting is one line and exit code 2, a store that does not start is one and 1."""
    # clickhouse-driver otherwise tabulates 150,000 dates when it is imported: 90 ms and 20 MB in every process.
    os.environ.setdefault("CLICKHOUSE_DRIVER_LASY_DATE_LUT", "1")
    try:
        program(prog_name="footfall")
    except SettingError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except _store_unavailable() as error:
        click.echo(str(error), err=True)
        sys.exit(1)


def _store_unavailable() -> type[Exception]:
    """The embedded store's own error; imported only when something went wrong."""
    from server.embedded import EmbeddedUnavailable

    return EmbeddedUnavailable


if __name__ == "__main__":
    main()
