"""`/admin/mail`: what was sent, the test mail, and the outbox while there is no mail server."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tornado.web import HTTPError

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError
from server.accounts.users import clean_email
from server.clock import now_ms
from server.handler import AppContext
from server.mail import list_outbox, read_outbox
from server.models import Mail
from server.pages.admin.staff_page import StaffPage
from server.rate_limit import rate_limit

ROWS = 50
OUTBOX_ROWS = 20
STATES = ("queued", "sent", "failed")


class MailHandler(StaffPage):
    """`/admin/mail`"""

    template = "admin/mail.html"
    room = "/admin/mail"

    async def get(self) -> None:
        """The page."""
        assert self.login is not None
        await self._show(self.login.email, None)

    @rate_limit("5/m", "30/h")
    async def post(self) -> None:
        """Send a test mail."""
        address = self.form("email")["email"]
        try:
            await self.carry_out(lambda session: self._send(session, address))
        except FormError as error:
            await self._show(address, error)
            return
        self.done("/admin/mail", "test-mail")

    def _send(self, session: Session, address: str) -> None:
        self.app_context.services.mailer.queue(session, clean_email(address), "test")
        write_entry(session, Action.TEST_MAIL_SENT, now_ms(), actor=self.staff_id)

    async def _show(self, email: str, error: FormError | None) -> None:
        settings = self.app_context.settings
        state, to, before = self.text("state", 16), self.text("to").strip().lower(), self.number("before")
        if state and state not in STATES:
            raise HTTPError(400, f"A state is one of {', '.join(STATES)}.")

        def read(session: Session) -> tuple[list[Mail], dict[str, int]]:
            found = select(Mail).order_by(Mail.mail_id.desc()).limit(ROWS + 1)
            if state:
                found = found.where(Mail.state == state)
            if to:
                found = found.where(Mail.to_address == to)
            if before is not None:
                found = found.where(Mail.mail_id < before)
            counted = select(Mail.state, func.count()).group_by(Mail.state)
            return list(session.execute(found).scalars()), dict(session.execute(counted).all())

        mails, counts = await self.read(read)
        outbox = [] if settings.smtp_url else await self.in_thread(list_outbox, settings, OUTBOX_ROWS)
        self.show(
            mails=mails[:ROWS],
            next_before=mails[ROWS - 1].mail_id if len(mails) > ROWS else None,
            before=before,
            counts=counts,
            states=STATES,
            state=state,
            to=to,
            outbox=outbox,
            has_server=bool(settings.smtp_url),
            email=email,
            error=error,
        )


class OutboxHandler(StaffPage):
    """`/admin/mail/<name>`: one mail of the outbox."""

    template = "admin/outbox.html"
    room = "/admin/mail"

    async def get(self, name: str) -> None:
        """The page."""
        try:
            mail = await self.in_thread(read_outbox, self.app_context.settings, name)
        except FileNotFoundError:
            raise HTTPError(404, "This mail is not in the outbox any more.") from None
        self.show(mail=mail)


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [
        (r"/admin/mail", MailHandler, given),
        (r"/admin/mail/([A-Za-z0-9_.-]{1,200})", OutboxHandler, given),
    ]
