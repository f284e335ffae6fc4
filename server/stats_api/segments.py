"""Segments: filters under a name, one's own or everybody's.

Personal ones are there for the one who made them alone; any member or guest may have some. Admins, and guests who are
editors, change those of everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from server.accounts.access import READER, SEES_SITE, by_method
from server.accounts.errors import FormError, NotAllowed, NotThere
from server.clock import now_ms
from server.models import Goal, Segment
from server.queries.errors import QueryError
from server.queries.filters import FilterParser
from server.queries.goals import GoalRule
from server.reader_handler import Reader
from server.stats_api.setup import CollectionHandler, Editor, ItemHandler, SetupKind, Shown, only_known, text_of

_FIELDS = ("name", "filters", "is_personal")
_NEEDS_ADMIN = "Segments for everybody are changed by admins; you can keep one for yourself."


def _shown(segment: Segment) -> Shown:
    return {"segment_id": segment.segment_id, **{name: getattr(segment, name) for name in _FIELDS}}


class Segments(SetupKind):
    """See the module."""

    name = "segments"
    model = Segment
    most = 500
    taken = ("name", "There is a segment of this name already.")

    def rows(self, session: Session, site_id: int, reader: Reader) -> list[Shown]:
        """Everybody's and the reader's own, by name."""
        seen: ColumnElement[bool] = Segment.is_personal.is_(False)
        if reader.user_id is not None:
            seen = or_(seen, Segment.created_by_user_id == reader.user_id)
        theirs = select(Segment).where((Segment.site_id == site_id) & seen)
        rows = session.execute(theirs.order_by(Segment.name, Segment.segment_id)).scalars()
        return [_shown(segment) for segment in rows]

    def add(self, session: Session, site_id: int, fields: Mapping[str, Any], editor: Editor) -> Shown:
        """Make one."""
        only_known(fields, _FIELDS)
        checked = self._checked(session, site_id, {"is_personal": True, **fields}, editor)
        segment = Segment(site_id=site_id, created_by_user_id=editor.user_id, created_at_ms=now_ms(), **checked)
        session.add(segment)
        session.flush()
        return _shown(segment)

    def change(self, session: Session, site_id: int, number: int, fields: Mapping[str, Any], editor: Editor) -> Shown:
        """Another name, other filters, for somebody else."""
        only_known(fields, _FIELDS)
        segment = self._find(session, site_id, number, editor)
        before = {name: getattr(segment, name) for name in _FIELDS}
        checked = self._checked(session, site_id, {**before, **fields}, editor)
        if checked["is_personal"] and not segment.is_personal:
            # It is the admin's who takes it from everybody.
            segment.created_by_user_id = editor.user_id
        for name, value in checked.items():
            setattr(segment, name, value)
        session.flush()
        return _shown(segment)

    def remove(self, session: Session, site_id: int, number: int, editor: Editor) -> None:
        """Take one away."""
        session.delete(self._find(session, site_id, number, editor))

    def _find(self, session: Session, site_id: int, number: int, editor: Editor) -> Segment:
        segment = session.get(Segment, number)
        if segment is None or segment.site_id != site_id:
            raise NotThere("segment")
        if segment.is_personal and segment.created_by_user_id != editor.user_id:
            raise NotThere("segment")
        if not segment.is_personal and not editor.is_admin:
            raise NotAllowed(_NEEDS_ADMIN)
        return segment

    def _checked(self, session: Session, site_id: int, fields: Mapping[str, Any], editor: Editor) -> Shown:
        name = text_of(fields, "name", 100, "The name of the segment")
        is_personal, filters = fields["is_personal"], fields.get("filters")
        if not isinstance(is_personal, bool):
            raise FormError("is_personal", "is_personal is true or false.")
        if not is_personal and not editor.is_admin:
            raise NotAllowed(_NEEDS_ADMIN)
        if is_personal and editor.user_id is None:
            raise FormError("is_personal", "An API key is nobody: its segments are for everybody.")
        goals = session.execute(select(Goal).where(Goal.site_id == site_id)).scalars()
        try:
            FilterParser([GoalRule.of(goal) for goal in goals], {}).parse_all(filters)
        except QueryError as error:
            raise FormError("filters", str(error)) from None
        if not filters:
            raise FormError("filters", "A segment has at least one filter.")
        return {"name": name, "filters": filters, "is_personal": is_personal}


class SegmentsHandler(CollectionHandler):
    """`/api/sites/<domain>/segments`"""

    access = by_method(GET=READER, POST=SEES_SITE)
    kind = Segments()


class SegmentHandler(ItemHandler):
    """`/api/sites/<domain>/segments/<id>`"""

    access = by_method(PATCH=SEES_SITE, DELETE=SEES_SITE)
    kind = Segments()
