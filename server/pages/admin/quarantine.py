"""`/admin/quarantine`: files with hits that could not be stored, on the machine that answers; sending them again."""

from __future__ import annotations

import socket
from typing import Any

from tornado.web import HTTPError

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, NotThere
from server.app_database import writing
from server.clock import now_ms
from server.flusher import REPLAY_MAX_AGE_S
from server.handler import AppContext
from server.pages.admin.staff_page import StaffPage
from server.quarantine import Quarantine, Quarantined
from server.rate_limit import rate_limit
from server.segment_replay import TOO_OLD, Replayed, replay_kept
from server.sites import destroyed_sites
from server.store import configured_store

ROWS = 200


class QuarantineHandler(StaffPage):
    """`/admin/quarantine`"""

    template = "admin/quarantine.html"
    room = "/admin/quarantine"

    async def get(self) -> None:
        """The page."""
        await self._show()

    @rate_limit("30/m")
    async def post(self) -> None:
        """Send one segment again. One that is too old to be asked for is sent only when that was said."""
        given = self.form("name", "even_if_old")
        result = await self._replay(given["name"], given["even_if_old"] == "yes")
        if result.problem:
            # How old hits are is in the segment; the page knows only since when it is here.
            too_old = given["name"] if result.problem == TOO_OLD else ""
            await self._show(FormError("", f"Not stored, and kept as it was: {result.problem}."), too_old)
            return
        self.done("/admin/quarantine", "replay-found" if result.found else "replayed")

    async def _replay(self, name: str, even_if_old: bool) -> Replayed:
        def work() -> Replayed:
            quarantine = Quarantine(self.app_context.settings.quarantine_dir)
            entry = next((each for each in quarantine.entries() if each.path.name == name and each.is_segment), None)
            if entry is None:
                raise NotThere("segment")
            # What follows is not of the app database: that it was begun is written first.
            with writing(self.app_context.engine) as session:
                write_entry(
                    session,
                    Action.QUARANTINE_REPLAYED,
                    now_ms(),
                    actor=self.staff_id,
                    target=name,
                    records=entry.records,
                    even_if_old=even_if_old,
                )
            store = configured_store(self.app_context.settings)
            gone = destroyed_sites(self.app_context.engine)
            return replay_kept(quarantine, entry, store.make_sink, even_if_old=even_if_old, destroyed_sites=gone)

        try:
            return await self.in_thread(work)
        except NotThere:
            raise HTTPError(404, "This file is not in the quarantine any more.") from None

    async def _show(self, error: FormError | None = None, too_old: str = "") -> None:
        kept: list[Quarantined] = await self.in_thread(Quarantine(self.app_context.settings.quarantine_dir).entries)
        old_ms = now_ms() - REPLAY_MAX_AGE_S * 1000
        shown = kept[:ROWS]
        old = {each.path.name for each in shown if each.at_ms < old_ms} | {too_old}
        self.show(entries=shown, count=len(kept), old=old, error=error, host=socket.gethostname())


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    return [(r"/admin/quarantine", QuarantineHandler, {"app_context": app_context})]
