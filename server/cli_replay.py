"""The command line of `footfall replay`."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import click

from server.config import load_settings
from server.replay import DEFAULT_CONNECTIONS, DEFAULT_PATIENCE_S


@click.command("replay")
@click.argument("file")
@click.option("--url", help="Base URL of the Footfall to send to.  [default: this machine's, started if need be]")
@click.option("--site", help="Domain of the site the hits are for.  [default: the only one there is]")
@click.option(
    "--connections", type=click.IntRange(1, 256), default=DEFAULT_CONNECTIONS, show_default=True, help="Hits at a time."
)
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(0),
    default=DEFAULT_PATIENCE_S,
    show_default=True,
    help="Seconds to wait for a server that is gone.",
)
@click.option("--all-requests", is_flag=True, help="Send images, errors and other requests too, not only page views.")
@click.option("--one-visitor", is_flag=True, help="Send although all hits will seem to come from this machine.")
def replay_command(
    file: str,
    url: str | None,
    site: str | None,
    connections: int,
    patience_s: float,
    all_requests: bool,
    one_visitor: bool,
) -> None:
    """Send the page views of an access log (combined format, gzip too, `-` is standard input) as hits.

    Every line ends in one row of the closing account. Where no Footfall answers, one is started meanwhile.
    """
    from rich.console import Console

    from server.replay import ReplayError, Target
    from server.replay_command import exit_code, only_site, replay_log, server_for_replay

    settings = load_settings()
    console = Console(width=None if sys.stdout.isatty() else 100)
    try:
        domain = site or only_site(settings)
        with nullcontext(url) if url else server_for_replay(settings) as base_url:
            target = Target(base_url, domain, settings.forwarded_header)
            account = replay_log(
                file,
                target,
                console=console,
                connections=connections,
                patience_s=patience_s,
                all_requests=all_requests,
                one_visitor=one_visitor,
            )
    except (ReplayError, OSError) as error:
        raise click.ClickException(str(error)) from None
    sys.exit(exit_code(account))
