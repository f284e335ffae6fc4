"""The end of an account, as its owners ask for it and take it back."""

from __future__ import annotations

from typing import Any

from server.accounts.access import member
from server.accounts.deletion import (
    approved_by_itself_at_ms,
    destroyed_from_ms,
    open_request,
    request_deletion,
    take_back,
)
from server.accounts.errors import FormError
from server.accounts.two_factor import is_code
from server.accounts.users import confirm_password
from server.app_database import reading, writing
from server.clock import now_ms
from server.handler import AppContext
from server.models import DeletionRequest, MemberRole, User
from server.pages.team import AccountPage
from server.rate_limit import rate_limit


class AccountDeletionHandler(AccountPage):
    """`/accounts/<id>/deletion`: the one page that an account has while it is being deleted."""

    access = member(MemberRole.OWNER)
    template = "account_deletion.html"
    shows_deleted_accounts = True

    async def get(self, account_id: str) -> None:
        """The page."""
        await self._show()

    @rate_limit("10/m", "60/h")
    async def post(self, account_id: str) -> None:
        """`change` is ask or take_back."""
        _, place = self.member
        path = f"/accounts/{place.account_id}"
        try:
            match self.form("change")["change"]:
                case "ask":
                    await self.in_thread(self._ask, self.form("typed_name", "password", "code", "reason"))
                    self.done(f"{path}/deletion", "account-deletion")
                case "take_back":
                    await self.change(self._take_back)
                    await self.in_thread(self.app_context.announce)
                    self.done(f"{path}/team", "account-kept")
                case _:
                    raise FormError("", "This form is not one of this page.")
        except FormError as error:
            await self._show(error)

    def _ask(self, given: dict[str, str]) -> None:
        login, place = self.member
        services, now = self.app_context.services, now_ms()
        if given["typed_name"].strip() != place.name:
            raise FormError("typed_name", f"Type {place.name} to say that you mean it.")
        confirm_password(services, login.user_id, given["password"])
        with writing(services.engine) as session:
            if login.has_two_factor:
                user = session.get_one(User, login.user_id, with_for_update=True)
                if not is_code(session, services.secret_key, user, given["code"], now):
                    raise FormError("code", "This code is not right.")
            request_deletion(session, services, place.account_id, login.user_id, given["reason"], now)

    def _take_back(self) -> None:
        login, place = self.member
        services = self.app_context.services
        with writing(services.engine) as session:
            take_back(session, services, place.account_id, login.user_id, now_ms())

    async def _show(self, error: FormError | None = None) -> None:
        login, place = self.member

        def read() -> DeletionRequest | None:
            with reading(self.app_context.engine) as session:
                return open_request(session, place.account_id)

        request = await self.in_thread(read)
        self.show(
            deletion=request,
            has_begun=request is not None and request.destruction_began_at_ms is not None,
            hidden_at_ms=request and approved_by_itself_at_ms(request),
            destroyed_at_ms=request and destroyed_from_ms(request),
            has_two_factor=login.has_two_factor,
            reason=self.get_body_argument("reason", ""),
            error=error,
        )


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    account = r"/accounts/(?P<account_id>[0-9]{1,9})"
    return [(account + r"/deletion", AccountDeletionHandler, {"app_context": app_context})]
