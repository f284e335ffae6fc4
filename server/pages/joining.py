"""The ways in: the first run's link, sign-up, invitations; and the way back in: a password reset.

Links carry a token. Opening one only shows a form: mail scanners that open links use nothing up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

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
from server.services import Services
from server.sites import FIRST_ACCOUNT_ID

Result = TypeVar("Result")

DEAD_LINK = "This link does not work any more: it was used, replaced by a newer one, or too old."
SENT = "If this address can be used, a mail is on its way to it. Look into your mailbox, and into the folder for spam."


class LinkPage(LoginPage):
    """The base of pages that a link with a token leads to. A link that is over is answered 410."""

    access = PUBLIC

    way_on: ClassVar[tuple[str, str]] = ("/login", "Log in")

    @property
    def token(self) -> str:
        """The link's token."""
        return self.get_argument("token", "")

    async def follow(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """`work(services, token, *arguments, now)` in a thread. Raises `HTTPError` 410 for a link that is over."""
        try:
            return await self.in_thread(work, self.app_context.services, self.token, *arguments, now_ms())
        except LinkInvalid:
            raise HTTPError(410, DEAD_LINK) from None


class AskPage(PageHandler):
    """The base of pages that ask for a link; the answer is the same for every address."""

    access = PUBLIC

    async def ask(self, work: Callable[[Services, str], None]) -> None:
        """Let the form's address have a link."""
        email = self.form("email")["email"]
        try:
            await self.in_thread(work, self.app_context.services, email)
        except FormError as error:
            self.show(email=email, error=error)
            return
        self.show("message.html", title="Look into your mailbox", text=SENT, link="/login", link_text="Log in")


class FirstRunHandler(LinkPage):
    """`/first-run`: the link that `serve` prints while there is nobody."""

    template = "first_run.html"

    @rate_limit("30/m")
    async def get(self) -> None:
        """The form."""
        await self.follow(check_first_run_link)
        self.show(token=self.token, email="", name="")

    @rate_limit("10/m")
    async def post(self) -> None:
        """Make the owner and log them in."""
        given = self.form("email", "name", "password")
        try:
            user_id = await self.follow(create_owner, given["email"], given["name"], given["password"])
        except FormError as error:
            self.show(token=self.token, email=given["email"], name=given["name"], error=error)
            return
        await self.log_in(user_id)
        self.redirect(f"/accounts/{FIRST_ACCOUNT_ID}/sites/new", status=303)


class SignUpHandler(AskPage):
    """`/signup`: ask for a link; 403 while sign-up is by invitation."""

    template = "signup.html"

    async def prepare(self) -> None:
        """See the class."""
        await super().prepare()
        if self.app_context.settings.invite_only:
            raise HTTPError(403, "New accounts are by invitation here: ask somebody who has one.")

    def get(self) -> None:
        """The form."""
        self.show(email="")

    @rate_limit("5/m", "20/h")
    async def post(self) -> None:
        """Send a link."""
        await self.ask(ask_to_sign_up)


class SignUpFinishHandler(LinkPage):
    """`/signup/finish`: name and password, once the address is confirmed."""

    template = "signup_finish.html"
    way_on = ("/signup", "Ask for a new one")

    @rate_limit("30/m")
    async def get(self) -> None:
        """The form."""
        self.show(token=self.token, email=await self.follow(email_of_sign_up), name="")

    @rate_limit("10/m")
    async def post(self) -> None:
        """Make the person and their account, and log them in."""
        given = self.form("name", "password")
        try:
            user_id = await self.follow(sign_up, given["name"], given["password"])
        except FormError as error:
            email = await self.follow(email_of_sign_up)
            self.show(token=self.token, email=email, name=given["name"], error=error)
            return
        await self.log_in(user_id)
        self.redirect("/sites", status=303)


class ResetHandler(AskPage):
    """`/reset`: ask for a link."""

    template = "reset.html"

    def get(self) -> None:
        """The form."""
        self.show(email="")

    @rate_limit("5/m", "20/h")
    async def post(self) -> None:
        """Send a link."""
        await self.ask(ask_for_reset)


class ResetFinishHandler(LinkPage):
    """`/reset/finish`: the new password."""

    template = "reset_finish.html"
    way_on = ("/reset", "Ask for a new one")

    @rate_limit("30/m")
    async def get(self) -> None:
        """The form."""
        await self.follow(check_reset_link)
        self.show(token=self.token)

    @rate_limit("10/m")
    async def post(self) -> None:
        """Set it. Logging in, with the second factor if there is one, comes after."""
        try:
            await self.follow(reset_password, self.form("password")["password"])
        except FormError as error:
            self.show(token=self.token, error=error)
            return
        self.done("/login", "reset")


class EmailConfirmHandler(LinkPage):
    """`/email/confirm`: the link that was sent to a new mail address."""

    template = "email_confirm.html"
    way_on = ("/me", "Ask for a new one")

    @rate_limit("30/m")
    async def get(self) -> None:
        """Ask once more."""
        self.show(token=self.token, email=await self.follow(new_email_of))

    @rate_limit("10/m")
    async def post(self) -> None:
        """Take the address."""
        await self.follow(change_email)
        self.done("/me", "email")


class InvitationPage(LinkPage):
    """The base of pages where an invitation is accepted: by people with a login, and by new ones."""

    template = "invitation.html"
    path: ClassVar[str]
    """Where the forms go."""

    async def look(self) -> dict[str, Any]:
        """`offer` with an address, `title`, `lead` and `verb`. Raises `HTTPError` 410."""
        raise NotImplementedError

    async def accept_as_user(self, user_id: int) -> None:
        """Let a signed-in person in and lead on. Raises `HTTPError` 410."""
        raise NotImplementedError

    async def accept_as_new(self, name: str, password: str) -> None:
        """Make the person, let them in and lead on. Raises `FormError`, `HTTPError` 410."""
        raise NotImplementedError

    @rate_limit("30/m")
    async def get(self) -> None:
        """What is offered, and the way to accept it."""
        self.show(token=self.token, path=self.path, name="", **await self.look())

    @rate_limit("10/m")
    async def post(self) -> None:
        """Accept."""
        if self.login is not None:
            await self.accept_as_user(self.login.user_id)
            return
        given = self.form("name", "password")
        try:
            await self.accept_as_new(given["name"], given["password"])
        except FormError as error:
            self.show(token=self.token, path=self.path, name=given["name"], error=error, **await self.look())


class InvitationHandler(InvitationPage):
    """`/invitations/accept`: into an account."""

    path = "/invitations/accept"

    async def look(self) -> dict[str, Any]:
        """See the base."""
        offer = await self.follow(look_at_invitation)
        lead = f"You were invited as {offer.role}, with the address {offer.email}."
        return {"offer": offer, "title": f"Join {offer.account_name}", "lead": lead, "verb": "Join"}

    async def accept_as_user(self, user_id: int) -> None:
        """See the base."""
        account_id = await self.follow(accept_as_user, user_id)
        self.done(f"/accounts/{account_id}/team", "joined")

    async def accept_as_new(self, name: str, password: str) -> None:
        """See the base."""
        user_id = await self.follow(accept_as_new, name, password)
        await self.log_in(user_id)
        self.done("/sites", "joined")


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
