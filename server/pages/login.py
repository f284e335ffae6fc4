"""Logging in and out: password, then the second factor when there is one, then the mail about a new login."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.accounts.access import PUBLIC, SIGNED_IN
from server.accounts.audit_log import Action, write_entry
from server.accounts.devices import Device, country_name, describe
from server.accounts.errors import FormError, LinkInvalid
from server.accounts.sessions import confirm_second_factor, end_login, is_known_device, start_login
from server.accounts.tokens import count_failure, look_at_token, make_token, use_token
from server.accounts.two_factor import is_code, recovery_codes_left, use_recovery_code
from server.accounts.users import check_login
from server.alerts import AlertKind
from server.app_database import writing
from server.clock import now_ms
from server.handler import DEVICE_COOKIE, SESSION_COOKIE, AppContext
from server.models import TokenPurpose, User
from server.pages.page import PageHandler
from server.rate_limit import TooManyRequests, parse_limit, rate_limit
from server.services import Services

SECOND_FACTOR_COOKIE = "footfall_second_factor"

# Browsers cap a cookie's life at 400 days (RFC 6265bis, 5.5).
DEVICE_COOKIE_DAYS = 400
LONGEST_DEVICE_COOKIE_CHARS = 64

# Beside the limit per address: a password is tried from many.
LIMITS_PER_MAIL = [parse_limit("20/h")]

WRONG = FormError("", "The mail address or the password is not right.")


@dataclass(frozen=True)
class Cookies:
    """What a browser gets when it is logged in."""

    session: str
    device: str


def complete_login(
    services: Services, user_id: int, device: Device, device_secret: str | None, *, second_factor: bool, now: int
) -> Cookies:
    """Start the login, write it down, and tell the user by mail unless the browser is known and they chose so."""
    with writing(services.engine) as session:
        user = session.get_one(User, user_id)
        token = start_login(session, user_id, device, now, second_factor=second_factor)
        is_known, device_secret = is_known_device(session, user_id, device_secret, now)
        write_entry(session, Action.LOGIN, now, actor=user_id, device=device.text, country=device.country)
        if not (is_known and user.skip_known_devices):
            base = services.settings.snippet_base
            services.mailer.queue(
                session,
                user.email,
                "new_login",
                name=user.name,
                at_ms=now,
                device=device.text,
                country=country_name(device.country),
                sessions_link=f"{base}/me/security",
                reset_link=f"{base}/reset",
            )
    if user.is_staff and not is_known:
        services.alerts.raise_alert(
            AlertKind.SECURITY, f"staff-login:{user_id}", "Staff logged in from a new device", f"user {user_id}"
        )
    return Cookies(token, device_secret)


class LoginPage(PageHandler):
    """The base of pages that end with somebody logged in."""

    async def log_in(self, user_id: int, *, second_factor: bool = False) -> None:
        """Log a user in on this browser; an earlier login of the browser ends."""
        earlier = await self.find_login()
        device = await self.in_thread(
            describe, self.request.headers.get("User-Agent", ""), self.request.remote_ip or ""
        )
        known = (self.get_cookie(self.cookie_name(DEVICE_COOKIE)) or "")[:LONGEST_DEVICE_COOKIE_CHARS] or None
        cookies = await self.in_thread(
            lambda: complete_login(
                self.app_context.services, user_id, device, known, second_factor=second_factor, now=now_ms()
            )
        )
        if earlier is not None:
            await self.in_thread(_log_out, self.app_context.services, earlier.holder_user_id, earlier.session_id)
        max_days = self.app_context.settings.session_max_days
        self.set_cookie(self.cookie_name(SESSION_COOKIE), cookies.session, expires_days=max_days)
        self.set_cookie(self.cookie_name(DEVICE_COOKIE), cookies.device, expires_days=DEVICE_COOKIE_DAYS)


class LoginHandler(LoginPage):
    """`/login`"""

    access = PUBLIC
    template = "login.html"

    async def get(self) -> None:
        """The form; who is logged in goes on."""
        if await self.find_login() is not None:
            self.redirect(self.next_path)
            return
        self._show_form()

    @rate_limit("10/m", "60/h")
    async def post(self) -> None:
        """Check address and password."""
        given = self.form("email", "password")
        services = self.app_context.services
        wait_s = await self.in_thread(services.limiter.hit, LIMITS_PER_MAIL, "login mail", given["email"].lower())
        if wait_s is not None:
            await self.in_thread(
                lambda: services.alerts.raise_alert(
                    AlertKind.SECURITY, "login-limit", "Many wrong passwords for one mail address"
                )
            )
            raise TooManyRequests(wait_s)
        user = await self.in_thread(check_login, services, given["email"], given["password"])
        if user is None:
            self._show_form(email=given["email"], error=WRONG)
            return
        if user.totp_enabled_at_ms is None:
            await self.log_in(user.user_id)
            self.redirect(self.next_path, status=303)
            return
        token = await self.in_thread(_begin_second_factor, services, user.user_id)
        self.set_cookie(self.cookie_name(SECOND_FACTOR_COOKIE), token, samesite="Strict")
        self.show("second_factor.html", next_path=self.next_path)

    def _show_form(self, email: str = "", error: FormError | None = None) -> None:
        is_open = not self.app_context.settings.invite_only
        self.show(email=email, error=error, next_path=self.next_path, is_sign_up_open=is_open)


class SecondFactorHandler(LoginPage):
    """`/login/second-factor`: a code of the app, or a recovery code."""

    access = PUBLIC
    template = "second_factor.html"

    async def get(self) -> None:
        """Only the login form leads here."""
        self.redirect("/login")

    @rate_limit("10/m", "60/h")
    async def post(self) -> None:
        """Check the code."""
        token = self.get_cookie(self.cookie_name(SECOND_FACTOR_COOKIE)) or ""
        code = self.form("code")["code"]
        try:
            user_id = await self.in_thread(check_second_factor, self.app_context.services, token, code, now_ms())
        except LinkInvalid:
            self.clear_cookie(self.cookie_name(SECOND_FACTOR_COOKIE))
            error = FormError("", "That took too long, or too many codes were wrong: log in again.")
            is_open = not self.app_context.settings.invite_only
            self.show("login.html", email="", error=error, next_path=self.next_path, is_sign_up_open=is_open)
            return
        except FormError as error:
            self.show(error=error, next_path=self.next_path)
            return
        self.clear_cookie(self.cookie_name(SECOND_FACTOR_COOKIE))
        await self.log_in(user_id, second_factor=True)
        self.redirect(self.next_path, status=303)


def _begin_second_factor(services: Services, user_id: int) -> str:
    with writing(services.engine) as session:
        return make_token(session, TokenPurpose.SECOND_FACTOR, now_ms(), user_id=user_id)


def check_second_factor(services: Services, token: str, code: str, now: int) -> int:
    """The user whose login this completes. Raises `LinkInvalid` when it is over, `FormError` for a wrong code."""
    with writing(services.engine) as session:
        user = session.get_one(User, look_at_token(session, TokenPurpose.SECOND_FACTOR, token, now).user_id)
        is_right = is_code(session, services.secret_key, user, code, now)
        used_recovery = not is_right and use_recovery_code(session, user.user_id, code)
        if is_right or used_recovery:
            use_token(session, TokenPurpose.SECOND_FACTOR, token, now)
            if used_recovery:
                left = recovery_codes_left(session, user.user_id)
                write_entry(session, Action.RECOVERY_CODE_USED, now, actor=user.user_id, left=left)
            return user.user_id
        may_try_again = count_failure(session, TokenPurpose.SECOND_FACTOR, token)
        if not may_try_again:
            write_entry(session, Action.LOGIN_REFUSED, now, actor=user.user_id)
    if may_try_again:
        raise FormError("code", "This code is not right.")
    services.alerts.raise_alert(
        AlertKind.SECURITY,
        f"second-factor:{user.user_id}",
        "A right password was followed by wrong codes only",
        f"user {user.user_id}",
    )
    raise LinkInvalid


class ConfirmHandler(PageHandler):
    """`/me/confirm`: staff show their second factor again after a while."""

    access = SIGNED_IN
    template = "confirm.html"

    def get(self) -> None:
        """The form."""
        self.show(next_path=self.next_path)

    @rate_limit("10/m")
    async def post(self) -> None:
        """Check the code."""
        code = self.form("code")["code"]
        if not await self.in_thread(self._confirm, code):
            self.show(error=FormError("code", "This code is not right."), next_path=self.next_path)
            return
        self.redirect(self.next_path, status=303)

    def _confirm(self, code: str) -> bool:
        assert self.login is not None
        services, now = self.app_context.services, now_ms()
        with writing(services.engine) as session:
            user = session.get_one(User, self.login.user_id)
            if user.totp_enabled_at_ms is None or not is_code(session, services.secret_key, user, code, now):
                return False
            confirm_second_factor(session, self.login.session_id, now)
        return True


class LogoutHandler(PageHandler):
    """`/logout`"""

    access = SIGNED_IN
    is_open_to_stand_ins = True

    async def post(self) -> None:
        """End this login."""
        assert self.login is not None
        await self.in_thread(_log_out, self.app_context.services, self.login.holder_user_id, self.login.session_id)
        self.clear_cookie(self.cookie_name(SESSION_COOKIE))
        self.set_header("Clear-Site-Data", '"cache"')
        self.done("/login", "logged-out")


def _log_out(services: Services, user_id: int, session_id: int) -> None:
    with writing(services.engine) as session:
        if end_login(session, user_id, session_id):
            write_entry(session, Action.LOGOUT, now_ms(), actor=user_id)


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [
        (r"/login", LoginHandler, given),
        (r"/login/second-factor", SecondFactorHandler, given),
        (r"/logout", LogoutHandler, given),
        (r"/me/confirm", ConfirmHandler, given),
    ]
