"""What a route asks of its caller. There is no default: the application refuses a handler without a declaration.

| declaration | who gets in | who else gets what |
|---|---|---|
| `PUBLIC` | anybody | – |
| `SIGNED_IN` | whoever is logged in | pages: to the login page; API: 401 |
| `member(role)` | members of the path's account, at least this role | strangers 404, members of a lesser role 403 |
| `member(role, guest)` | these, and guests of the path's site, at least this role | the same |
| `STAFF` | staff who showed a second factor within 12 h | staff without one 403, or asked for a code; others 404 |
| `key(scope)` | API keys of this scope | 401 without a key, 403 without the scope |
| `READER` | who may read a site's figures (`server.reader_handler`) | 401 without credentials, 404 for another site |

The path says which account: its group `account_id`, or the account of its group `domain`. A route for readers may learn
its site from the body; it asks `server.reader_handler` before it touches anything. Guests (`server.accounts.guests`)
are strangers wherever a declaration does not name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from server.models import GuestRole, MemberRole, Scope


class Caller(Enum):
    """The kinds of callers that a route may be for."""

    ANYBODY = auto()
    SIGNED_IN = auto()
    MEMBER = auto()
    STAFF = auto()
    KEY = auto()
    READER = auto()


@dataclass(frozen=True)
class Access:
    """One declaration."""

    caller: Caller
    role: MemberRole | None = None
    scope: Scope | None = None
    guest: GuestRole | None = None

    def __str__(self) -> str:
        guests = "" if self.guest is None else f"or guest {self.guest}"
        return " ".join(filter(None, [self.caller.name.lower(), self.role, self.scope, guests]))


PUBLIC = Access(Caller.ANYBODY)
SIGNED_IN = Access(Caller.SIGNED_IN)
STAFF = Access(Caller.STAFF)
READER = Access(Caller.READER)


def member(role: MemberRole, guest: GuestRole | None = None) -> Access:
    """Members with at least this role, and guests of the site with at least that one; None: no guests."""
    return Access(Caller.MEMBER, role=role, guest=guest)


def by_method(**accesses: Access) -> Mapping[str, Access]:
    """Another declaration for each method, such as `GET=…, POST=…`; other methods are answered 405."""
    return accesses


def key(scope: Scope) -> Access:
    """API keys of this scope."""
    return Access(Caller.KEY, scope=scope)


SEES_SITE = member(MemberRole.VIEWER, GuestRole.VIEWER)
"""Everybody who sees the site."""

CHANGES_SITE = member(MemberRole.ADMIN, GuestRole.EDITOR)
"""Everybody who changes what is set up for it."""
