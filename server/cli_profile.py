"""`footfall profile`: where the time goes, of a live process or of one question about figures."""

from __future__ import annotations

import cProfile
import json
import os
import time
from pathlib import Path
from typing import Any

import click

from server.clock import now_ms
from server.config import Settings, load_settings
from server.process_profile import ROLES, ProfileError, choose, record

DEFAULT_SECONDS = 30
DEFAULT_QUESTION = {
    "metrics": ["visitors", "visits", "pageviews", "bounce_rate", "visit_duration"],
    "date_range": "28d",
}
"""The headline of a dashboard's first look."""


@click.group("profile", invoke_without_command=True)
@click.option(
    "--seconds", type=click.IntRange(1, 600), default=DEFAULT_SECONDS, show_default=True, help="How long to sample."
)
@click.option("--pid", type=click.IntRange(1), help="The process.  [default: the first of --role]")
@click.option("--role", type=click.Choice(list(ROLES.values())), help="What the process does.  [default: any]")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The SVG.  [default: named by itself]")
@click.pass_context
def profile_group(context: click.Context, seconds: int, pid: int | None, role: str | None, output: Path | None) -> None:
    """Sample a live process and write a flame graph, an SVG for a browser."""
    if context.invoked_subcommand is not None:
        return
    try:
        if pid is None:
            process = choose(load_settings(), role)
            pid, role = process.pid, process.role
        output = output or Path(f"footfall-{role or 'process'}-{pid}-{time.strftime('%Y%m%dT%H%M%S')}.svg")
        click.echo(f"sampling process {pid} ({role or 'as asked'}) for {seconds} s", err=True)
        record(pid, seconds, output)
    except ProfileError as error:
        raise click.ClickException(str(error)) from None
    click.echo(str(output))


@profile_group.command("query")
@click.option("--site", help="Domain of the site.  [default: the question's site_id]")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("footfall-query.prof"),
    show_default=True,
    help="The profile, for `snakeviz` or `python -m pstats`.",
)
@click.argument("question", required=False)
def query_command(site: str | None, output: Path, question: str | None) -> None:
    """Profile the answer to one question, given as to POST /api/v2/query, in JSON.

    Without a question: the headline figures of the last 28 days.
    """
    from server.queries.errors import QueryError, QueryFailed, QueryRefused

    try:
        asked = DEFAULT_QUESTION if question is None else json.loads(question)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"no JSON: {error}", param_hint="QUESTION") from None
    if not isinstance(asked, dict):
        raise click.BadParameter("a JSON object is needed", param_hint="QUESTION")
    domain = site or asked.get("site_id")
    if not isinstance(domain, str):
        raise click.BadParameter("the domain of a site is needed", param_hint="--site")
    try:
        document, seconds = _profiled(load_settings(), domain, {**asked, "site_id": domain}, output)
    except (QueryError, QueryRefused, QueryFailed) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{len(document['results'])} rows in {seconds:.3f} s; `snakeviz {output}` shows where they went")


def _profiled(settings: Settings, domain: str, asked: dict[str, Any], output: Path) -> tuple[dict[str, Any], float]:
    """The answer's document and what it took. Its profile is in the file afterwards, also when it fails."""
    from server.queries.engine import StatsEngine
    from server.queries.event_reader import EventReader
    from server.queries.parsing import parse_query
    from server.services import open_services
    from server.sites import find_site
    from server.store import open_store

    services = open_services(settings)
    try:
        found = find_site(services.engine, domain)
        if found is None:
            raise click.BadParameter(f"there is no site {domain!r}", param_hint="--site")
        with open_store(settings) as store:
            reader = EventReader(store.addresses[0])
            engine = StatsEngine(services.engine, reader)
            profile = cProfile.Profile()
            started_s = time.monotonic()
            profile.enable()
            try:
                at_ms = now_ms()
                facts = engine.site_facts(found, at_ms, document=asked)
                document = engine.document(parse_query(asked, facts), asked, at_ms)
            finally:
                profile.disable()
                seconds = time.monotonic() - started_s
                profile.dump_stats(os.fspath(output))
                reader.close()
            return document, seconds
    finally:
        services.close()
