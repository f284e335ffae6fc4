"""The ways in: the first run's link, sign-up, invitations; and the way back in: a password reset.

Links carry a token. Opening one only shows a form: mail scanners that open links use nothing up.
"""

from __future__ import annotations

from typing import Any

from tornado.web import HTTPError

from server.accounts.access import PUBLIC
from server.accounts.errors import FormError, LinkInvalid
from server.accounts.team import accept_as_new, accept_as_user, look_at_invitation
from server.accounts.users import (
    ask_for_reset,
    ask_to_sign_up,
    change_email,
    check_first_run_link,
    check_reset_link,
    create_owner,
    email_of_sign_up,
    new_email_of,
    reset_password,
    sign_up,
)
from server.clock import now_ms
from server.handler import AppContext
from server.pages.login import LoginPage
from server.pages.page import PageHandler
from server.rate_limit import rate_limit

DEAD_LINK = "This link does not work any more: it was used, replaced by a newer one, or too old."
SENT = "If this address can be used, a mail is on its way to it. Look into your mailbox, and into the folder for spam."


class LinkPage(LoginPage):
    """The base of pages that a link with a token leads to."""

    @property
    def token(self) -> str:
        """The link's token."""
        return self.get_argument("token", "")

    def show_dead_link(self, path: str, text: str) -> None:
        """Say that the link is over, and where to get a new one."""
        self.show("message.html", status=410, title="This link is over", text=DEAD_LINK, link=path, link_text=text)


class FirstRunHandler(LinkPage):
    """`/first-run`: the link that `serve` prints while there is nobody."""

    access = PUBLIC
    template = "first_run.html"

    @rate_limit("30/m")
    async def get(self) -> None:
        """The form."""
        try:
            await self.in_thread(check_first_run_link, self.app_context.services, self.token, now_ms())
        except LinkInvalid:
            self.show_dead_link("/login", "Log in")
            return
        self.show(token=self.token, email="", name="")

    @rate_limit("10/m")
    async def post(self) -> None:
        """Make the owner and log them in."""
        given = self.form("email", "name", "password")
        services = self.app_context.services
        try:
            user_id = await self.in_thread(
                create_owner, services, self.token, given["email"], given["name"], given["password"], now_ms()
            )
        except LinkInvalid:
            self.show_dead_link("/login", "Log in")
            return
        except FormError as error:
            self.show(token=self.token, email=given["email"], name=given["name"], error=error)
            return
        await self.log_in(user_id)
        self.redirect("/accounts/1/sites/new", status=303)


class SignUpHandler(PageHandler):
    """`/signup`: ask for a link."""

    access = PUBLIC
    template = "signup.html"

    def prepare_open(self) -> None:
        """403 while sign-up is by invitation."""
        if self.app_context.settings.invite_only:
            raise HTTPError(403, "New accounts are by invitation here: ask somebody who has one.")

    def get(self) -> None:
        """The form."""
        self.prepare_open()
        self.show(email="")

    @rate_limit("5/m", "20/h")
    async def post(self) -> None:
        """Send a link; the answer is the same for every address."""
        self.prepare_open()
        email = self.form("email")["email"]
        try:
            await self.in_thread(ask_to_sign_up, self.app_context.services, email)
        except FormError as error:
            self.show(email=email, error=error)
            return
        self.show("message.html", title="Look into your mailbox", text=SENT, link="", link_text="")


class SignUpFinishHandler(LinkPage):
    """`/signup/finish`: name and password, once the address is confirmed."""

    access = PUBLIC
    template = "signup_finish.html"

    @rate_limit("30/m")
    async def get(self) -> None:
        """The form."""
        await self._show("", None)

    @rate_limit("10/m")
    async def post(self) -> None:
        """Make the person and their account, and log them in."""
        given = self.form("name", "password")
        services = self.app_context.services
        try:
            user_id = await self.in_thread(sign_up, services, self.token, given["name"], given["password"], now_ms())
        except LinkInvalid:
            self.show_dead_link("/signup", "Ask for a new one")
            return
        except FormError as error:
            await self._show(given["name"], error)
            return
        await self.log_in(user_id)
        self.redirect("/sites", status=303)

    async def _show(self, name: str, error: FormError | None) -> None:
        try:
            email = await self.in_thread(email_of_sign_up, self.app_context.services, self.token, now_ms())
        except LinkInvalid:
            self.show_dead_link("/signup", "Ask for a new one")
            return
        self.show(token=self.token, email=email, name=name, error=error)


