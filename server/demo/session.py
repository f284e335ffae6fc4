"""An installation opened for its demo: the app database and the tables, brought up to date, and the demo in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date

from server.accounts.keys import keep_api_key
from server.app_database import migrate_app_database, writing
from server.clickhouse_tcp import BlockConnection
from server.clock import now_ms as wall_clock_ms
from server.closed_days import closed_versions, mark_dirty
from server.config import Settings
from server.data_folder import local_key, prepare_data_folder
from server.demo.fill import Filled, Progress, fill
from server.demo.rows import Demo, prepare_demo
from server.embedded import home_folder, is_served
from server.salts import keep_salts
from server.services import Services, open_services
from server.sites import FIRST_ACCOUNT_ID, add_site, list_sites
from server.store import Store, open_store


@dataclass(frozen=True)
class DemoSession:
    """See the module. `demo`: as it stood when the session was opened."""

    services: Services
    store: Store
    connection: BlockConnection
    demo: Demo

    def fill(self, now_ms: int, progress: Progress) -> Filled:
        """Make the rows up to this moment that are not there yet; days that were closed before are closed again."""
        engine = self.services.engine
        filled = fill(engine, self.connection, self.store.form, self.demo, now_ms, progress)
        with writing(engine) as session:
            closed = closed_versions(session, self.demo.site_id, date.min, date.max)
            mark_dirty(session, self.demo.site_id, closed.keys() & set(filled.days), now_ms)
        return filled


@contextmanager
def open_demo(settings: Settings, scale: float) -> Iterator[DemoSession]:
    """The demo of this installation, beside a running `serve` or without one. Raises what the stores raise."""
    prepare_data_folder(settings)
    services = open_services(settings)
    engine = services.engine
    try:
        migrate_app_database(settings, engine)
        # What a first `serve` makes, so that a demo is not in its place.
        if not list_sites(engine):
            add_site(engine, settings.first_site_domain)
        keep_api_key(engine, local_key(settings), "first start", FIRST_ACCOUNT_ID)
        at_ms = wall_clock_ms()
        keep_salts(engine, at_ms)
        with open_store(settings) as store:
            store.migrate()
            with closing(store.connection()) as connection:
                yield DemoSession(services, store, connection, prepare_demo(engine, at_ms, scale))
    finally:
        services.close()


def is_serving(settings: Settings) -> bool:
    """Whether a `serve` or a command runs the embedded server of this data folder already."""
    return not settings.clickhouse_url and is_served(home_folder(settings.data_dir))
