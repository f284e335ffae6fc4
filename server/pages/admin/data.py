"""`/admin/data`: every table of the app database, to be looked at (`server.model_browser` decides what is shown)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import HTTPError

from server.handler import AppContext
from server.model_browser import NoSuchTable, read_row, read_table, tables
from server.pages.admin.staff_page import StaffPage


class DataPage(StaffPage):
    """The base of the three."""

    room = "/admin/data"

    async def look(self, work: Callable[[Session], Any]) -> Any:
        """What the browser says. 404 for what is not there, 400 for a value that no column takes."""
        try:
            return await self.read(work)
        except NoSuchTable as error:
            raise HTTPError(404, f"{error}.") from None
        except ValueError:
            raise HTTPError(400, "No row of this table has such a key or value.") from None


class TablesHandler(DataPage):
    """`/admin/data`"""

    template = "admin/tables.html"

    def get(self) -> None:
        """Every table."""
        self.show(tables=tables())


class TableHandler(DataPage):
    """`/admin/data/<table>`"""

    template = "admin/table.html"

    async def get(self, name: str) -> None:
        """One page of its rows."""
        column, value, after = self.text("column", 64), self.text("value", 300), self.text("after", 600)
        filters = {column: value} if column and value else {}
        page = await self.look(lambda session: read_table(session, name, filters, after))
        self.show(page=page, column=column, value=value, after=after)


class RowHandler(DataPage):
    """`/admin/data/<table>/<key>`"""

    template = "admin/row.html"

    async def get(self, name: str, key: str) -> None:
        """One row."""
        self.show(page=await self.look(lambda session: read_row(session, name, key)))


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [
        (r"/admin/data", TablesHandler, given),
        (r"/admin/data/([a-z_]{1,64})", TableHandler, given),
        (r"/admin/data/([a-z_]{1,64})/([A-Za-z0-9_.@:~,-]{1,900})", RowHandler, given),
    ]
