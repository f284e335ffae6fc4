"""One's own pages: name, mail address, password; second factor, logins, notices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from server.accounts.access import SIGNED_IN
from server.accounts.audit_log import Action, write_entry
from server.accounts.devices import country_name
from server.accounts.errors import FormError
from server.accounts.sessions import confirm_second_factor, end_login, end_logins, list_logins
from server.accounts.two_factor import Enrolment, begin_enrolment, disable, enable, make_recovery_codes
from server.accounts.two_factor import recovery_codes_left as count_recovery_codes
from server.accounts.users import ask_for_new_email, change_name, change_password, confirm_password
from server.alerts import AlertKind
from server.app_database import reading, writing
from server.clock import now_ms
from server.handler import AppContext
from server.models import LoginSession, User
from server.pages.page import PageHandler
from server.rate_limit import rate_limit


class MePage(PageHandler):
    """The base of these pages."""

    access = SIGNED_IN

    @property
    def user_id(self) -> int:
        """Who is signed in."""
        assert self.login is not None
        return self.login.user_id

    async def try_form(self, work: Callable[[], None]) -> FormError | None:
        """Run what a form asks for; the error to show, if there was one."""
        try:
            await self.in_thread(work)
        except FormError as error:
            return error
        return None


class MeHandler(MePage):
    """`/me`: name, mail address, password."""

    template = "me.html"

    def get(self) -> None:
        """The page."""
        self.show()

    @rate_limit("10/m", "60/h")
    async def post(self) -> None:
        """One of the page's three forms; the field `change` says which."""
        given = self.form("change", "name", "email", "password", "current")
        services, now = self.app_context.services, now_ms()
        assert self.login is not None
        session_id = self.login.session_id
        match given["change"]:
            case "name":
                error = await self.try_form(lambda: change_name(services, self.user_id, given["name"]))
                said = "name"
            case "email":
                error = await self.try_form(
                    lambda: ask_for_new_email(services, self.user_id, given["password"], given["email"])
                )
                said = "email-asked"
            case "password":
                error = await self.try_form(
                    lambda: change_password(
                        services, self.user_id, session_id, given["current"], given["password"], now
                    )
                )
                said = "password"
            case _:
                error, said = FormError("", "This form is not one of this page."), ""
        if error is not None:
            self.show(error=error, changing=given["change"])
        else:
            self.done("/me", said)

    def show(self, template: str = "", **values: Any) -> None:
        """Render, with no form marked unless one failed."""
        super().show(template, **{"changing": "", **values})


