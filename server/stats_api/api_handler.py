"""The base of the API's handlers: JSON bodies, errors in one shape, rates, questions that end with their asker.

Every error is `{"error": "<a sentence>"}` with a status: 400 the request is wrong, 401 and 403 who asks, 402 the
account's plan, 404 no such site for this caller, 413 the body is too large, 422 a limit would be exceeded (`limit` says
which), 429 too often, 503 the event store is away.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import orjson
from tornado.web import Finish, HTTPError, MissingArgumentError

from server.accounts.access import Caller
from server.accounts.keys import key_hash
from server.clock import now_ms
from server.handler import MESSAGES, BaseHandler
from server.models import Site
from server.queries.errors import QueryCancelled, QueryError, QueryFailed, QueryRefused
from server.queries.event_reader import Ticket
from server.queries.parsing import SiteFacts
from server.rate_limit import Limit, TooManyRequests, parse_limit
from server.reader_handler import Reader, ReaderHandler
from server.stats_api.remembered import NOW_STEP_MS
from server.stats_api.stats import Stats

Result = TypeVar("Result")

MAX_BODY_BYTES = 1024 * 1024
"""A query with every limit of `server.queries.filters` used up is smaller."""

RETRY_AFTER_S = 2
"""A question takes less than a second as a rule, and an embedded server restarts within two."""

LOGIN_LIMITS = (parse_limit("600/m"),)
"""Of a login or a share link's reader: a dashboard asks a dozen questions with each click."""


class ApiError(HTTPError):
    """An error whose sentence is shown as it is. `more` goes into the answer besides."""

    def __init__(self, status: int, message: str, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(status)
        self.message = message
        self.more = dict(more or {})
        self.retry_after_s = RETRY_AFTER_S if status == 503 else None


class ApiHandler(BaseHandler):
    """Errors and bodies of the API."""

    def json_object(self) -> dict[str, Any]:
        """The body. Raises `ApiError` 400, 413."""
        document = self.json_body()
        if not isinstance(document, dict):
            raise ApiError(400, "The body has to be a JSON object.")
        return document

    def json_body(self) -> Any:
        """The body. Raises `ApiError` 400, 413."""
        body = self.request.body
        if len(body) > MAX_BODY_BYTES:
            raise ApiError(413, f"The body may have {MAX_BODY_BYTES} bytes.")
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ApiError(400, f"The body is not JSON: {error.msg} at byte {error.pos}.") from None

    def json_argument(self, name: str, default: object = None) -> Any:
        """A parameter of the address that may be JSON, such as `["2026-01-01","2026-01-31"]`, or plain: `7d`, `a,b`.

        Raises `ApiError` 400 for what begins like JSON and is not.
        """
        text = self.get_query_argument(name, "")
        if not text:
            return default
        if text[0] not in '["{':
            return text.split(",") if "," in text else text
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ApiError(400, f"#/{name}: not JSON: {error.msg}") from None

    def write_body(self, body: bytes) -> None:
        """Answer with JSON that is bytes already."""
        self.set_header("Content-Type", "application/json")
        self.write(body)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = MESSAGES.get(status_code, http.client.responses.get(status_code, "Error"))
        more: dict[str, Any] = {}
        if isinstance(error, ApiError):
            message, more = error.message, error.more
        elif isinstance(error, MissingArgumentError):
            message = f"The parameter {error.arg_name} is missing."
        elif isinstance(error, HTTPError) and error.log_message and status_code < 500:
            message = error.log_message.replace("%%", "%")
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is not None:
            self.set_header("Retry-After", str(retry_after_s))
        if status_code == 401 and self._caller in (Caller.KEY, Caller.READER):
            self.set_header("WWW-Authenticate", 'Bearer realm="footfall"')
        self.set_header("Content-Type", "application/json")
        self.finish(orjson.dumps({"error": message, **more, "request_id": self.request_id}))

    async def limit_rate(self) -> None:
        """Count one request of this caller. Raises `TooManyRequests`."""
        is_key = self.bearer_key is not None
        limits = (self.key_limit,) if is_key else LOGIN_LIMITS
        limiter = self.app_context.services.limiter
        wait_s = await self.in_thread(limiter.hit, limits, "stats api", self.rate_key())
        if wait_s is not None:
            raise TooManyRequests(wait_s)

    @property
    def key_limit(self) -> Limit:
        """How often one API key may ask."""
        return parse_limit(f"{self.app_context.settings.api_requests_per_hour}/h")

    def rate_key(self) -> str:
        """An API key has limits of its own, wherever it is used from."""
        key = self.bearer_key
        return f"key {key_hash(key)}" if key is not None else super().rate_key()


class StatsHandler(ApiHandler, ReaderHandler):
    """Answers with a site's figures. Methods call `admit` before anything else."""

    ticket: Ticket | None = None

    @property
    def stats(self) -> Stats:
        """What this process asks with."""
        return self.app_context.stats

    async def prepare(self) -> None:
        """Members that a method's access let in are readers as well."""
        await super().prepare()
        if self.login is not None and self.place is not None:
            self.reader = Reader(user_id=self.login.user_id)

    async def admit(self, domain: object) -> Site:
        """The site, when the caller may read it and has not asked too often. Raises `HTTPError`."""
        if not isinstance(domain, str) or not domain:
            raise ApiError(400, "#/site_id: the domain of a site is needed, such as example.com")
        site = await self.admit_reader(domain)
        await self.limit_rate()
        return site

    async def site_facts(self, site: Site, document: Mapping[str, Any]) -> SiteFacts:
        """What a question about the site depends on, for this reader."""
        assert self.reader is not None
        user_id = self.reader.user_id
        at_ms = now_ms() // NOW_STEP_MS * NOW_STEP_MS
        return await self.ask(
            lambda: self.stats.engine.site_facts(site, at_ms, user_id=user_id, document=dict(document))
        )

    async def ask(self, function: Callable[[], Result]) -> Result:
        """Run what asks the event store; the question ends when the client goes away. Raises `ApiError`."""
        try:
            return await self.stats.run(function)
        except QueryCancelled:
            if self.ticket is not None and self.ticket.is_revoked:
                raise Finish from None
            raise ApiError(503, "The query was ended on the server; try again in a moment.") from None
        except (QueryError, QueryRefused, QueryFailed) as error:
            raise api_error(error) from None

    def new_ticket(self) -> Ticket:
        """The ticket of this request's question."""
        self.ticket = Ticket()
        return self.ticket

    def on_connection_close(self) -> None:
        """Nobody waits any more."""
        super().on_connection_close()
        if self.ticket is not None:
            self.stats.revoke(self.ticket)


def api_error(error: QueryError | QueryRefused | QueryFailed) -> ApiError:
    """How an engine's error is answered."""
    if isinstance(error, QueryError):
        return ApiError(400, str(error))
    if isinstance(error, QueryRefused):
        return ApiError(422, str(error), {"limit": error.limit})
    text = str(error)
    return ApiError(503, text[:1].upper() + text[1:] + ".")
