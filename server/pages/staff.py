"""Staff's pages: how the installation is doing, and its mail."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from tornado.web import HTTPError

from server.accounts.access import STAFF
from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError
from server.accounts.users import clean_email
from server.app_database import reading, writing
from server.clock import now_ms
from server.handler import AppContext
from server.mail import list_outbox, read_outbox, send_test
from server.models import Account, Alert, JobRun, JobState, Mail, Site, Task, User
from server.pages.page import PageHandler
from server.rate_limit import rate_limit

ROWS = 50


class StaffHandler(PageHandler):
    """`/admin`: counts, jobs, tasks, alerts."""

    access = STAFF
    template = "admin.html"

    async def get(self) -> None:
        """The page."""
        self.show(**await self.in_thread(self._read), now=now_ms())

    def _read(self) -> dict[str, Any]:
        with reading(self.app_context.engine) as session:
            totals = {
                name: session.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in (("people", User), ("accounts", Account), ("sites", Site))
            }
            states = session.execute(select(JobState).order_by(JobState.job, JobState.shard)).scalars().all()
            latest = select(func.max(JobRun.run_id)).group_by(JobRun.job, JobRun.shard)
            runs = session.execute(select(JobRun).where(JobRun.run_id.in_(latest))).scalars().all()
            tasks = session.execute(select(Task.kind, Task.state, func.count()).group_by(Task.kind, Task.state)).all()
            alerts = session.execute(select(Alert).order_by(Alert.last_at_ms.desc()).limit(ROWS)).scalars().all()
            return {
                "totals": totals,
                "jobs": [(state, _run_of(state, runs)) for state in states],
                "tasks": sorted(tuple(row) for row in tasks),
                "alerts": alerts,
            }


def _run_of(state: JobState, runs: Any) -> JobRun | None:
    return next((run for run in runs if (run.job, run.shard) == (state.job, state.shard)), None)


class MailHandler(PageHandler):
    """`/admin/mail`: what was sent, the test mail, and the outbox while there is no mail server."""

    access = STAFF
    template = "admin_mail.html"

    async def get(self) -> None:
        """The page."""
        assert self.login is not None
        await self._show(self.login.email, None)

    @rate_limit("5/m", "30/h")
    async def post(self) -> None:
        """Send a test mail."""
        address = self.form("email")["email"]
        try:
            await self.in_thread(self._send, address)
        except FormError as error:
            await self._show(address, error)
            return
        self.done("/admin/mail", "test-mail")

    def _send(self, address: str) -> None:
        assert self.login is not None
        email = clean_email(address)
        send_test(self.app_context.services, email)
        with writing(self.app_context.engine) as session:
            write_entry(session, Action.TEST_MAIL_SENT, now_ms(), actor=self.login.user_id)

    async def _show(self, email: str, error: FormError | None) -> None:
        settings = self.app_context.settings

        def read() -> tuple[Any, Any]:
            with reading(self.app_context.engine) as session:
                mails = session.execute(select(Mail).order_by(Mail.mail_id.desc()).limit(ROWS)).scalars().all()
            return mails, [] if settings.smtp_url else list_outbox(settings)

        mails, outbox = await self.in_thread(read)
        self.show(mails=mails, outbox=outbox, has_server=bool(settings.smtp_url), email=email, error=error)


class OutboxHandler(PageHandler):
    """`/admin/mail/<name>`: one mail of the outbox."""

    access = STAFF
    template = "admin_outbox.html"

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
        (r"/admin", StaffHandler, given),
        (r"/admin/mail", MailHandler, given),
        (r"/admin/mail/([A-Za-z0-9_.-]{1,200})", OutboxHandler, given),
    ]