class SecurityHandler(MePage):
    """`/me/security`: the second factor, logins, and mails about new logins."""

    template = "security.html"
    is_hidden_from_stand_ins = True

    async def get(self) -> None:
        """The page."""
        await self.show_page()

    @rate_limit("10/m", "60/h")
    async def post(self) -> None:
        """One of the page's forms; the field `change` says which."""
        given = self.form("change", "password", "code", "session_id", "skip_known_devices")
        match given["change"]:
            case "start":
                await self._start(given["password"])
            case "enable":
                await self._enable(given["code"])
            case "disable":
                await self._with_password(given["password"], self._disable, "two-factor-off")
            case "codes":
                await self._new_codes(given["password"])
            case "notices":
                await self.in_thread(self._keep_notices, given["skip_known_devices"] == "on")
                self.done("/me/security", "notices")
            case "session":
                await self.in_thread(self._end_session, given["session_id"])
                self.done("/me/security", "session")
            case "sessions":
                await self.in_thread(self._end_others)
                self.done("/me/security", "sessions")
            case _:
                await self.show_page(error=FormError("", "This form is not one of this page."))

    async def show_page(self, **values: Any) -> None:
        """Render the page with what the database says."""
        user, logins, codes_left = await self.in_thread(self._read)
        shown = {"enrolment": None, "codes": None, "changing": "", "error": None, **values}
        self.show(user=user, logins=logins, codes_left=codes_left, country_name=country_name, now=now_ms(), **shown)

    def _read(self) -> tuple[User, list[LoginSession], int]:
        with reading(self.app_context.engine) as session:
            user = session.get_one(User, self.user_id)
            return user, list(list_logins(session, self.user_id)), count_recovery_codes(session, self.user_id)

    async def _start(self, password: str) -> None:
        def work() -> Enrolment:
            services = self.app_context.services
            confirm_password(services, self.user_id, password)
            with writing(services.engine) as session:
                return begin_enrolment(session, services.secret_key, session.get_one(User, self.user_id))

        try:
            enrolment = await self.in_thread(work)
        except FormError as error:
            await self.show_page(error=error, changing="start")
            return
        await self.show_page(enrolment=enrolment)

    async def _enable(self, code: str) -> None:
        def work() -> list[str]:
            assert self.login is not None
            services, now = self.app_context.services, now_ms()
            with writing(services.engine) as session:
                user = session.get_one(User, self.user_id, with_for_update=True)
                codes = enable(session, services.secret_key, user, code, now)
                confirm_second_factor(session, self.login.session_id, now)
                end_logins(session, self.user_id, but=self.login.session_id)
                write_entry(session, Action.TWO_FACTOR_ON, now, actor=self.user_id)
                self._tell(session, user, "on")
                return codes

        def again() -> Enrolment | None:
            services = self.app_context.services
            with writing(services.engine) as session:
                user = session.get_one(User, self.user_id)
                started = user.totp_sealed is not None and user.totp_enabled_at_ms is None
                return begin_enrolment(session, services.secret_key, user) if started else None

        try:
            codes = await self.in_thread(work)
        except FormError as error:
            await self.show_page(error=error, enrolment=await self.in_thread(again), changing="enable")
            return
        await self.show_page(codes=codes)

    async def _with_password(self, password: str, work: Callable[[], None], said: str) -> None:
        def checked() -> None:
            confirm_password(self.app_context.services, self.user_id, password)
            work()

        error = await self.try_form(checked)
        if error is not None:
            await self.show_page(error=error, changing=self.form("change")["change"])
        else:
            self.done("/me/security", said)

    def _disable(self) -> None:
        services, now = self.app_context.services, now_ms()
        with writing(services.engine) as session:
            user = session.get_one(User, self.user_id)
            disable(session, user)
            write_entry(session, Action.TWO_FACTOR_OFF, now, actor=self.user_id)
            self._tell(session, user, "off")
        if user.is_staff:
            services.alerts.raise_alert(
                AlertKind.SECURITY,
                f"two-factor-off:{self.user_id}",
                "Staff turned two-factor authentication off",
                f"user {self.user_id}",
            )

    async def _new_codes(self, password: str) -> None:
        def work() -> list[str]:
            services = self.app_context.services
            user = confirm_password(services, self.user_id, password)
            if user.totp_enabled_at_ms is None:
                raise FormError("", "Turn two-factor authentication on first.")
            with writing(services.engine) as session:
                write_entry(session, Action.RECOVERY_CODES_MADE, now_ms(), actor=self.user_id)
                return make_recovery_codes(session, self.user_id)

        try:
            codes = await self.in_thread(work)
        except FormError as error:
            await self.show_page(error=error, changing="codes")
            return
        await self.show_page(codes=codes)

    def _keep_notices(self, skip: bool) -> None:
        with writing(self.app_context.engine) as session:
            session.get_one(User, self.user_id).skip_known_devices = skip

    def _end_session(self, session_id: str) -> None:
        if session_id.isdecimal():
            with writing(self.app_context.engine) as session:
                if end_login(session, self.user_id, int(session_id)):
                    write_entry(session, Action.SESSION_REVOKED, now_ms(), actor=self.user_id)

    def _end_others(self) -> None:
        assert self.login is not None
        with writing(self.app_context.engine) as session:
            ended = end_logins(session, self.user_id, but=self.login.session_id)
            write_entry(session, Action.SESSION_REVOKED, now_ms(), actor=self.user_id, sessions=ended)

    def _tell(self, session: Any, user: User, state: str) -> None:
        base = self.app_context.settings.snippet_base
        self.app_context.services.mailer.queue(
            session, user.email, "two_factor_changed", name=user.name, state=state, reset_link=f"{base}/reset"
        )


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [(r"/me", MeHandler, given), (r"/me/security", SecurityHandler, given)]
