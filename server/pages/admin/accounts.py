"""`/admin/accounts`: finding an account; its page with people, sites, plan, usage, block, flags and log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.accounts.audit_log import account_entries
from server.accounts.blocks import block_account, block_of_account, unblock_account
from server.accounts.errors import FormError, NotThere
from server.accounts.flags import flags_of, set_for_account
from server.accounts.names import names_of
from server.accounts.search import Found, FoundAccount, find_accounts
from server.billing.plan_changes import Reason, change_plan, plan_of
from server.billing.plans import PLANS, Plan, UnknownPlan, plan_by_code
from server.billing.usage import AccountUsage, usages_of, used_up
from server.clock import now_ms, time_text
from server.handler import AppContext
from server.models import Account, Block, Membership, PlanChange, Site, Subscription, User
from server.pages.admin.staff_page import StaffPage, unknown_form
from server.rate_limit import rate_limit

# Of an account's people, sites, changes and log; the lists behind the links have all.
ROWS = 100
CHANGES = 10
LOG_ROWS = 20


class AccountsHandler(StaffPage):
    """`/admin/accounts`"""

    template = "admin/accounts.html"
    room = "/admin/accounts"

    async def get(self) -> None:
        """The list, or what was looked for; `used_up=1`: only accounts whose plan is used up."""
        text, before, now = self.text("q").strip(), self.number("before"), now_ms()
        is_enforced = self.app_context.settings.are_plans_enforced
        among = used_up(now) if self.text("used_up") == "1" else None

        def read(session: Session) -> tuple[Found[FoundAccount], dict[int, AccountUsage]]:
            found = find_accounts(session, text, before, among=among)
            numbers = [row.account_id for row in found.rows]
            return found, usages_of(session, numbers, now, is_enforced=is_enforced)

        found, usages = await self.read(read)
        only = "" if among is None else "used_up=1"
        self.show(q=text, found=found, usages=usages, before=before, only=only, fate=fate, is_enforced=is_enforced)


def fate(usage: AccountUsage, *, is_enforced: bool) -> str:
    """What becomes of hits of an account that has used up its plan, in a few words."""
    ends_at_ms, grace_ends_at_ms = usage.period_ends_at_ms, usage.grace_ends_at_ms
    if usage.is_rejecting:
        return f"dropped until {time_text(ends_at_ms)}"
    if not is_enforced or (grace_ends_at_ms is not None and grace_ends_at_ms >= ends_at_ms):
        return f"counted; the period ends at {time_text(ends_at_ms)}"
    # The job `usage` begins the grace with its next run.
    return "grace to begin" if grace_ends_at_ms is None else f"counted until {time_text(grace_ends_at_ms)}"


@dataclass(frozen=True)
class AccountFacts:
    """What the page of an account shows."""

    account: Account
    people: list[tuple[User, str]]
    sites: list[Site]
    blocked_site_ids: set[int]
    block: Block | None
    plan: Plan
    usage: AccountUsage | None
    subscription: Subscription | None
    plan_changes: list[PlanChange]
    entries: list[Any]
    names: dict[int, str]
    flags: list[tuple[str, bool, bool]]


def read_account(session: Session, account_id: int, now: int, is_enforced: bool) -> AccountFacts:
    """Everything about an account. Raises `NotThere`."""
    account = session.get(Account, account_id)
    if account is None:
        raise NotThere("account")
    people = (
        select(User, Membership.role)
        .join(Membership, Membership.user_id == User.user_id)
        .where(Membership.account_id == account_id)
        .order_by(Membership.created_at_ms, User.user_id)
        .limit(ROWS)
    )
    sites = select(Site).where(Site.account_id == account_id).order_by(Site.domain).limit(ROWS)
    found_sites = list(session.execute(sites).scalars())
    blocked = select(Block.site_id).where(Block.site_id.in_([site.site_id for site in found_sites]))
    changes = select(PlanChange).where(PlanChange.account_id == account_id).order_by(PlanChange.change_id.desc())
    plan_changes = list(session.execute(changes.limit(CHANGES)).scalars())
    entries = list(account_entries(session, account_id, LOG_ROWS))
    people_ids = [entry.actor_user_id for entry in entries] + [entry.stand_in_user_id for entry in entries]
    return AccountFacts(
        account=account,
        people=[(user, role) for user, role in session.execute(people)],
        sites=found_sites,
        blocked_site_ids={number for number in session.execute(blocked).scalars() if number is not None},
        block=block_of_account(session, account_id),
        plan=plan_of(session, account_id),
        usage=usages_of(session, (account_id,), now, is_enforced=is_enforced).get(account_id),
        subscription=session.get(Subscription, account_id),
        plan_changes=plan_changes,
        entries=entries,
        names=names_of(session, [*people_ids, *(change.actor_user_id for change in plan_changes)]),
        flags=flags_of(session, account_id),
    )


class AccountHandler(StaffPage):
    """`/admin/accounts/<number>`"""

    template = "admin/account.html"
    room = "/admin/accounts"

    async def get(self, account_number: str) -> None:
        """The page."""
        await self._show(int(account_number))

    @rate_limit("60/m")
    async def post(self, account_number: str) -> None:
        """One of the page's forms; the field `change` says which."""
        account_id = int(account_number)
        try:
            said = await self._change(account_id)
        except FormError as error:
            await self._show(account_id, error=error, changing=self.form("change")["change"])
            return
        self.done(f"/admin/accounts/{account_id}", said)

    async def _change(self, account_id: int) -> str:
        services, now, actor = self.app_context.services, now_ms(), self.staff_id
        given = self.form("change", "reason", "plan", "flag", "is_on")
        reason = given["reason"]
        match given["change"]:
            case "block":
                await self.carry_out(lambda session: block_account(session, services, account_id, reason, actor, now))
                await self.tell_fronts()
                return "blocked"
            case "unblock":
                await self.carry_out(lambda session: unblock_account(session, services, account_id, reason, actor, now))
                await self.tell_fronts()
                return "unblocked"
            case "plan":
                await self.carry_out(lambda session: self._change_plan(session, account_id, given["plan"], now))
                await self.tell_fronts()
                return "staff-plan"
            case "flag":
                is_on = given["is_on"] == "1"
                await self.carry_out(
                    lambda session: set_for_account(session, given["flag"], account_id, is_on, actor, now)
                )
                return "flag"
            case _:
                raise unknown_form()

    def _change_plan(self, session: Session, account_id: int, code: str, now: int) -> None:
        if session.get(Account, account_id) is None:
            raise NotThere("account")
        try:
            plan = plan_by_code(code)
        except UnknownPlan:
            raise FormError("plan", "Choose one of the plans.") from None
        if not change_plan(
            session, self.app_context.services, account_id, plan, Reason.STAFF, now, actor=self.staff_id
        ):
            raise FormError("plan", f"The account has the plan {plan.display_name} already.")

    async def _show(self, account_id: int, error: FormError | None = None, changing: str = "") -> None:
        is_enforced = self.app_context.settings.are_plans_enforced
        facts = await self.read(lambda session: read_account(session, account_id, now_ms(), is_enforced))
        typed = self.form("reason")["reason"]
        page: dict[str, Any] = {"facts": facts, "plans": PLANS, "fate": fate, "is_enforced": is_enforced}
        self.show(error=error, changing=changing, typed=typed, **page)


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [
        (r"/admin/accounts", AccountsHandler, given),
        (r"/admin/accounts/([0-9]{1,9})", AccountHandler, given),
    ]
