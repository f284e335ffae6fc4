"""An account's plan: what it has, what it could have, the ways to Stripe; and the address that Stripe's events go to.

Money is only ever spoken of on Stripe's own pages: a form here leads there. Without keys of Stripe the page says what
the plan is and that nothing can be bought.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from tornado.web import HTTPError

from server.accounts.access import PUBLIC, by_method, member
from server.accounts.errors import FormError
from server.app_database import reading
from server.billing.checkout import cancel_at_period_end, keep_subscription, open_portal, start_checkout, switch_plan
from server.billing.entitlement import IN_ARREARS, grace_ends_at_ms, price_of, sold_by
from server.billing.errors import BillingError, BillingOff, EventRefused, RefreshRaced
from server.billing.events import MAX_BODY_BYTES, receive_event
from server.billing.plan_changes import plan_of
from server.billing.plans import PLANS, Plan, UnknownPlan, plan_by_code
from server.billing.prices import invoice_lines, price_texts
from server.billing.subscriptions import find_subscription, is_subscribed, refresh
from server.clock import now_ms, time_text
from server.config import Interval
from server.handler import AppContext, BaseHandler
from server.models import MemberRole, Subscription
from server.pages.page import PageHandler
from server.rate_limit import rate_limit

log = logging.getLogger(__name__)

# Where a form may lead besides us: browsers hold `form-action` against redirects too.
STRIPE_PAGES = "https://checkout.stripe.com https://billing.stripe.com"


@dataclass(frozen=True)
class PlanState:
    """What the page shows."""

    plan: Plan
    subscription: Subscription | None
    prices: dict[str, dict[str, str]] = field(default_factory=dict)
    invoices: list[dict[str, str]] = field(default_factory=list)
    is_stripe_away: bool = False


class BillingHandler(PageHandler):
    """`/accounts/<id>/billing`"""

    access = by_method(GET=member(MemberRole.ADMIN), POST=member(MemberRole.OWNER))
    template = "billing.html"

    CONTENT_SECURITY_POLICY = BaseHandler.CONTENT_SECURITY_POLICY.replace(
        "form-action 'self'", f"form-action 'self' {STRIPE_PAGES}"
    )

    async def get(self, account_id: str) -> None:
        """The page; who comes back from Stripe sees what Stripe says, also before its event came."""
        if self.get_query_argument("done", "") == "subscribed":
            await self.in_thread(self._look)
            # What the page's frame was to say of the capacity may be over by that.
            await self.look_for_capacity()
        await self._show()

    @rate_limit("20/m", "100/h")
    async def post(self, account_id: str) -> None:
        """`change` is subscribe, switch, cancel, keep or portal."""
        _, place = self.member
        change = self.form("change")["change"]
        if change not in ("subscribe", "switch", "cancel", "keep", "portal"):
            raise HTTPError(400, "There is no such form.")
        try:
            outcome = await self.in_thread(self._change, change)
        except (BillingError, FormError) as error:
            await self._show(error=error if isinstance(error, FormError) else FormError("", str(error)))
            return
        except RefreshRaced:
            outcome = "plan"
        if outcome.startswith(("https://", "http://")):
            self.redirect(outcome, status=303)
        else:
            self.done(f"/accounts/{place.account_id}/billing", outcome)

    def _change(self, change: str) -> str:
        """Carry a form out: an address of Stripe's, or what the page says then."""
        login, place = self.member
        services, account_id, actor, now = self.app_context.services, place.account_id, login.user_id, now_ms()
        if change == "portal":
            return open_portal(services, account_id, actor, now)
        if change == "cancel":
            cancel_at_period_end(services, account_id, actor, now)
            return "subscription-cancelled"
        if change == "keep":
            keep_subscription(services, account_id, actor, now)
            return "subscription-kept"
        plan, interval = self._choice()
        if change == "subscribe":
            return start_checkout(services, account_id, plan, interval, actor, now)
        return "plan" if switch_plan(services, account_id, plan, interval, actor, now) else "plan-waits"

    def _choice(self) -> tuple[Plan, Interval]:
        """The form's plan and interval, as one value such as BASIC/year. Raises `FormError`."""
        code, _, interval = self.form("choice")["choice"].partition("/")
        try:
            return plan_by_code(code), Interval(interval)
        except (UnknownPlan, ValueError):
            raise FormError("", "Choose one of the plans.") from None

    def _look(self) -> None:
        """Ask Stripe now. Its event says the same a little later."""
        services, (_, place) = self.app_context.services, self.member
        with reading(services.engine) as session:
            row = find_subscription(session, place.account_id)
        if row is None:
            return
        try:
            refresh(services, row.customer_id, now_ms())
        except (BillingError, RefreshRaced) as error:
            log.warning("a subscription could not be looked at", extra={"reason": type(error).__name__})

    def _read(self) -> PlanState:
        services, (_, place) = self.app_context.services, self.member
        with reading(services.engine) as session:
            plan = plan_of(session, place.account_id)
            row = find_subscription(session, place.account_id)
        if not services.settings.is_billing_on:
            return PlanState(plan, row)
        try:
            prices = price_texts(services)
            is_owner = place.role is MemberRole.OWNER
            invoices = invoice_lines(services, place.account_id, row.customer_id) if row and is_owner else []
        except BillingError:
            return PlanState(plan, row, is_stripe_away=True)
        return PlanState(plan, row, prices, invoices)

    async def _show(self, error: FormError | None = None) -> None:
        settings, state = self.app_context.settings, await self.in_thread(self._read)
        row = state.subscription
        until = row.unpaid_since_ms if row is not None and row.status in IN_ARREARS else None
        offers = [(plan, [each for each in Interval if price_of(settings, plan, each)]) for plan in PLANS]
        self.show(
            state=state,
            plan=state.plan,
            row=row,
            is_on=settings.is_billing_on,
            is_enforced=settings.are_plans_enforced,
            is_subscribed=is_subscribed(row),
            sold=None if row is None else sold_by(settings, row.price_id),
            grace_ends=None if until is None else time_text(grace_ends_at_ms(settings, until)),
            offers=[(plan, intervals) for plan, intervals in offers if intervals],
            plans=PLANS,
            error=error,
        )


class StripeWebhookHandler(BaseHandler):
    """`/api/stripe/webhook`: what Stripe has to say. Its signature is the only thing that counts here."""

    access = PUBLIC

    def check_xsrf_cookie(self) -> None:
        """Stripe has no cookie; an event is signed."""

    def check_trusted_origin(self, origin: str) -> bool:
        """No page can sign an event."""
        return True

    # Stripe's busiest hour with thousands of bills; what is refused comes again.
    @rate_limit("1000/m")
    async def post(self) -> None:
        """200 once the event is kept, 400 for one that Stripe did not sign; 404 while nothing is bought here."""
        body = self.request.body
        if len(body) > MAX_BODY_BYTES:
            raise HTTPError(413, "No event of Stripe is so large.")
        signature = self.request.headers.get("Stripe-Signature", "")
        try:
            outcome = await self.in_thread(receive_event, self.app_context.services, body, signature, now_ms())
        except BillingOff:
            raise HTTPError(404) from None
        except EventRefused as error:
            raise HTTPError(400, f"This event is refused: {error}.") from None
        self.write_json({"outcome": str(outcome)})


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [
        (r"/accounts/(?P<account_id>[0-9]{1,9})/billing", BillingHandler, given),
        (r"/api/stripe/webhook", StripeWebhookHandler, given),
    ]
