"""An account's subscription here follows Stripe's: fetched whole, and applied in the order of fetching.

Whatever tells us that something happened (an event, a person who comes back from Stripe, the end of a grace, the
reconciliation) leads to the same: `refresh` asks Stripe for the customer's subscriptions and applies what it hears.

Invariants:
- what an event says is never applied, only that it came: order, repetition and loss of events change when we look, not
  what we see;
- a version is applied only if none was applied since before it was fetched (`revision`): an older one never follows a
  younger one, whichever worker is slow;
- state, plan, mail and the events it settles are one transaction: no mail is sent twice, and none is missing;
- no transaction is open while Stripe is asked.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from server.alerts import AlertKind
from server.app_database import reading, writing
from server.billing.capacity import note_change
from server.billing.entitlement import (
    IN_ARREARS,
    PAYING,
    UNENDED,
    counting_one,
    entitled_plan,
    grace_ends_at_ms,
)
from server.billing.errors import RefreshRaced, StripeRefused
from server.billing.period_rows import follow_periods
from server.billing.plan_changes import Reason, billing_link, change_plan, owner_of
from server.billing.plans import FREE, Plan
from server.billing.stripe_api import SubscriptionVersion, stripe_api
from server.clock import time_text
from server.models import Account, BillingProfile, StripeEvent, Subscription
from server.snapshot import announce
from server.tasks import TaskFailed, TaskRun, task

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)

# Events of one customer come in bursts of about ten, and each worker may take one.
MOST_ROUNDS = 8

# Events that one refresh settles; more are settled by the next.
MOST_EVENTS = 500


# A customer who never subscribed, or whom Stripe has deleted.
NONE_AT_ALL = SubscriptionVersion("", "", "", "", "", 0, None, None, None, None, False, False)


@dataclass(frozen=True)
class Heard:
    """What Stripe said about a customer, and the plan that it comes to now; None where nobody can say.

    `has_had_trial`: whether any of the customer's subscriptions had one, also one that has ended.
    """

    version: SubscriptionVersion | None
    unpaid_since_ms: int | None
    plan: Plan | None
    has_had_trial: bool


def refresh(services: Services, customer_id: str, now_ms: int) -> bool:
    """Bring a customer's row up to date; whether anything in it changed. Nothing for a customer of somebody else.

    Raises `StripeAway`, `StripeRefused`, `BillingOff`; `RefreshRaced` when others were faster each time.
    """
    api = stripe_api(services.settings)
    for _ in range(MOST_ROUNDS):
        with reading(services.engine) as session:
            row = session.execute(select(Subscription).where(Subscription.customer_id == customer_id)).scalar()
            if row is None:
                return False
            waiting = select(StripeEvent.event_id).where(_waits_for(customer_id)).limit(MOST_EVENTS)
            event_ids = list(session.execute(waiting).scalars())
        versions = api.subscriptions_of(customer_id)
        version = counting_one(services.settings, versions)
        is_behind = version is not None and version.status in IN_ARREARS
        unpaid_since_ms = api.unpaid_since_ms(version.subscription_id) if version is not None and is_behind else None
        plan = entitled_plan(services.settings, version, unpaid_since_ms, now_ms)
        had_trial = any(each.trial_ends_at_ms is not None for each in versions)
        heard = Heard(version, unpaid_since_ms, plan, had_trial)
        outcome = _apply(services, row, heard, event_ids, now_ms)
        if outcome is not None:
            _raise_alerts(services, row.account_id, versions, heard)
            return outcome
    raise RefreshRaced


def _apply(services: Services, row: Subscription, heard: Heard, event_ids: list[str], now_ms: int) -> bool | None:
    """Apply what was heard after `row` was read; whether it differs. None when another version was applied since."""
    values = _values(row, heard)
    is_new = any(getattr(row, name) != value for name, value in values.items())
    is_entitled_anew = values["entitled_plan_code"] != row.entitled_plan_code
    unchanged = (Subscription.account_id == row.account_id) & (Subscription.revision == row.revision)
    applied = update(Subscription).where(unchanged).values(**values, revision=row.revision + 1, fetched_at_ms=now_ms)
    with writing(services.engine) as session:
        if session.execute(applied.returning(Subscription.account_id)).scalar() is None:
            return None
        settled = update(StripeEvent).where(StripeEvent.event_id.in_(event_ids), StripeEvent.state == "queued")
        session.execute(settled.values(state="applied"))
        # What is billed decides when usage is counted from zero.
        follow_periods(session, row.account_id, now_ms)
        if is_entitled_anew and heard.plan is not None:
            reason = _reason(row, heard)
            change_plan(session, services, row.account_id, heard.plan, reason, now_ms)
        if heard.unpaid_since_ms is not None and heard.plan is not None and heard.plan is not FREE:
            _begin_grace(session, services, row, heard.plan, heard.unpaid_since_ms)
        if is_new:
            # With the plan as it was, too: a period that was cut may be what hits were dropped in. It comes last, for
            # whoever else changes a plan takes the account's rows before the snapshot's.
            note_change(session, services, row.account_id)
    if is_new:
        announce(services.settings)
    return is_new


def _values(row: Subscription, heard: Heard) -> dict[str, Any]:
    """The columns that follow from what was heard."""
    version = heard.version or NONE_AT_ALL
    told = row.told_unpaid_since_ms
    return {
        "subscription_id": version.subscription_id,
        "status": version.status,
        "price_id": version.price_id,
        "entitled_plan_code": row.entitled_plan_code if heard.plan is None else heard.plan.code,
        "period_starts_at_ms": version.period_starts_at_ms,
        "period_ends_at_ms": version.period_ends_at_ms,
        "trial_ends_at_ms": version.trial_ends_at_ms,
        "cancels_at_ms": version.cancels_at_ms,
        "unpaid_since_ms": heard.unpaid_since_ms,
        "has_had_trial": row.has_had_trial or heard.has_had_trial,
        # Who is in grace is told once about each bill; who was too late for it hears of the plan's end instead.
        "told_unpaid_since_ms": told if heard.plan is None or heard.plan is FREE else heard.unpaid_since_ms or told,
    }


def _reason(row: Subscription, heard: Heard) -> Reason:
    if heard.plan is FREE:
        return Reason.UNPAID if heard.version is not None and heard.version.status in IN_ARREARS else Reason.ENDED
    return Reason.SUBSCRIBED if row.entitled_plan_code == FREE.code else Reason.SWITCHED


def _begin_grace(session: Session, services: Services, row: Subscription, plan: Plan, unpaid_since_ms: int) -> None:
    """Say once that a bill is open, and look again when the grace is over."""
    if row.told_unpaid_since_ms == unpaid_since_ms:
        return
    ends_at_ms = grace_ends_at_ms(services.settings, unpaid_since_ms)
    services.tasks.enqueue(
        session,
        "billing.refresh",
        arguments={"customer_id": row.customer_id, "is_forced": True},
        account_id=row.account_id,
        run_at_ms=ends_at_ms,
        unique_key=f"billing.grace:{row.account_id}:{unpaid_since_ms}",
    )
    profile = session.get_one(BillingProfile, row.account_id)
    owner = owner_of(session, profile)
    if owner is not None:
        services.mailer.queue(
            session,
            owner.email,
            "payment_failed",
            name=owner.name,
            account_name=session.get_one(Account, row.account_id).name,
            plan=plan.display_name,
            until=time_text(ends_at_ms),
            billing_link=billing_link(services.settings, row.account_id),
        )


def _raise_alerts(services: Services, account_id: int, versions: list[SubscriptionVersion], heard: Heard) -> None:
    """What only people can put right, and only in Stripe's dashboard or in the settings."""
    unended = [version.subscription_id for version in versions if version.status in PAYING | IN_ARREARS]
    if len(unended) > 1:
        services.alerts.raise_alert(
            AlertKind.BILLING,
            f"twice:{account_id}",
            f"Account {account_id} pays for {len(unended)} subscriptions",
            "Cancel all but one in Stripe's dashboard, and give the money back: " + ", ".join(sorted(unended)),
        )
    if heard.version is not None and heard.plan is None:
        services.alerts.raise_alert(
            AlertKind.BILLING,
            f"price:{heard.version.price_id}",
            "A subscription has a price that no setting names",
            f"account {account_id}, price {heard.version.price_id}: add it to the setting of its plan. "
            "Until then the account keeps the plan that it has.",
        )


def _waits_for(customer_id: str) -> Any:
    return (StripeEvent.customer_id == customer_id) & (StripeEvent.state == "queued")


# Three days, as long as Stripe itself repeats an event.
@task("billing.refresh", attempts=80, first_delay_s=5, longest_delay_s=3600, deadline_s=120)
def refresh_task(run: TaskRun, *, customer_id: str, is_forced: bool = False) -> None:
    """Look at a customer, unless all events that came have been settled by a refresh that began later."""
    services = run.services
    if not services.settings.is_billing_on:
        return
    if not is_forced:
        with reading(services.engine) as session:
            if session.execute(select(StripeEvent.event_id).where(_waits_for(customer_id)).limit(1)).scalar() is None:
                return
    try:
        refresh(services, customer_id, services.tasks.now_ms())
    except StripeRefused as error:
        raise TaskFailed(f"Stripe refused: {error.code or 'no code'}") from None


def find_subscription(session: Session, account_id: int) -> Subscription | None:
    """An account's row, once it went to Stripe for the first time."""
    return session.get(Subscription, account_id)


def is_subscribed(row: Subscription | None) -> bool:
    """Whether there is a subscription that can be changed or paid."""
    return row is not None and row.status in UNENDED
