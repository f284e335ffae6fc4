"""`footfall serve`: from an empty folder to a running server.

Order: sockets first (a taken port is said before anything is made) → data folder → app database and first site →
processes → ClickHouse and its tables, beside them. Hits are taken as soon as the processes run; they wait in the spool
until the tables are there. Later starts have a saved snapshot: the processes start at once, and an app database that is
away is waited for instead of refused.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import click
from sqlalchemy.exc import SQLAlchemyError

from server.accounts.keys import keep_api_key
from server.accounts.users import first_run_link, make_first_run_token
from server.app_database import migrate_app_database, open_app_database
from server.clock import now_ms
from server.config import PREFIX, SettingError, Settings, masked
from server.data_folder import local_key, prepare_data_folder
from server.embedded import EmbeddedClickHouse, EmbeddedUnavailable, find_engine, home_folder
from server.logs import first_line
from server.retry import Backoff
from server.salts import keep_salts
from server.sites import FIRST_ACCOUNT_ID, add_site, list_sites
from server.snapshot import SAVED_NAME
from server.snippet import read_line, send_line, snippet
from server.store import configured_store
from server.supervisor import Supervisor

log = logging.getLogger(__name__)

# Between two attempts at an app database that was away at the start.
APP_DATABASE_RETRY_S = 2.0


def serve(settings: Settings) -> int:
    """Run until stopped; the exit status. Raises `SettingError` for what cannot be started."""
    store = configured_store(settings)
    supervisor = Supervisor(settings)
    prepare_data_folder(settings)
    make_embedded = None
    if not settings.clickhouse_url:
        try:
            engine_to_run = find_engine(settings.chdb_library)
        except EmbeddedUnavailable as error:
            raise SettingError(f"{PREFIX}CLICKHOUSE_URL", "", f"a ClickHouse to use ({error})") from None
        make_embedded = partial(EmbeddedClickHouse, home_folder(settings.data_dir), engine_to_run)
    preparer = StorePreparer(make_embedded, store.migrate)
    try:
        return asyncio.run(_run(settings, supervisor, preparer))
    finally:
        preparer.stop()


@dataclass(frozen=True)
class Prepared:
    """What a person is shown: a site's domain, and the link that makes the owner while there is nobody."""

    domain: str
    first_run_link: str | None


def prepare_app_database(settings: Settings) -> Prepared:
    """Migrate, make the first site with its salts and key. Raises `SettingError`."""
    engine = open_app_database(settings)
    try:
        migrate_app_database(settings, engine)
        sites = list_sites(engine)
        if not sites:
            sites = [add_site(engine, settings.first_site_domain)]
        keep_api_key(engine, local_key(settings), "first start", FIRST_ACCOUNT_ID)
        keep_salts(engine, now_ms())
        token = make_first_run_token(engine, now_ms())
    except SQLAlchemyError as error:
        value = masked("app_database_url", settings.app_database_url)
        expected = f"a database that answers ({first_line(error)})"
        raise SettingError(f"{PREFIX}APP_DATABASE_URL", value, expected) from None
    finally:
        engine.dispose()
    domains = [site.domain for site in sites]
    domain = settings.first_site_domain if settings.first_site_domain in domains else domains[0]
    return Prepared(domain, None if token is None else first_run_link(settings, token))


class StorePreparer(threading.Thread):
    """Starts the embedded server if there is to be one and brings the schema up to date, however long that takes."""

    def __init__(
        self, make_embedded: Callable[[], EmbeddedClickHouse] | None, migrate: Callable[[], list[str]]
    ) -> None:
        super().__init__(name="store-preparer", daemon=True)
        self._make_embedded = make_embedded
        self._embedded: EmbeddedClickHouse | None = None
        self._migrate = migrate
        self._stopping = threading.Event()
        self.when_ready: Callable[[], None] = lambda: None

    def run(self) -> None:
        """Try until it works or `stop` is called."""
        backoff = Backoff(first_s=0.1, longest_s=10.0)
        while not self._stopping.is_set():
            try:
                self._start_embedded()
                applied = self._migrate()
            except Exception as error:  # whatever it is, hits wait in the spool and the next attempt may succeed
                delay_s = backoff.next_s()
                reason = {"reason": f"{type(error).__name__}: {first_line(error)}", "again_in_s": round(delay_s, 1)}
                log.warning("ClickHouse is not ready; hits wait in the spool", extra=reason)
                self._stopping.wait(delay_s)
            else:
                log.info("ClickHouse is ready", extra={"migrations": applied})
                self.when_ready()
                return

    def stop(self) -> None:
        """Do not try again, and end the embedded server."""
        self._stopping.set()
        if self._embedded is not None:
            self._embedded.stop()

    def _start_embedded(self) -> None:
        if self._make_embedded is None or self._embedded is not None:
            return
        embedded = self._make_embedded()
        self._embedded = embedded
        try:
            embedded.start()
        except EmbeddedUnavailable:
            self._embedded = None  # a server that did not start cannot be started again
            raise


async def _run(settings: Settings, supervisor: Supervisor, preparer: StorePreparer) -> int:
    loop = asyncio.get_running_loop()

    def when_ready() -> None:
        loop.call_soon_threadsafe(supervisor.store_ready)

    preparer.when_ready = when_ready
    preparer.start()
    if (settings.data_dir / SAVED_NAME).exists():
        preparing = loop.create_task(_prepare_when_there(settings))
    else:
        # A first start has nothing to work with yet: what is wrong is said, instead of waited for.
        preparing = loop.create_task(_prepare(settings))
        await preparing
    await supervisor.start()
    if not supervisor.is_stopping:
        click.echo(banner(settings), err=True)
        preparing.add_done_callback(partial(_say_what_is_next, settings))
    await supervisor.run_until_stopped()
    preparing.cancel()
    return 0


def _say_what_is_next(settings: Settings, preparing: asyncio.Task[Prepared]) -> None:
    if not preparing.cancelled() and preparing.exception() is None:
        click.echo(next_steps(settings, preparing.result()), err=True)


async def _prepare(settings: Settings) -> Prepared:
    return await asyncio.to_thread(prepare_app_database, settings)


async def _prepare_when_there(settings: Settings) -> Prepared:
    """Prepare the app database as soon as it answers."""
    while True:
        try:
            return await _prepare(settings)
        except SettingError as error:
            log.warning("the app database is away; the saved snapshot is used", extra={"reason": str(error)})
            await asyncio.sleep(APP_DATABASE_RETRY_S)


def banner(settings: Settings) -> str:
    """What a person reads once the server runs. The JSON log is on standard output, this on standard error."""
    return f"\n  Footfall takes hits on http://{settings.host}:{settings.port}.\n"


def next_steps(settings: Settings, prepared: Prepared) -> str:
    """What a person reads once the app database is there."""
    owner = []
    if prepared.first_run_link is not None:
        owner = ["  Make the owner's account (the link works once):", f"    {prepared.first_run_link}"]
    return "\n".join(
        [
            *owner,
            f"  The snippet for {prepared.domain}, before </head>:",
            f"    {snippet(settings, prepared.domain)}",
            "  Send a hit:",
            f"    {send_line(settings, prepared.domain)}",
            "  Read it back:",
            f"    {read_line(settings, prepared.domain)}",
            "",
        ]
    )
