"""A page with forms: values, errors at fields, and what to say after a redirect."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from sqlalchemy.exc import SQLAlchemyError
from tornado.web import UIModule

from server.accounts.errors import FormError
from server.accounts.sessions import AccountPlace
from server.clock import now_ms
from server.handler import BaseHandler
from server.pages.capacity_notice import capacity_notices

log = logging.getLogger(__name__)

# What a page says after a form was carried out; the URL names the line, so no text of a stranger is ever shown.
DONE = {
    "logged-out": "You are logged out.",
    "name": "Your name is changed.",
    "email-asked": "We sent a link to the new address. It stays as it is until you open that link.",
    "email": "Your mail address is changed.",
    "password": "Your password is changed, and your other logins are ended.",
    "reset": "Your password is changed. Log in with it.",
    "two-factor-off": "Two-factor authentication is off.",
    "notices": "Your choice is kept.",
    "session": "That login is ended.",
    "sessions": "All your other logins are ended.",
    "invited": "The invitation is on its way.",
    "invitation": "The invitation is taken back.",
    "role": "The role is changed.",
    "removed": "That person is no member any more.",
    "left": "You have left the account.",
    "guest-removed": "The site is closed to that person.",
    "guest-left": "You are a guest of that site no more.",
    "owner": "The account has a new owner who answers for its plan.",
    "account-deletion": "The deletion is asked for. We told every owner of the account by mail.",
    "account-kept": "The account stays.",
    "renamed": "The account is renamed.",
    "joined": "Welcome to the team.",
    "key": "That key is ended.",
    "subscribed": "Thank you. If the plan is not here yet, Stripe is still busy with it: load the page again.",
    "usage-timezone": "Kept. It holds from the next period on.",
    "plan": "The plan is switched.",
    "plan-waits": "Stripe waits for the payment: confirm it there, then the plan begins.",
    "subscription-cancelled": "The subscription ends with what is paid.",
    "subscription-kept": "The subscription goes on.",
    "test-mail": "The test mail is on its way.",
    "import-started": "The import is under way. You may leave this page.",
    "import-removing": "The import is being removed.",
    "kept": "Kept. It holds within seconds.",
    "gpc": "Kept. The snippet has another attribute now: put it on your pages again (Installation).",
    "my-address": "Your address is kept out from now on.",
    "site-renamed": "The site has another name now. Put the new snippet on its pages.",
    "timezone": "The time zone is kept; the table says from which day it holds.",
    "reports": "Kept. The next mails go out accordingly.",
    "report-asked": "We asked that address; it gets nothing before it agrees.",
    "report-removed": "That address gets nothing any more.",
    "report-test": "The report is on its way to you.",
    "traffic-alerts": "The alerts are kept, and looked at every five minutes.",
    "shared": "The link works from now on.",
    "unshared": "The link is ended.",
    "offered": "The offer is on its way.",
    "offer-revoked": "The offer is taken back.",
    "taken": "The site is yours now.",
    "figures-reset": "All figures up to now are being deleted.",
    "deleting": "The site is being deleted.",
    "restored": "The site is back, and counts again.",
    "blocked": "Blocked. Hits are dropped within seconds.",
    "unblocked": "Unblocked. Hits are counted within seconds.",
    "staff-plan": "The plan is changed, and the owner is told.",
    "flag": "The flag is kept.",
    "stopped-acting": "You are yourself again.",
    "approved": "Approved: the account is hidden, and is destroyed within three days.",
    "refused": "Refused. The account is what it was, and its owners are told.",
    "drafted": "The draft is kept.",
    "draft-deleted": "The draft is thrown away.",
    "tested": "The test is on its way to you.",
    "sending": "The mails are being queued.",
    "stopped-sending": "Stopped. Nothing further is queued.",
    "job-started": "Asked for: a worker starts it within seconds.",
    "task-retried": "The task is due now.",
    "task-given-up": "The task is given up.",
    "task-stopping": "The task stops at its next step.",
    "replayed": "Stored, and out of the quarantine.",
    "replay-found": "It was stored already, and is out of the quarantine.",
}


class PageHandler(BaseHandler):
    """The base of handlers that show a page."""

    template: str

    # Whether the page's frame says that the account's plan is used up.
    tells_capacity: ClassVar[bool] = True

    async def prepare(self) -> None:
        """Let in whom `access` names; pages for anybody know who is signed in as well."""
        await super().prepare()
        await self.look_for_login()
        self.refuse_stand_in()
        if self.tells_capacity:
            await self.look_for_capacity()

    async def look_for_login(self) -> None:
        """For the page's frame alone: while the app database is away it is that of a stranger."""
        try:
            await self.find_login()
        except SQLAlchemyError as error:
            log.warning("a login could not be looked up", extra={"reason": type(error).__name__})

    def capacity_places(self) -> Sequence[AccountPlace]:
        """The accounts whose capacity the page's frame speaks of: that of the path, unless it is being deleted.

        Guests belong to none, and are told nothing.
        """
        login, place = self.login, self.place
        return () if login is None or place is None or login.place(place.account_id) is None else (place,)

    async def look_for_capacity(self) -> None:
        """For the page's frame alone, like the login: a page is never refused for want of it."""
        places = self.capacity_places()
        if not places:
            return
        try:
            self.capacity_notices = await self.in_thread(capacity_notices, self.app_context.services, places, now_ms())
        except SQLAlchemyError as error:
            log.warning("capacity could not be looked up", extra={"reason": type(error).__name__})

    def form(self, *names: str) -> dict[str, str]:
        """The form's fields as sent; a field that is missing is empty."""
        return {name: self.get_body_argument(name, "", strip=name not in ("password", "current")) for name in names}

    def show(self, template: str = "", *, status: int = 200, error: FormError | None = None, **values: Any) -> None:
        """Render a template. `error` is shown at its field, with status 400 unless another is given."""
        if error is not None and status == 200:
            status = 400
        self.set_status(status)
        done = DONE.get(self.get_query_argument("done", ""), "")
        self.render(template or self.template, error=error, done=done, **values)

    def done(self, path: str, what: str) -> None:
        """Lead on to a page that says what was done."""
        self.redirect(f"{path}?{urlencode({'done': what})}", status=303)

    @property
    def next_path(self) -> str:
        """Where to go after logging in: a path of this server, whatever a link says."""
        path = self.get_argument("next", "")
        is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
        return path if is_ours else "/sites"


class Field(UIModule):
    """A label, an input, a hint and the error that belongs to it."""

    def render(
        self,
        name: str,
        label: str,
        *,
        kind: str = "text",
        value: str = "",
        hint: str = "",
        error: FormError | None = None,
        **attributes: str,
    ) -> str:
        """`attributes` go to the input, `_` standing for `-`."""
        message = error.message if error is not None and error.field == name else ""
        names = {key.rstrip("_").replace("_", "-"): text for key, text in attributes.items()}
        return self.render_string(
            "field.html", name=name, label=label, kind=kind, value=value, hint=hint, message=message, attributes=names
        ).decode()


class Area(UIModule):
    """The same for several lines."""

    def render(
        self, name: str, label: str, *, value: str = "", hint: str = "", rows: int = 4, error: FormError | None = None
    ) -> str:
        """See `Field`."""
        message = error.message if error is not None and error.field == name else ""
        rows = min(max(rows, value.count("\n") + 2), 12)
        return self.render_string(
            "area.html", name=name, label=label, value=value, hint=hint, rows=rows, message=message
        ).decode()
