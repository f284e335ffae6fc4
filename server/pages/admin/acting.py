"""`/stand-in/stop`: the button of the banner. Not under `/admin`: whoever acts as somebody has no powers of staff."""

from __future__ import annotations

from typing import Any

from server.accounts.access import SIGNED_IN, by_method
from server.accounts.stand_ins import stop_stand_in
from server.app_database import writing
from server.clock import now_ms
from server.handler import AppContext
from server.pages.page import PageHandler


class StopHandler(PageHandler):
    """`/stand-in/stop`"""

    access = by_method(POST=SIGNED_IN)
    is_open_to_stand_ins = True

    async def post(self) -> None:
        """Be oneself again."""
        assert self.login is not None
        login, acting = self.login, self.login.acting
        if acting is None:
            # It ended meanwhile, by itself or in another window.
            self.redirect("/admin" if login.is_staff else "/sites", status=303)
            return

        def stop() -> None:
            with writing(self.app_context.engine) as session:
                stop_stand_in(session, login.session_id, acting, login.user_id, now_ms())

        await self.in_thread(stop)
        self.done(f"/admin/people/{login.user_id}", "stopped-acting")


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    return [(r"/stand-in/stop", StopHandler, {"app_context": app_context})]
