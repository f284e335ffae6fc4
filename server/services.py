"""What every process works with besides ClickHouse: the app database, the task queue, mail, alerts, cache, rate limits.

One `Services` per process, made by `open_services` and closed by its owner. Connects to nothing until it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Engine

import server.accounts.deletion
import server.accounts.users
import server.announcements
import server.billing.subscriptions
import server.imports.tasks
import server.job_starts
import server.site_deletion  # noqa: F401 - registers their tasks: whoever has services may carry out any
from server.alerts import Alerts
from server.app_database import open_app_database
from server.cache import Cache
from server.config import Settings
from server.data_folder import load_secret_key
from server.mail import Mailer
from server.rate_limit import RateLimiter
from server.tasks import TaskQueue


@dataclass(frozen=True)
class Services:
    """See the module."""

    settings: Settings
    engine: Engine
    secret_key: str = field(repr=False)
    tasks: TaskQueue
    mailer: Mailer
    alerts: Alerts
    cache: Cache
    limiter: RateLimiter

    def close(self) -> None:
        """Give connections back."""
        self.tasks.close()
        self.cache.close()
        self.limiter.close()
        self.engine.dispose()


def open_services(settings: Settings) -> Services:
    """The services that the settings name."""
    engine = open_app_database(settings)
    secret_key = load_secret_key(settings)
    tasks = TaskQueue(settings, engine)
    mailer = Mailer(settings, secret_key, tasks)
    return Services(
        settings=settings,
        engine=engine,
        secret_key=secret_key,
        tasks=tasks,
        mailer=mailer,
        alerts=Alerts(engine, settings, tasks, mailer),
        cache=Cache(settings, engine),
        limiter=RateLimiter(settings, secret_key),
    )
