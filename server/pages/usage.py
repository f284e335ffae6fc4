"""What an account has used of its plan: figure, days, sites, where it leads, and what happens then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.accounts.access import by_method, member
from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError
from server.app_database import reading, writing
from server.billing.capacity import GRACE_DAYS, CapacityState, state_of
from server.billing.usage import AccountUsage, UsageDetail, forecast, usage_detail
from server.clock import now_ms, time_text
from server.handler import AppContext
from server.models import Account, MemberRole
from server.pages.page import PageHandler
from server.rate_limit import rate_limit
from server.site_zones import zone_names

CHART_WIDTH = 620
CHART_HEIGHT = 160


@dataclass(frozen=True)
class Bar:
    """A day's bar, in units of the drawing."""

    x: float
    y: float
    width: float
    height: float
    label: str


class UsageHandler(PageHandler):
    """`/accounts/<id>/usage`"""

    access = by_method(GET=member(MemberRole.VIEWER), POST=member(MemberRole.OWNER))
    template = "usage.html"

    # The page says so itself, with more.
    tells_capacity = False

    async def get(self, account_id: str) -> None:
        """The page."""
        await self._show()

    @rate_limit("20/m", "100/h")
    async def post(self, account_id: str) -> None:
        """The time zone in which calendar months begin; the month that is running ends as it was to."""
        timezone = self.form("timezone")["timezone"]
        if timezone not in zone_names():
            await self._show(error=FormError("timezone", "Choose a time zone, such as Europe/Berlin."))
            return
        await self.in_thread(self._keep, timezone)
        self.done(f"/accounts/{self.member[1].account_id}/usage", "usage-timezone")

    def _keep(self, timezone: str) -> None:
        login, place = self.member
        with writing(self.app_context.engine) as session:
            account = session.get_one(Account, place.account_id, with_for_update=True)
            before, account.timezone = account.timezone, timezone
            if before != timezone:
                write_entry(
                    session,
                    Action.ACCOUNT_TIMEZONE,
                    now_ms(),
                    actor=login.user_id,
                    account_id=place.account_id,
                    target=timezone,
                    before=before,
                )

    def _read(self, at_ms: int) -> UsageDetail:
        _, place = self.member
        is_enforced = self.app_context.settings.are_plans_enforced
        with reading(self.app_context.engine) as session:
            return usage_detail(session, place.account_id, at_ms, is_enforced=is_enforced)

    async def _show(self, error: FormError | None = None) -> None:
        at_ms, settings = now_ms(), self.app_context.settings
        detail = await self.in_thread(self._read, at_ms)
        usage, expected = detail.usage, forecast(detail.usage, at_ms)
        self.show(
            detail=detail,
            usage=usage,
            plan=usage.plan,
            state=state_of(usage) if settings.are_plans_enforced else CapacityState.ENOUGH,
            percent=int(usage.share * 100),
            expected=expected,
            outlook=outlook(usage, expected, is_enforced=settings.are_plans_enforced),
            bars=bars(detail),
            chart_size=(CHART_WIDTH, CHART_HEIGHT),
            is_on=settings.is_billing_on,
            timezones=zone_names(),
            error=error,
        )


def outlook(usage: AccountUsage, expected: int | None, *, is_enforced: bool) -> str:
    """What happens next, in plain words."""
    ends = time_text(usage.period_ends_at_ms)
    if not is_enforced:
        return f"Plans limit nobody on this server: nothing is dropped. On {ends} the next period begins from zero."
    if usage.is_rejecting:
        return (
            f"Hits are being dropped. They are taken again within seconds of a switch to a greater plan, or on {ends}, "
            "when the next period begins from zero."
        )
    if usage.is_over and usage.grace_ends_at_ms is not None and usage.grace_ends_at_ms < usage.period_ends_at_ms:
        return (
            f"All of the plan is used. Hits are taken until {time_text(usage.grace_ends_at_ms)}, and dropped from then "
            f"on until the next period begins on {ends}, or until there is a greater plan."
        )
    if usage.is_over:
        return f"All of the plan is used. Hits are taken all the same until {ends}, when the next period begins."
    if expected is not None and expected > usage.plan.monthly_events:
        return (
            f"If hits go on coming like this, the plan is used up before {ends}. You would get a mail then, and hits "
            f"would be taken for {GRACE_DAYS} more days. There is never a bill for more than the plan."
        )
    return f"There is room until {ends}, when the next period begins from zero."


def bars(detail: UsageDetail) -> list[Bar]:
    """The days as bars; the highest fills the drawing."""
    most = max((events for _, events in detail.days), default=0) or 1
    step = CHART_WIDTH / max(len(detail.days), 1)
    found = []
    for number, (day, events) in enumerate(detail.days):
        height = round(events / most * (CHART_HEIGHT - 4), 1)
        height = max(height, 1.0) if events else 0.0
        found.append(
            Bar(
                round(number * step + 1, 1),
                round(CHART_HEIGHT - height, 1),
                round(step - 2, 1),
                height,
                f"{day}: {events:,}",
            )
        )
    return found


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    return [(r"/accounts/(?P<account_id>[0-9]{1,9})/usage", UsageHandler, {"app_context": app_context})]
