"""Annotations: a note on a day, which every chart of the site shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.accounts.errors import FormError, NotThere
from server.clock import now_ms
from server.models import Annotation
from server.reader_handler import Reader
from server.stats_api.setup import CollectionHandler, Editor, ItemHandler, SetupKind, Shown, only_known, text_of

_FIELDS = ("day", "text")


def _shown(annotation: Annotation) -> Shown:
    return {"annotation_id": annotation.annotation_id, "day": annotation.day, "text": annotation.text}


class Annotations(SetupKind):
    """See the module."""

    name = "annotations"
    model = Annotation
    most = 1000
    taken = ("text", "There is such a note already.")

    def rows(self, session: Session, site_id: int, reader: Reader) -> list[Shown]:
        """The latest day first."""
        theirs = select(Annotation).where(Annotation.site_id == site_id)
        rows = session.execute(theirs.order_by(Annotation.day.desc(), Annotation.annotation_id)).scalars()
        return [_shown(annotation) for annotation in rows]

    def add(self, session: Session, site_id: int, fields: Mapping[str, Any], editor: Editor) -> Shown:
        """Make one."""
        only_known(fields, _FIELDS)
        annotation = Annotation(
            site_id=site_id, created_by_user_id=editor.user_id, created_at_ms=now_ms(), **_checked(fields)
        )
        session.add(annotation)
        session.flush()
        return _shown(annotation)

    def change(self, session: Session, site_id: int, number: int, fields: Mapping[str, Any], editor: Editor) -> Shown:
        """Another day, another text."""
        only_known(fields, _FIELDS)
        annotation = self._find(session, site_id, number)
        checked = _checked({**_shown(annotation), **fields})
        annotation.day, annotation.text = checked["day"], checked["text"]
        session.flush()
        return _shown(annotation)

    def remove(self, session: Session, site_id: int, number: int, editor: Editor) -> None:
        """Take one away."""
        session.delete(self._find(session, site_id, number))

    @staticmethod
    def _find(session: Session, site_id: int, number: int) -> Annotation:
        annotation = session.get(Annotation, number)
        if annotation is None or annotation.site_id != site_id:
            raise NotThere("annotation")
        return annotation


def _checked(fields: Mapping[str, Any]) -> Shown:
    day = fields.get("day")
    try:
        if not isinstance(day, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day):
            raise ValueError
        date.fromisoformat(day)
    except ValueError:
        raise FormError("day", "The day of a note is a date such as 2026-11-25.") from None
    return {"day": day, "text": text_of(fields, "text", 300, "A note")}


class AnnotationsHandler(CollectionHandler):
    """`/api/sites/<domain>/annotations`"""

    kind = Annotations()


class AnnotationHandler(ItemHandler):
    """`/api/sites/<domain>/annotations/<id>`"""

    kind = Annotations()
