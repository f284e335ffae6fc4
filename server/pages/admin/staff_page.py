"""What every room of the panel has: who gets in, the way to the other rooms, how a form is carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import HTTPError

from server.accounts.access import STAFF
from server.accounts.errors import FormError, NotAllowed, NotThere
from server.accounts.search import LARGEST_NUMBER
from server.app_database import reading, writing
from server.clock import now_ms
from server.pages.page import PageHandler

ROOMS = (
    ("/admin", "Overview"),
    ("/admin/accounts", "Accounts"),
    ("/admin/people", "People"),
    ("/admin/sites", "Sites"),
    ("/admin/deletions", "Deletions"),
    ("/admin/announcements", "Announcements"),
    ("/admin/mail", "Mail"),
    ("/admin/jobs", "Jobs"),
    ("/admin/tasks", "Tasks"),
    ("/admin/drops", "Drops"),
    ("/admin/quarantine", "Quarantine"),
    ("/admin/flags", "Flags"),
    ("/admin/log", "Log"),
    ("/admin/data", "Data"),
)

Work = Callable[[Session], Any]


class StaffPage(PageHandler):
    """The base of the panel's pages."""

    access = STAFF

    # The path of the room that this page belongs to.
    room = "/admin"

    def show(self, template: str = "", *, only: str = "", **values: Any) -> None:
        """Render, with the ways to the other rooms. `only`: what a list's further pages keep, such as `used_up=1`."""
        super().show(template, rooms=ROOMS, room=self.room, now=now_ms(), only=only, **values)

    @property
    def staff_id(self) -> int:
        """Who acts."""
        assert self.login is not None
        return self.login.user_id

    async def read(self, work: Work) -> Any:
        """What `work` reads, in one transaction on a thread. 404 for what is not there."""

        def run() -> Any:
            with reading(self.app_context.engine) as session:
                return work(session)

        return await self._found(run)

    async def carry_out(self, work: Work) -> Any:
        """What `work` changes, in one transaction on a thread. 404 for what is not there; raises `FormError`."""

        def run() -> Any:
            with writing(self.app_context.engine) as session:
                return work(session)

        return await self._found(run)

    async def tell_fronts(self) -> None:
        """Whoever takes hits looks at once."""
        await self.in_thread(self.app_context.announce)

    async def _found(self, run: Callable[[], Any]) -> Any:
        try:
            return await self.in_thread(run)
        except NotThere:
            raise HTTPError(404, "That is not here any more, or it is in another state by now.") from None
        except NotAllowed as refused:
            raise FormError("", str(refused)) from None

    def number(self, name: str) -> int | None:
        """A whole number of the query, such as where a page goes on. 400 for anything else."""
        text = self.get_query_argument(name, "")
        return _whole(name, text) if text else None

    def posted_number(self, name: str) -> int:
        """A whole number of the form. 400 for anything else."""
        return _whole(name, self.form(name)[name])

    def text(self, name: str, longest: int = 254) -> str:
        """A text of the query. 400 for one that is too long."""
        text = self.get_query_argument(name, "")
        if len(text) > longest:
            raise HTTPError(400, f"{name} may have {longest} characters.")
        return text


def _whole(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 10 or int(text) > LARGEST_NUMBER:
        raise HTTPError(400, f"{name} is a whole number.")
    return int(text)


def unknown_form() -> FormError:
    """A form that the page does not have."""
    return FormError("", "This form is not one of this page.")
