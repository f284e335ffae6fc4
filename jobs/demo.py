"""The command `footfall demo`: a site with a made-up year, closed and served, and its address.

Called again, it goes on from where the year ends. Beside a running `serve` it fills and leaves serving to that. While
it serves, the story goes on: the dashboard has somebody on it now.
Exit codes: those of `serve`; 0 with `--no-serve`.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from server.config import Settings, load_settings

if TYPE_CHECKING:
    from rich.progress import Progress

    from server.demo.session import DemoSession

log = logging.getLogger(__name__)

# How long the front may take until it answers; then the address is only printed.
ANSWERS_WITHIN_S = 30.0
LOOK_S = 0.1

# While it serves, the story is told on so often.
TOLD_ON_S = 15.0


@click.command("demo")
@click.option("--host", help="Address that takes hits and shows pages.")
@click.option("--port", type=int, help="Port of it.")
@click.option("--data-dir", help="Folder of the spool and the embedded stores.")
@click.option(
    "--scale",
    type=click.FloatRange(0.01, 100),
    default=1.0,
    show_default=True,
    help="So many times the usual 1.7 million events; taken when the demo is made.",
)
@click.option("--serve/--no-serve", "serves", default=True, help="Serve when it is filled.")
def demo_command(scale: float, serves: bool, **options: Any) -> None:
    """Fill a site with a made-up year up to now, and show it."""
    from server.demo.session import is_serving
    from server.logs import start_logging
    from server.serve import serve

    settings = load_settings(**options)
    serves = serves and not is_serving(settings)
    start_logging("error" if not serves else settings.log_level, sys.stderr)
    path = fill_demo(settings, scale)
    address = settings.snippet_base + path
    click.echo(f"The demo's dashboard: {address}")
    if not serves:
        return
    for name, target, given in (
        ("demo-opener", _show_when_it_answers, (settings, address)),
        ("demo-teller", _tell_on, (settings,)),
    ):
        threading.Thread(target=target, args=given, name=name, daemon=True).start()
    sys.exit(serve(settings))


def fill_demo(settings: Settings, scale: float) -> str:
    """Fill it and close its days; the path of its dashboard. Raises `click.ClickException` in one line."""
    from server.clock import now_ms
    from server.demo.session import open_demo

    began_s = time.monotonic()
    with _bar() as bar, open_demo(settings, scale) as session:
        telling = bar.add_task("telling the year", total=None)
        filled = session.fill(
            now_ms(), lambda done_ms, total_ms: bar.update(telling, completed=done_ms, total=total_ms)
        )
        demo = session.demo
        closing = bar.add_task("closing its days", total=filled.rows or None)
        days = close_demo(session, lambda rows, message: bar.update(closing, completed=rows))
        bar.update(closing, completed=filled.rows or 1, total=filled.rows or 1)
    seconds = time.monotonic() - began_s
    click.echo(f"{demo.domain}: {filled.rows:,} new events, {days} days closed, in {seconds:.0f} s")
    return demo.share_path


def close_demo(session: DemoSession, progress: Callable[[int, str], None]) -> int:
    """Close the demo's days that have ended and are not closed yet; how many. Raises what the stores raise."""
    from jobs.closing_chunk import Closer
    from jobs.closing_days import due_groups
    from jobs.job import Shard
    from server.app_database import reading
    from server.clock import now_ms

    services = session.services
    with reading(services.engine) as app_session:
        groups = due_groups(app_session, Shard(), now_ms(), [session.demo.site_id])
    closer = Closer(services, session.connection, now_ms, progress=progress)
    for group in groups:
        closer.close(group)
    return closer.days


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield progress


def _tell_on(settings: Settings) -> None:
    """Keep the demo up to the present moment. What goes wrong is said, and tried again."""
    from server.clock import now_ms
    from server.demo.session import open_demo

    while True:
        time.sleep(TOLD_ON_S)
        if not _has_store(settings):
            continue  # a session of ours would start a server of its own
        try:
            with open_demo(settings, 1.0) as session:
                session.fill(now_ms(), lambda done_ms, total_ms: None)
        except Exception as error:  # whatever it is, the next time may go better, and nobody's hits depend on it
            if _has_store(settings):
                log.warning("the demo was not told on", extra={"reason": type(error).__name__})


def _has_store(settings: Settings) -> bool:
    """Whether `serve` has its store, which it starts after everything else and stops at its end."""
    from server.demo.session import is_serving

    return bool(settings.clickhouse_url) or is_serving(settings)


def _show_when_it_answers(settings: Settings, address: str) -> None:
    """Open the dashboard where there is a screen to open it on, and say the address below what `serve` says."""
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, settings.port), timeout=1.0).close()
            break
        except OSError:
            time.sleep(LOOK_S)
    time.sleep(1.0)  # what `serve` prints comes first
    click.echo(f"  The demo's dashboard:\n    {address}\n", err=True)
    has_screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if has_screen and sys.stderr.isatty():
        click.launch(address)
