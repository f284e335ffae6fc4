"""An account's people, keys and log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tornado.web import HTTPError

from server.accounts.access import by_method, member
from server.accounts.audit_log import account_entries
from server.accounts.errors import FormError, NotAllowed, NotThere
from server.accounts.keys import add_api_key, list_keys, revoke_key
from server.accounts.names import names_of
from server.accounts.team import (
    change_role,
    hand_over,
    invite,
    list_invitations,
    list_members,
    remove_member,
    rename_account,
    revoke_invitation,
)
from server.app_database import reading
from server.clock import now_ms
from server.handler import AppContext
from server.models import ApiKey, MemberRole, Scope
from server.pages.page import PageHandler
from server.rate_limit import rate_limit

# Of the log, the newest; the database keeps all.
LOG_ROWS = 200

SCOPE_MEANINGS = {
    Scope.EVENTS_WRITE: "send events from your server",
    Scope.STATS_READ: "read figures",
    Scope.SITES_WRITE: "add and change sites",
}


class AccountPage(PageHandler):
    """The base of an account's pages. What a role may not do is refused by `server.accounts.team` once more."""

    async def change(self, work: Callable[[], Any]) -> Any:
        """Run a change; what is not there is 404, what the role does not reach for is 403."""
        try:
            return await self.in_thread(work)
        except NotThere:
            raise HTTPError(404, "That is not here any more.") from None
        except NotAllowed as refused:
            raise HTTPError(403, str(refused)) from None

    def role_argument(self) -> MemberRole:
        """The form's role. 400 for another word."""
        try:
            return MemberRole(self.form("role")["role"])
        except ValueError:
            raise HTTPError(400, "A role is viewer, admin or owner.") from None


class TeamHandler(AccountPage):
    """`/accounts/<id>/team`: who is in, and the forms to change that."""

    access = by_method(GET=member(MemberRole.VIEWER), POST=member(MemberRole.ADMIN))
    template = "team.html"

    async def get(self, account_id: str) -> None:
        """The page."""
        await self._show()

    @rate_limit("20/m", "100/h")
    async def post(self, account_id: str) -> None:
        """Send an invitation."""
        login, place = self.member
        email = self.form("email")["email"]
        role = self.role_argument()
        services = self.app_context.services
        try:
            await self.change(
                lambda: invite(services, place.account_id, login.user_id, place.role, email, role, now_ms())
            )
        except FormError as error:
            await self._show(email=email, error=error)
            return
        self.done(f"/accounts/{place.account_id}/team", "invited")

    async def _show(self, email: str = "", error: FormError | None = None) -> None:
        _, place = self.member

        def read() -> tuple[Any, Any]:
            with reading(self.app_context.engine) as session:
                may_see = place.role.rank >= MemberRole.ADMIN.rank
                open_ones = list_invitations(session, place.account_id, now_ms()) if may_see else []
                return list_members(session, place.account_id), open_ones

        members, invitations = await self.in_thread(read)
        self.show(members=members, invitations=invitations, email=email, error=error)


class InvitationRevokeHandler(AccountPage):
    """`/accounts/<id>/invitations/<id>/revoke`"""

    access = by_method(POST=member(MemberRole.ADMIN))

    async def post(self, account_id: str, invitation_id: str) -> None:
        """Take it back."""
        login, place = self.member
        services = self.app_context.services
        await self.change(
            lambda: revoke_invitation(services, place.account_id, int(invitation_id), login.user_id, now_ms())
        )
        self.done(f"/accounts/{place.account_id}/team", "invitation")


class MemberHandler(AccountPage):
    """`/accounts/<id>/members/<id>`: role and removal."""

    access = by_method(POST=member(MemberRole.ADMIN))

    async def post(self, account_id: str, user_id: str) -> None:
        """`change` is role or remove."""
        login, place = self.member
        services, number, now = self.app_context.services, int(user_id), now_ms()
        if self.form("change")["change"] == "remove":
            await self.change(lambda: remove_member(services, place.account_id, number, login.user_id, place.role, now))
            said = "removed"
        else:
            role = self.role_argument()
            await self.change(
                lambda: change_role(services, place.account_id, number, role, login.user_id, place.role, now)
            )
            said = "role"
        if number == login.user_id:
            self.done("/sites", said)
        else:
            self.done(f"/accounts/{place.account_id}/team", said)


class LeaveHandler(AccountPage):
    """`/accounts/<id>/leave`: anybody may, but the last owner."""

    access = by_method(POST=member(MemberRole.VIEWER))

    async def post(self, account_id: str) -> None:
        """Leave."""
        login, place = self.member
        services = self.app_context.services
        await self.change(
            lambda: remove_member(services, place.account_id, login.user_id, login.user_id, place.role, now_ms())
        )
        self.done("/sites", "left")


