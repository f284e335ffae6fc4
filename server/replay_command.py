"""What `footfall replay` shows: a progress bar while lines go out, then the closing account.

Where no Footfall answers, one is started for the length of the replay, on a free port and with the same settings and
data folder: its graceful stop seals and flushes what was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from server.config import Settings, child_environment
from server.loopback_port import free_port
from server.replay import (
    DEFAULT_CONNECTIONS,
    DEFAULT_PATIENCE_S,
    Account,
    Replay,
    ReplayError,
    Target,
    log_lines,
    open_log,
    require_trust,
)

# A first start migrates and starts the embedded ClickHouse: seconds. Longer than this, something is wrong.
START_DEADLINE_S = 60.0

# Beyond the server's own grace period for a stop.
STOP_MARGIN_S = 15.0


def only_site(settings: Settings) -> str:
    """The domain of the only site. Raises ReplayError where there are several."""
    from server.app_database import migrate_app_database, open_app_database
    from server.data_folder import prepare_data_folder
    from server.sites import list_sites

    prepare_data_folder(settings)
    engine = open_app_database(settings)
    try:
        migrate_app_database(settings, engine)
        domains = [site.domain for site in list_sites(engine)]
    finally:
        engine.dispose()
    if len(domains) > 1:
        raise ReplayError(f"say whose hits these are with --site: {', '.join(domains[:10])}")
    # Without a site the server that is started for the replay makes its first one.
    return domains[0] if domains else settings.first_site_domain


def replay_log(
    name: str,
    target: Target,
    *,
    console: Console,
    connections: int = DEFAULT_CONNECTIONS,
    patience_s: float = DEFAULT_PATIENCE_S,
    all_requests: bool = False,
    one_visitor: bool = False,
) -> Account:
    """Replay the log `name` (`-`: standard input) and print the account. Raises ReplayError when nothing was sent."""
    if not one_visitor:
        asyncio.run(require_trust(target))
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[lines]:,} lines"), TimeElapsedColumn())
    with open_log(name) as (file, size_bytes), Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=size_bytes, lines=0)
        replay = Replay(target, connections, patience_s, all_requests=all_requests)

        def show_line() -> None:
            # Position in the file as stored: of a gzipped log, the compressed bytes read so far.
            done_bytes = file.tell() if size_bytes is not None else None
            progress.update(bar, completed=done_bytes, lines=replay.account.lines)

        replay.on_line = show_line
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(replay.run(log_lines(file)))
    print_account(replay.account, console)
    return replay.account


def print_account(account: Account, console: Console) -> None:
    """The closing account: each line of the log stands in one row of its first part."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for label, count in account.rows():
        table.add_row(label, f"{count:,}")
    console.print(table)
    for number, reason in account.malformed:
        console.print(f"line {number}: {reason}", markup=False, highlight=False)
    unnamed = account.skipped["malformed"] - len(account.malformed)
    if unnamed > 0:
        console.print(f"and {unnamed:,} more malformed lines", highlight=False)
    if account.read_error:
        console.print(account.read_error, markup=False, highlight=False)


def exit_code(account: Account) -> int:
    """0 when the whole log was read and every hit that was sent has its answer."""
    return 1 if account.unanswered or account.read_error else 0


@contextlib.contextmanager
def server_for_replay(settings: Settings) -> Iterator[str]:
    """The base URL of this machine's Footfall: the running one, else one started for the block."""
    configured = f"http://{settings.host}:{settings.port}"
    if is_ready(configured):
        yield configured
        return
    port, internal_port = free_port(), free_port()
    ours = {
        "host": "127.0.0.1",
        "port": port,
        "internal_port": internal_port,
        "processes": 1,
        "trusted_proxies": "127.0.0.1",
    }
    environment = child_environment(settings.model_copy(update=ours), os.environ)
    with tempfile.TemporaryFile() as output:
        command = [sys.executable, "-m", "server.cli", "serve"]
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            started = f"http://127.0.0.1:{port}"
            wait_until_ready(child, started)
            yield started
        except NotStartedError as error:
            output.seek(0)
            last = "".join(output.read().decode("utf-8", "replace").strip().splitlines()[-1:])
            raise ReplayError(
                f"no Footfall answers at {configured}, and none could be started: {error} {last}"
            ) from None
        finally:
            stop(child, settings.stop_grace_s + STOP_MARGIN_S)


class NotStartedError(RuntimeError):
    """The server that was started for a replay ended or did not become ready in time. It is stopped by the caller."""


def wait_until_ready(child: subprocess.Popen[bytes], base_url: str) -> None:
    """Return once the server takes hits. Raises NotStartedError."""
    deadline = time.monotonic() + START_DEADLINE_S
    while not is_ready(base_url):
        if child.poll() is not None:
            raise NotStartedError(f"it ended with exit code {child.returncode}.")
        if time.monotonic() > deadline:
            raise NotStartedError(f"it was not ready after {START_DEADLINE_S:g} s.")
        time.sleep(0.1)


def is_ready(base_url: str) -> bool:
    """Whether a Footfall answers there and takes hits."""
    try:
        ready = urlopen(f"{base_url.rstrip('/')}/readyz", timeout=2)  # noqa: S310 - the operator's own address
        with ready as answer:
            return bool(answer.status == 200)
    except (URLError, OSError, ValueError):
        return False


def stop(child: subprocess.Popen[bytes], deadline_s: float) -> None:
    """Ask for a graceful stop; what is still in the spool then waits for the next start."""
    child.terminate()
    try:
        child.wait(deadline_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
