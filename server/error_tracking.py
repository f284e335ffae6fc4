"""Errors to Sentry, when there is a DSN: what failed and where, and nothing about whom.

Events are cut down to a list of what may leave (`scrub`): no cookies, headers, bodies, query strings, addresses, users,
local variables or host names. Every log line of level error becomes an event, so handlers, tasks and jobs need no code
for it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from server import __version__
from server.config import Settings

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

# The parts of an event that may leave; Sentry's own names. `extra` holds what our log lines hold.
_KEPT = frozenset(
    (
        "contexts",
        "environment",
        "event_id",
        "exception",
        "extra",
        "level",
        "logentry",
        "logger",
        "message",
        "platform",
        "release",
        "sdk",
        "spans",
        "start_timestamp",
        "tags",
        "timestamp",
        "transaction",
        "transaction_info",
        "type",
    )
)
_KEPT_CONTEXTS = frozenset(("runtime", "trace"))
# Of a span: times, ids and the statement without its parameters.
_KEPT_SPAN = frozenset(
    ("description", "op", "origin", "parent_span_id", "span_id", "start_timestamp", "status", "timestamp", "trace_id")
)
# Of a stack frame: where it is, not what was in it.
_KEPT_FRAME = frozenset(("abs_path", "filename", "function", "in_app", "lineno", "module"))


def start_error_tracking(settings: Settings, process: str) -> bool:
    """Send errors of this process from now on. False without a DSN; then Sentry's library is not even imported."""
    if not settings.sentry_dsn:
        return False
    import sentry_sdk
    from sentry_sdk.integrations.argv import ArgvIntegration
    from sentry_sdk.integrations.redis import RedisIntegration
    from sentry_sdk.integrations.sqlalchemy import SqlalchemyIntegration
    from sentry_sdk.integrations.tornado import TornadoIntegration

    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        release=__version__,
        environment=settings.env.value,
        traces_sample_rate=settings.sentry_traces_sample_rate,
        integrations=[TornadoIntegration(), RedisIntegration(), SqlalchemyIntegration()],
        auto_enabling_integrations=False,
        disabled_integrations=[ArgvIntegration()],  # a command line may name a password
        send_default_pii=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        server_name="footfall",
        before_send=scrub,
        before_send_transaction=scrub,
    )
    sentry_sdk.set_tag("process", process)
    return True


def report_error(error: BaseException) -> None:
    """Send an error that no log line carries; does nothing without a DSN."""
    if "sentry_sdk" in sys.modules:
        sys.modules["sentry_sdk"].capture_exception(error)


def scrub(event: Event, _hint: Hint | None = None) -> Event:
    """The parts of an event that may leave; of the request its method and path."""
    given = cast(dict[str, Any], event)
    kept = {name: value for name, value in given.items() if name in _KEPT}
    request = given.get("request", {})
    kept["request"] = {"method": request.get("method", ""), "url": urlsplit(request.get("url", "")).path}
    contexts = kept.get("contexts", {})
    kept["contexts"] = {name: value for name, value in contexts.items() if name in _KEPT_CONTEXTS}
    if "trace" in kept["contexts"]:
        trace = kept["contexts"]["trace"]
        kept["contexts"]["trace"] = {name: value for name, value in trace.items() if name in _KEPT_SPAN}
    kept["spans"] = [
        {name: value for name, value in span.items() if name in _KEPT_SPAN} for span in kept.get("spans") or []
    ]
    for exception in kept.get("exception", {}).get("values") or []:
        # Behind the first line PostgreSQL quotes the row that a statement failed on.
        exception["value"] = str(exception.get("value") or "").partition("\n")[0]
        stack = exception.get("stacktrace") or {}
        stack["frames"] = [
            {name: value for name, value in frame.items() if name in _KEPT_FRAME} for frame in stack.get("frames") or []
        ]
        exception["stacktrace"] = stack
    return cast("Event", kept)