class ResetHandler(PageHandler):
    """`/reset`: ask for a link."""

    access = PUBLIC
    template = "reset.html"

    def get(self) -> None:
        """The form."""
        self.show(email="")

    @rate_limit("5/m", "20/h")
    async def post(self) -> None:
        """Send a link; the answer is the same for every address."""
        email = self.form("email")["email"]
        try:
            await self.in_thread(ask_for_reset, self.app_context.services, email)
        except FormError as error:
            self.show(email=email, error=error)
            return
        self.show("message.html", title="Look into your mailbox", text=SENT, link="/login", link_text="Log in")


class ResetFinishHandler(LinkPage):
    """`/reset/finish`: the new password."""

    access = PUBLIC
    template = "reset_finish.html"

    @rate_limit("30/m")
    async def get(self) -> None:
        """The form."""
        try:
            await self.in_thread(check_reset_link, self.app_context.services, self.token, now_ms())
        except LinkInvalid:
            self.show_dead_link("/reset", "Ask for a new one")
            return
        self.show(token=self.token)

    @rate_limit("10/m")
    async def post(self) -> None:
        """Set it. Logging in, with the second factor if there is one, comes after."""
        password = self.form("password")["password"]
        try:
            await self.in_thread(reset_password, self.app_context.services, self.token, password, now_ms())
        except LinkInvalid:
            self.show_dead_link("/reset", "Ask for a new one")
            return
        except FormError as error:
            self.show(token=self.token, error=error)
            return
        self.done("/login", "reset")


class EmailConfirmHandler(LinkPage):
    """`/email/confirm`: the link that was sent to a new mail address."""

    access = PUBLIC
    template = "email_confirm.html"

    @rate_limit("30/m")
    async def get(self) -> None:
        """Ask once more."""
        try:
            email = await self.in_thread(new_email_of, self.app_context.services, self.token, now_ms())
        except LinkInvalid:
            self.show_dead_link("/me", "Ask for a new one")
            return
        self.show(token=self.token, email=email)

    @rate_limit("10/m")
    async def post(self) -> None:
        """Take the address."""
        try:
            await self.in_thread(change_email, self.app_context.services, self.token, now_ms())
        except LinkInvalid:
            self.show_dead_link("/me", "Ask for a new one")
            return
        self.done("/me", "email")


class InvitationHandler(LinkPage):
    """`/invitations/accept`: for people with a login, and for new ones."""

    access = PUBLIC
    template = "invitation.html"

    @rate_limit("30/m")
    async def get(self) -> None:
        """What is offered, and the way to accept it."""
        await self._show("", None)

    @rate_limit("10/m")
    async def post(self) -> None:
        """Join the account."""
        given = self.form("name", "password")
        services = self.app_context.services
        login = await self.find_login()
        try:
            if login is not None:
                account_id = await self.in_thread(accept_as_user, services, self.token, login.user_id, now_ms())
            else:
                user_id = await self.in_thread(
                    accept_as_new, services, self.token, given["name"], given["password"], now_ms()
                )
                await self.log_in(user_id)
        except LinkInvalid:
            self.show_dead_link("/login", "Log in")
            return
        except FormError as error:
            await self._show(given["name"], error)
            return
        if login is not None:
            self.done(f"/accounts/{account_id}/team", "joined")
        else:
            self.redirect("/sites?done=joined", status=303)

    async def _show(self, name: str, error: FormError | None) -> None:
        await self.find_login()
        try:
            offer = await self.in_thread(look_at_invitation, self.app_context.services, self.token, now_ms())
        except LinkInvalid:
            self.show_dead_link("/login", "Log in")
            return
        self.show(token=self.token, offer=offer, name=name, error=error)


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [
        (r"/first-run", FirstRunHandler, given),
        (r"/signup", SignUpHandler, given),
        (r"/signup/finish", SignUpFinishHandler, given),
        (r"/reset", ResetHandler, given),
        (r"/reset/finish", ResetFinishHandler, given),
        (r"/email/confirm", EmailConfirmHandler, given),
        (r"/invitations/accept", InvitationHandler, given),
    ]
