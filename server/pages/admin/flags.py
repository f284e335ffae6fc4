"""`/admin/flags`: features that are on for everybody, or for some accounts."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from server.accounts.errors import FormError
from server.accounts.flags import change_flag, list_flags, remove_flag
from server.accounts.names import account_names
from server.clock import now_ms
from server.handler import AppContext
from server.pages.admin.staff_page import StaffPage, unknown_form
from server.rate_limit import rate_limit


class FlagsHandler(StaffPage):
    """`/admin/flags`"""

    template = "admin/flags.html"
    room = "/admin/flags"

    async def get(self) -> None:
        """The page."""
        await self._show()

    @rate_limit("60/m")
    async def post(self) -> None:
        """`change` is keep or remove."""
        given, actor = self.form("change", "name", "is_on", "accounts"), self.staff_id
        is_on = given["is_on"] == "1"
        try:
            match given["change"]:
                case "keep":
                    await self.carry_out(
                        lambda session: change_flag(session, given["name"], is_on, given["accounts"], actor, now_ms())
                    )
                case "remove":
                    await self.carry_out(lambda session: remove_flag(session, given["name"], actor, now_ms()))
                case _:
                    raise unknown_form()
        except FormError as error:
            await self._show(error)
            return
        self.done("/admin/flags", "flag")

    async def _show(self, error: FormError | None = None) -> None:
        def read(session: Session) -> dict[str, Any]:
            flags = list_flags(session)
            return {"flags": flags, "names": account_names(session, [n for flag in flags for n in flag.account_ids])}

        typed = self.form("name", "accounts", "is_on")
        self.show(**await self.read(read), typed=typed, error=error)


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    return [(r"/admin/flags", FlagsHandler, {"app_context": app_context})]
