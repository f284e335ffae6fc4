"""What every handler of the application has: access, security headers, error pages, request ids, threads.

Order of one request: request id → cross-origin and XSRF checks (Tornado) → `prepare`: who calls, and may they → the
method. Each handler declares its `access` (see `server.accounts.access`); the application refuses one that does not.

Handlers know nothing of sockets or the front; they get what they need from `AppContext`. What blocks (the app database,
ClickHouse, Redis, hashing) runs on `AppContext.threads`. Errors are JSON under `/api/` and for whoever asks for JSON, a
page otherwise, and never a traceback.
"""

from __future__ import annotations

import contextvars
import http.client
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_network
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlencode

import orjson
from sqlalchemy import Engine
from tornado.ioloop import IOLoop
from tornado.web import Finish, HTTPError, MissingArgumentError, RequestHandler

from server.accounts.access import Access, Caller
from server.accounts.audit_log import STAND_IN
from server.accounts.blocks import find_site_and_block
from server.accounts.guests import guest_place
from server.accounts.keys import key_hash
from server.accounts.sessions import AccountPlace, Login, find_login
from server.alerts import AlertKind
from server.app_database import reading
from server.billing.plan_changes import plan_of
from server.billing.plans import PLANS, Feature
from server.clock import now_ms, time_text
from server.config import Env, Settings
from server.health import HealthReport
from server.mail import watch_mails
from server.models import MemberRole, Site
from server.page_trace import PAGE_TRACE, PageTrace
from server.request_context import REQUEST_ID, new_request_id
from server.sites import GONE_STATES
from server.snapshot import KeyHolder

if TYPE_CHECKING:
    from server.pages.capacity_notice import CapacityNotice
    from server.services import Services
    from server.stats_api.stats import Stats

log = logging.getLogger(__name__)

Result = TypeVar("Result")

SESSION_COOKIE = "footfall_session"
DEVICE_COOKIE = "footfall_device"

# RFC 6797; a year, as browsers' preload lists ask. Only sent over TLS, and only for this host.
HSTS = "max-age=31536000"


@dataclass(frozen=True)
class AppContext:
    """What handlers work with.

    `count` asks ClickHouse and blocks; `key_holder` finds an API key by its hash; `announce` tells every process, this
    one first, that sites or keys have changed, and blocks; `stats` answers questions about figures.
    """

    services: Services
    threads: ThreadPoolExecutor
    health: Callable[[], HealthReport]
    key_holder: Callable[[str], KeyHolder | None]
    count: Callable[[int], dict[str, Any]]
    announce: Callable[[], None]
    stats: Stats

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return self.services.settings

    @property
    def engine(self) -> Engine:
        """The app database."""
        return self.services.engine


