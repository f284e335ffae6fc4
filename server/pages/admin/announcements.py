"""`/admin/announcements`: writing a mail to a group, looking at it, trying it on oneself, sending it once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.accounts.errors import FormError, NotThere
from server.announcements import (
    AUDIENCES,
    AUDIENCES_BY_CODE,
    count_receivers,
    delete_draft,
    rendered,
    send_test_mail,
    start_sending,
    stop_sending,
    write_draft,
)
from server.clock import now_ms
from server.handler import AppContext, BaseHandler
from server.models import Announcement
from server.pages.admin.staff_page import StaffPage, unknown_form
from server.rate_limit import rate_limit

ROWS = 50

ROOM = "/admin/announcements"


class AnnouncementsHandler(StaffPage):
    """`/admin/announcements`: all of them, and a new one."""

    template = "admin/announcements.html"
    room = ROOM

    async def get(self) -> None:
        """The page."""
        await self._show()

    @rate_limit("30/m")
    async def post(self) -> None:
        """Write a draft."""
        given, actor = self.form("subject", "text", "audience"), self.staff_id
        try:
            number = await self.carry_out(
                lambda session: write_draft(
                    session, None, given["subject"], given["text"], given["audience"], actor, now_ms()
                )
            )
        except FormError as error:
            await self._show(error)
            return
        self.done(f"{ROOM}/{number}", "drafted")

    async def _show(self, error: FormError | None = None) -> None:
        newest = select(Announcement).order_by(Announcement.announcement_id.desc()).limit(ROWS)
        rows = await self.read(lambda session: session.execute(newest).scalars().all())
        typed = self.form("subject", "text", "audience")
        self.show(rows=rows, audiences=AUDIENCES, by_code=AUDIENCES_BY_CODE, typed=typed, error=error)


class AnnouncementHandler(StaffPage):
    """`/admin/announcements/<number>`: preview, test, sending, progress."""

    template = "admin/announcement.html"
    room = ROOM

    CONTENT_SECURITY_POLICY: ClassVar[str] = f"{BaseHandler.CONTENT_SECURITY_POLICY}; frame-src 'self'"

    async def get(self, number: str) -> None:
        """The page."""
        await self._show(int(number))

    @rate_limit("60/m")
    async def post(self, number: str) -> None:
        """One of the page's forms; the field `change` says which."""
        announcement_id, change = int(number), self.form("change")["change"]
        try:
            work, said = self._work(announcement_id, change)
            await self.carry_out(work)
        except FormError as error:
            await self._show(announcement_id, error)
            return
        self.done(ROOM if change == "delete" else f"{ROOM}/{announcement_id}", said)

    def _work(self, announcement_id: int, change: str) -> tuple[Callable[[Session], Any], str]:
        services, actor, now = self.app_context.services, self.staff_id, now_ms()
        given = self.form("subject", "text", "audience", "sure")
        match change:
            case "write":
                return lambda session: write_draft(
                    session, announcement_id, given["subject"], given["text"], given["audience"], actor, now
                ), "drafted"
            case "test":
                return lambda session: send_test_mail(session, services, announcement_id, actor, now), "tested"
            case "send":
                if given["sure"] != "yes":
                    raise FormError("sure", "Say that you have read the preview: a sent mail cannot be taken back.")
                return lambda session: start_sending(session, services, announcement_id, actor, now), "sending"
            case "stop":
                return lambda session: stop_sending(session, announcement_id, actor, now), "stopped-sending"
            case "delete":
                return lambda session: delete_draft(session, announcement_id, actor, now), "draft-deleted"
            case _:
                raise unknown_form()

    async def _show(self, announcement_id: int, error: FormError | None = None) -> None:
        services = self.app_context.services

        def read(session: Session) -> dict[str, Any]:
            row = _found(session, announcement_id)
            return {
                "row": row,
                "mail": rendered(services, row, now_ms()),
                "count": count_receivers(session, row.audience) if row.state == "draft" else row.receivers,
            }

        shown = await self.read(read)
        row = shown["row"]
        sent = self.form("subject", "text", "audience")
        is_typed = error is not None and self.form("change")["change"] == "write"
        typed = sent if is_typed else {"subject": row.subject, "text": row.text, "audience": row.audience}
        self.show(**shown, audiences=AUDIENCES, by_code=AUDIENCES_BY_CODE, typed=typed, error=error)


class PreviewHandler(StaffPage):
    """`/admin/announcements/<number>/preview`: the mail's own HTML, alone in a frame that can do nothing."""

    room = ROOM

    # A mail's styles are part of it; nothing else of it may do or load anything.
    CONTENT_SECURITY_POLICY: ClassVar[str] = (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
        "sandbox"
    )

    def set_default_headers(self) -> None:
        """Shown in a frame of ours."""
        super().set_default_headers()
        self.set_header("X-Frame-Options", "SAMEORIGIN")

    async def get(self, number: str) -> None:
        """The HTML as it will be sent."""
        services = self.app_context.services
        mail = await self.read(lambda session: rendered(services, _found(session, int(number)), now_ms()))
        self.write(mail.html)


def _found(session: Session, announcement_id: int) -> Announcement:
    row = session.get(Announcement, announcement_id)
    if row is None:
        raise NotThere("announcement")
    return row


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [
        (r"/admin/announcements", AnnouncementsHandler, given),
        (r"/admin/announcements/([0-9]{1,9})", AnnouncementHandler, given),
        (r"/admin/announcements/([0-9]{1,9})/preview", PreviewHandler, given),
    ]