class OwnerHandler(AccountPage):
    """`/accounts/<id>/owner`: who answers for the plan."""

    access = by_method(POST=member(MemberRole.OWNER))

    async def post(self, account_id: str) -> None:
        """Hand the account over."""
        login, place = self.member
        user_id = self.form("user_id")["user_id"]
        if not user_id.isdecimal():
            raise HTTPError(400, "A member is named by number.")
        services = self.app_context.services
        await self.change(lambda: hand_over(services, place.account_id, int(user_id), login.user_id, now_ms()))
        self.done(f"/accounts/{place.account_id}/team", "owner")


class NameHandler(AccountPage):
    """`/accounts/<id>/name`"""

    access = by_method(POST=member(MemberRole.OWNER))

    async def post(self, account_id: str) -> None:
        """Rename the account."""
        login, place = self.member
        name, services = self.form("account_name")["account_name"], self.app_context.services
        try:
            await self.change(lambda: rename_account(services, place.account_id, name, login.user_id, now_ms()))
        except FormError as error:
            raise HTTPError(400, error.message) from None
        self.done(f"/accounts/{place.account_id}/team", "renamed")


class KeysHandler(AccountPage):
    """`/accounts/<id>/keys`: API keys with their scopes."""

    access = member(MemberRole.ADMIN)
    template = "keys.html"

    async def get(self, account_id: str) -> None:
        """The page."""
        await self._show()

    @rate_limit("10/m", "60/h")
    async def post(self, account_id: str) -> None:
        """Make a key; the page shows it this once."""
        login, place = self.member
        name = self.form("name")["name"]
        scopes = [scope for scope in Scope if scope in self.get_body_arguments("scope")]
        engine = self.app_context.engine
        try:
            if not self._allowed_scopes.issuperset(scopes):
                raise FormError("scopes", "Only owners make keys that change sites: such a key can delete them.")
            key = await self.in_thread(lambda: add_api_key(engine, name, place.account_id, scopes, actor=login.user_id))
        except FormError as error:
            await self._show(error=error)
            return
        await self.in_thread(self.app_context.announce)
        await self._show(key=key)

    async def _show(self, key: str = "", error: FormError | None = None) -> None:
        _, place = self.member

        def read() -> list[ApiKey]:
            with reading(self.app_context.engine) as session:
                return list(list_keys(session, place.account_id))

        self.show(
            keys=await self.in_thread(read),
            key=key,
            meanings=SCOPE_MEANINGS,
            allowed_scopes=self._allowed_scopes,
            error=error,
        )

    @property
    def _allowed_scopes(self) -> frozenset[Scope]:
        """A key may not do more than whoever makes it."""
        _, place = self.member
        return frozenset(Scope) if place.role == MemberRole.OWNER else frozenset(Scope) - {Scope.SITES_WRITE}


class KeyRevokeHandler(AccountPage):
    """`/accounts/<id>/keys/<id>/revoke`"""

    access = by_method(POST=member(MemberRole.ADMIN))

    async def post(self, account_id: str, key_id: str) -> None:
        """End the key."""
        login, place = self.member
        engine = self.app_context.engine
        await self.change(lambda: revoke_key(engine, place.account_id, int(key_id), login.user_id))
        await self.in_thread(self.app_context.announce)
        self.done(f"/accounts/{place.account_id}/keys", "key")


class LogHandler(AccountPage):
    """`/accounts/<id>/log`: who did what."""

    access = member(MemberRole.ADMIN)
    template = "log.html"

    async def get(self, account_id: str) -> None:
        """The page."""
        _, place = self.member

        def read() -> tuple[Any, dict[int, str]]:
            with reading(self.app_context.engine) as session:
                entries = account_entries(session, place.account_id, LOG_ROWS)
                people = [number for entry in entries for number in (entry.actor_user_id, entry.stand_in_user_id)]
                return entries, names_of(session, people)

        entries, names = await self.in_thread(read)
        self.show(entries=entries, names=names)


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    account = r"/accounts/(?P<account_id>[0-9]{1,9})"
    return [
        (account + r"/team", TeamHandler, given),
        (account + r"/invitations/(?P<invitation_id>[0-9]{1,9})/revoke", InvitationRevokeHandler, given),
        (account + r"/members/(?P<user_id>[0-9]{1,9})", MemberHandler, given),
        (account + r"/leave", LeaveHandler, given),
        (account + r"/owner", OwnerHandler, given),
        (account + r"/name", NameHandler, given),
        (account + r"/keys", KeysHandler, given),
        (account + r"/keys/(?P<key_id>[0-9]{1,9})/revoke", KeyRevokeHandler, given),
        (account + r"/log", LogHandler, given),
    ]