class BaseHandler(RequestHandler):
    """The base of all handlers."""

    access: ClassVar[Access | Mapping[str, Access]]

    # Whether a site that is being deleted, which its owner may still take back, is there for this handler.
    shows_deleted_sites: ClassVar[bool] = False

    # The same of an account.
    shows_deleted_accounts: ClassVar[bool] = False

    # What the account's plan has to contain, by method; other methods are there in every plan.
    plan_features: ClassVar[Mapping[str, Feature]] = MappingProxyType({})

    # Whether staff who act as somebody may send this handler's forms. Closed unless it says otherwise: nobody takes
    # over a password, a second factor, an address, a key, a team, or what is paid.
    is_open_to_stand_ins: ClassVar[bool] = False

    # Whether they may not even look.
    is_hidden_from_stand_ins: ClassVar[bool] = False

    app_context: AppContext

    # Set in `prepare`, as far as the access asks for them.
    login: Login | None = None
    place: AccountPlace | None = None
    site: Site | None = None
    site_block_reason: str = ""
    capacity_notices: Sequence[CapacityNotice] = ()
    key_account_id: int | None = None

    CONTENT_SECURITY_POLICY: ClassVar[str] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )

    def initialize(self, app_context: AppContext) -> None:
        """Called by Tornado with the route's arguments."""
        self.app_context = app_context
        self.request_id = new_request_id()
        REQUEST_ID.set(self.request_id)
        STAND_IN.set(None)
        self.set_header("X-Request-Id", self.request_id)
        if app_context.settings.env is Env.DEVELOPMENT:
            PAGE_TRACE.set(PageTrace(mails=watch_mails()))

    def set_default_headers(self) -> None:
        """Headers of every answer, errors too."""
        self.clear_header("Server")
        self.set_header("Content-Security-Policy", self.CONTENT_SECURITY_POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        self.set_header("Cache-Control", "no-store")
        if self.is_https:
            self.set_header("Strict-Transport-Security", HSTS)
        if hasattr(self, "request_id"):
            self.set_header("X-Request-Id", self.request_id)

    # -- who calls -----------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Let in whom the handler's `access` names."""
        method = self.request.method or ""
        if method not in answered_methods(type(self)):
            raise HTTPError(405)
        access = self.access if isinstance(self.access, Access) else self.access[method]
        match access.caller:
            case Caller.ANYBODY | Caller.READER:
                pass
            case Caller.KEY:
                self._admit_key(access)
            case Caller.SIGNED_IN:
                await self.need_login()
            case Caller.MEMBER:
                await self._admit_member(await self.need_login(), access)
            case Caller.STAFF:
                self._admit_staff(await self.need_login())
        self.refuse_stand_in()
        # Readers are asked once their site is known (`server.reader_handler`).
        if access.caller is not Caller.READER:
            await self.need_plan_features()

    async def need_plan_features(self) -> None:
        """Raises `HTTPError` 402 when the account's plan lacks what this method is."""
        feature = self.plan_features.get(self.request.method or "")
        if feature is not None:
            await self.need_feature(feature)

    async def need_feature(self, feature: Feature) -> None:
        """Raises `HTTPError` 402 when the plan of the account that was asked about lacks a feature."""
        account_id = self.key_account_id
        if self.place is not None:
            account_id = self.place.account_id
        elif self.site is not None:
            account_id = self.site.account_id
        settings = self.app_context.settings
        if account_id is None or not settings.are_plans_enforced:
            return

        def lacking(account_id: int) -> str | None:
            with reading(self.app_context.engine) as session:
                plan = plan_of(session, account_id)
            return None if plan.has(feature) else plan.display_name

        name = await self.in_thread(lacking, account_id)
        if name is not None:
            least = next(plan for plan in PLANS if plan.has(feature))
            raise HTTPError(
                402, f"{feature.meaning}: not part of the plan {name}, but of {least.display_name} and greater ones."
            )

    async def find_login(self) -> Login | None:
        """Who is signed in, if anybody."""
        token = self.get_cookie(self.cookie_name(SESSION_COOKIE))
        if token and self.login is None:
            self.login = await self.in_thread(
                find_login, self.app_context.engine, self.app_context.settings, token, now_ms()
            )
            if self.login is not None and self.login.acting is not None:
                STAND_IN.set(self.login.acting.user_id)
        return self.login

    def refuse_stand_in(self) -> None:
        """Raises `HTTPError` 403 where staff who act as somebody may not go."""
        if self.login is None or self.login.acting is None:
            return
        is_form = self.request.method not in ("GET", "HEAD")
        if self.is_hidden_from_stand_ins or (is_form and not self.is_open_to_stand_ins):
            raise HTTPError(403, "Nobody does this for somebody else: stop acting as this person first.")

    async def need_login(self) -> Login:
        """Who is signed in; pages of others lead to the login page, everything else gets 401."""
        login = await self.find_login()
        if login is not None:
            return login
        if self.is_api or self.request.method not in ("GET", "HEAD"):
            raise HTTPError(401, "You are not logged in, or your login has ended.")
        self.redirect("/login?" + urlencode({"next": self.request.uri or "/"}))
        raise Finish

    async def _admit_member(self, login: Login, access: Access) -> None:
        account_id: int | None = None
        if "account_id" in self.path_kwargs:
            account_id = int(self.path_kwargs["account_id"])
        elif "domain" in self.path_kwargs:
            site, reason = await self.in_thread(
                find_site_and_block, self.app_context.engine, self.path_kwargs["domain"]
            )
            gone = {"destroyed"} if self.shows_deleted_sites else GONE_STATES
            if site is not None and site.state not in gone:
                self.site, self.site_block_reason, account_id = site, reason, site.account_id
        place = None if account_id is None else login.place(account_id)
        if place is None and account_id is not None and self.shows_deleted_accounts:
            place = login.leaving_place(account_id)
        if place is None and self.site is not None and access.guest is not None:
            place = await self.find_guest_place(login, self.site)
        if place is None:
            raise HTTPError(404)
        self.place = place
        needed = access.guest.as_member if place.is_guest and access.guest is not None else access.role
        assert needed is not None
        if place.role.rank < needed.rank:
            if place.is_guest:
                raise HTTPError(403, f"This is for guests with the role {access.guest}; yours is another.")
            raise HTTPError(403, f"This needs the role {access.role}; you are {place.role} in {place.name}.")

    async def find_guest_place(self, login: Login, site: Site) -> AccountPlace | None:
        """What somebody may do on a site that they are a guest of; None for everybody else."""

        def read() -> AccountPlace | None:
            with reading(self.app_context.engine) as session:
                return guest_place(session, site, login.user_id)

        return await self.in_thread(read)

    def _admit_staff(self, login: Login) -> None:
        if not login.is_staff:
            raise HTTPError(404)
        if not login.has_two_factor:
            raise HTTPError(403, "Staff need two-factor authentication: turn it on under You, Security.")
        if not login.has_staff_powers(now_ms()):
            if self.request.method not in ("GET", "HEAD") or self.is_api:
                raise HTTPError(403, "Show your second factor again, then repeat this.")
            self.redirect("/me/confirm?" + urlencode({"next": self.request.uri or "/"}))
            raise Finish

    @property
    def bearer_key(self) -> str | None:
        """The API key that the request carries."""
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        return given.strip() if scheme.lower() == "bearer" else None

    def _admit_key(self, access: Access) -> None:
        key = self.bearer_key
        holder = None if key is None else self.app_context.key_holder(key_hash(key))
        if holder is None:
            raise HTTPError(401, "A valid API key is needed: Authorization: Bearer ff_….")
        if access.scope not in holder.scopes:
            raise HTTPError(403, f"This API key lacks the scope {access.scope}.")
        self.key_account_id = holder.account_id

    def check_xsrf_cookie(self) -> None:
        """Forms carry a token. No browser adds an API key by itself, and readers change nothing."""
        if self._caller in (Caller.KEY, Caller.READER):
            return
        try:
            super().check_xsrf_cookie()
        except HTTPError:
            raise HTTPError(403, "This form was open for too long: load the page again, then repeat this.") from None

    def check_trusted_origin(self, origin: str) -> bool:
        """Pages of other origins may use an API key, and nothing else."""
        return self._caller is Caller.KEY or (self._caller is Caller.READER and self.bearer_key is not None)

    @property
    def _caller(self) -> Caller | None:
        access = self.access if isinstance(self.access, Access) else self.access.get(self.request.method or "")
        return None if access is None else access.caller

    @property
    def member(self) -> tuple[Login, AccountPlace]:
        """Who is signed in and their place, on a route for members."""
        assert self.login is not None
        assert self.place is not None
        return self.login, self.place

    def rate_key(self) -> str:
        """Whom a rate limit counts: the user, else the address; of IPv6 the /64, which one subscriber has whole."""
        if self.login is not None:
            return f"user {self.login.user_id}"
        address = self.request.remote_ip or ""
        is_v6 = ":" in address
        return f"network {ip_network((address, 64), strict=False)}" if is_v6 else f"address {address}"

    # -- cookies -------------------------------------------------------------------------------------------------

    @property
    def is_https(self) -> bool:
        """Whether the browser speaks TLS, to us or to a trusted proxy."""
        return self.request.protocol == "https"

    def cookie_name(self, name: str) -> str:
        """Behind TLS `__Host-`: no subdomain and no plain connection can set such a cookie (RFC 6265bis, 4.1.3)."""
        return f"__Host-{name}" if self.is_https else name

    def set_cookie(self, name: str, value: str | bytes, *arguments: Any, **attributes: Any) -> None:
        """Set a cookie that scripts cannot read and other sites cannot send."""
        secure = {"httponly": True, "samesite": "Lax", "secure": self.is_https, "path": "/"}
        super().set_cookie(name, value, *arguments, **{**secure, **attributes})

    # -- answers -------------------------------------------------------------------------------------------------

    @property
    def is_api(self) -> bool:
        """Whether the caller expects JSON."""
        return self.request.path.startswith("/api/") or "json" in self.request.headers.get("Accept", "")

    def write_json(self, value: object, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.write(orjson.dumps(value))

    def get_template_namespace(self) -> dict[str, Any]:
        """What every template may use."""
        return {
            **super().get_template_namespace(),
            "login": self.login,
            "place": self.place,
            "site": self.site,
            "site_block_reason": self.site_block_reason,
            "capacity_notices": self.capacity_notices,
            "request_id": self.request_id,
            "MemberRole": MemberRole,
            "time_text": time_text,
        }

    def render_string(self, template_name: str, **kwargs: Any) -> bytes:
        """A rendered template; while developing, a page has its trace at the end."""
        page = super().render_string(template_name, **kwargs)
        trace = PAGE_TRACE.get()
        if trace is None or b"</body>" not in page:
            return page
        panel = super().render_string("debug_panel.html", trace=trace)
        return page.replace(b"</body>", panel + b"</body>")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error: what went wrong in one sentence, without a traceback."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        reason = http.client.responses.get(status_code, "Error")
        message = MESSAGES.get(status_code, "The request could not be answered.")
        if isinstance(error, MissingArgumentError):
            message = f"The parameter {error.arg_name} is missing."
        elif isinstance(error, HTTPError) and error.log_message and status_code < 500:
            message = error.log_message
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is not None:
            self.set_header("Retry-After", str(retry_after_s))
        if status_code == 401 and self._caller in (Caller.KEY, Caller.READER):
            self.set_header("WWW-Authenticate", 'Bearer realm="footfall"')
        if self.is_api:
            answer = {"status": status_code, "message": message, "request_id": self.request_id}
            self.set_header("Content-Type", "application/json")
            self.finish(orjson.dumps({"error": answer}))
        else:
            self.render("error.html", status=status_code, reason=reason, message=message)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log a handler's failure by method and path, and alert: the query and the address stay out of both."""
        if typ is None or value is None or isinstance(value, HTTPError):
            return
        extra = {"method": self.request.method, "path": self.request.path}
        log.error("a handler failed", extra=extra, exc_info=(typ, value, tb))
        where = f"{type(self).__name__}.{(self.request.method or '').lower()}"
        self.app_context.threads.submit(
            self.app_context.services.alerts.raise_alert,
            AlertKind.EXCEPTION,
            f"{where}:{typ.__name__}",
            f"{where} failed with {typ.__name__}",
            f"request {self.request_id}; the log of the server has the rest",
        )

    async def in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run what blocks outside the event loop, in this request's context."""
        context = contextvars.copy_context()
        work: Awaitable[Result] = IOLoop.current().run_in_executor(
            self.app_context.threads, context.run, function, *arguments
        )
        return await work


def answered_methods(handler: type[RequestHandler]) -> frozenset[str]:
    """The methods that a handler has an answer to."""
    return frozenset(
        method
        for method in RequestHandler.SUPPORTED_METHODS
        if getattr(handler, method.lower()) is not getattr(RequestHandler, method.lower())
    )


MESSAGES = {
    400: "The request is not valid.",
    402: "This is not part of the account's plan.",
    403: "You may not do this.",
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    429: "That was too often; wait a little.",
    500: "Something failed on our side; the log of the server says what.",
    503: "The service is not available at the moment; try again soon.",
}
