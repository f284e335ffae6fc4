"""What people set up for a site: the base of `/api/sites/<domain>/<kind>` and `/api/sites/<domain>/<kind>/<id>`.

Whoever may read the figures may read it; members and guests change it, by role. Each change is one transaction that
holds the site's row, so that limits and names hold among concurrent ones, and makes remembered answers out of date.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from server.accounts.access import CHANGES_SITE, READER, by_method
from server.accounts.errors import FormError, NotAllowed, NotThere
from server.app_database import reading, writing
from server.cache import Cache
from server.models import MemberRole, Site
from server.models.base import Base
from server.reader_handler import Reader
from server.sites import GONE_STATES
from server.stats_api.api_handler import ApiError, StatsHandler
from server.stats_api.remembered import setup_topic

Result = TypeVar("Result")
Shown = dict[str, Any]


@dataclass(frozen=True)
class Editor:
    """Who changes something: a member or guest by role, or a program with an API key of the account."""

    user_id: int | None
    role: MemberRole

    @property
    def is_admin(self) -> bool:
        """Whether they may change what everybody sees."""
        return self.role.rank >= MemberRole.ADMIN.rank


class SetupKind(ABC):
    """One kind of thing, such as goals. Methods run inside the caller's transaction and raise

    `FormError` for what cannot be kept, `NotThere`, `NotAllowed` and, when a name is taken, whatever the database says.
    """

    name: ClassVar[str]
    """In addresses and answers: `goals`."""
    model: ClassVar[type[Base]]
    most: ClassVar[int]
    """How many a site may have."""
    taken: ClassVar[tuple[str, str]]
    """Field and sentence for a name that is taken."""

    @abstractmethod
    def rows(self, session: Session, site_id: int, reader: Reader) -> list[Shown]:
        """All that this reader may see."""

    @abstractmethod
    def add(self, session: Session, site_id: int, fields: Mapping[str, Any], editor: Editor) -> Shown:
        """Make one."""

    @abstractmethod
    def change(self, session: Session, site_id: int, number: int, fields: Mapping[str, Any], editor: Editor) -> Shown:
        """Change some fields of one."""

    @abstractmethod
    def remove(self, session: Session, site_id: int, number: int, editor: Editor) -> None:
        """Take one away."""


def change_setup(
    engine: Engine,
    cache: Cache,
    site_id: int,
    kind: SetupKind,
    work: Callable[[Session], Result],
    *,
    adds: bool = False,
) -> Result:
    """Carry out a change. Raises what `SetupKind`'s methods raise, with `FormError` for a name that is taken."""
    try:
        with writing(engine) as session:
            site = session.get(Site, site_id, with_for_update=True)
            if site is None or site.state in GONE_STATES:
                raise NotThere("site")
            if adds:
                model: Any = kind.model
                there = session.execute(
                    select(func.count()).select_from(model).where(model.site_id == site_id)
                ).scalar_one()
                if there >= kind.most:
                    raise FormError(kind.name, f"A site may have {kind.most} {kind.name}: remove some first.")
            done = work(session)
            session.flush()
            cache.invalidate(setup_topic(site_id), session)
            return done
    except IntegrityError:
        raise FormError(*kind.taken) from None


class SetupHandler(StatsHandler):
    """The base of both."""

    is_open_to_stand_ins = True

    kind: ClassVar[SetupKind]

    @property
    def editor(self) -> Editor:
        """The member who changes something."""
        login, place = self.member
        return Editor(login.user_id, place.role)

    async def change(self, work: Callable[[Session, int], Result], *, adds: bool = False) -> Result:
        """Carry out a change of this site. Raises `ApiError`."""
        assert self.site is not None
        await self.limit_rate()
        services, site_id = self.app_context.services, self.site.site_id
        try:
            return await self.in_thread(
                lambda: change_setup(
                    services.engine,
                    services.cache,
                    site_id,
                    self.kind,
                    lambda session: work(session, site_id),
                    adds=adds,
                )
            )
        except FormError as refused:
            raise ApiError(400, refused.message, {"field": refused.field}) from None
        except NotAllowed as refused:
            raise ApiError(403, str(refused)) from None
        except NotThere:
            raise ApiError(404, f"There is none with this number among the {self.kind.name} of this site.") from None


class CollectionHandler(SetupHandler):
    """`GET`: all of a kind; `POST`: one more."""

    access = by_method(GET=READER, POST=CHANGES_SITE)

    async def get(self, domain: str) -> None:
        """`{"<kind>": […]}`"""
        site = await self.admit(domain)
        reader = self.reader
        assert reader is not None
        self.write_json({self.kind.name: await self.in_thread(self._rows, site.site_id, reader)})

    async def post(self, domain: str) -> None:
        """201 and what was made."""
        fields, editor = self.json_object(), self.editor
        made = await self.change(lambda session, site_id: self.kind.add(session, site_id, fields, editor), adds=True)
        self.write_json(made, 201)

    def _rows(self, site_id: int, reader: Reader) -> list[Shown]:
        with reading(self.app_context.engine) as session:
            return self.kind.rows(session, site_id, reader)


class ItemHandler(SetupHandler):
    """`PATCH`: change one; `DELETE`: take it away."""

    access = by_method(PATCH=CHANGES_SITE, DELETE=CHANGES_SITE)

    async def patch(self, domain: str, number: str) -> None:
        """What it is now."""
        fields, editor = self.json_object(), self.editor
        changed = await self.change(
            lambda session, site_id: self.kind.change(session, site_id, int(number), fields, editor)
        )
        self.write_json(changed)

    async def delete(self, domain: str, number: str) -> None:
        """204"""
        editor = self.editor
        await self.change(lambda session, site_id: self.kind.remove(session, site_id, int(number), editor))
        self.set_status(204)


def only_known(fields: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raises `FormError` for a field that there is not."""
    for name in fields:
        if name not in known:
            raise FormError(name[:100], f"There is no field {name[:100]!r}; there are {', '.join(known)}.")


def text_of(fields: Mapping[str, Any], name: str, most: int, label: str, *, needed: bool = True) -> str:
    """A field's text without white space around it. Raises `FormError`."""
    value = fields.get(name, "")
    text = value.strip() if isinstance(value, str) else None
    if text is None or len(text) > most or (needed and not text) or not text.isprintable():
        raise FormError(name, f"{label} is a text of {'1' if needed else '0'} to {most} characters.")
    return text
