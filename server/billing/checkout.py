"""What an owner does about the plan: subscribing, switching, cancelling, keeping, and Stripe's own pages.

Each asks Stripe first and follows what Stripe says (`refresh`); nothing is entered here that Stripe does not have. An
account has one customer and at most one subscription: before a page for subscribing is made, the one made before is
ended, and Stripe is asked whether it was used.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from sqlalchemy import update

from server.accounts.audit_log import Action, write_entry
from server.app_database import reading, writing
from server.billing.entitlement import PAYING, UNENDED, counting_one, price_of, sold_by
from server.billing.errors import (
    AlreadySubscribed,
    ChangeRefused,
    CheckoutRaced,
    NotForSale,
    NotSubscribed,
    StripeMissing,
    StripeRefused,
)
from server.billing.plan_changes import billing_link, owner_of
from server.billing.plans import Plan
from server.billing.stripe_api import SubscriptionVersion, stripe_api
from server.billing.subscriptions import find_subscription, is_subscribed, refresh
from server.config import Interval
from server.models import Account, BillingProfile, Subscription

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)


def start_checkout(services: Services, account_id: int, plan: Plan, interval: Interval, actor: int, now_ms: int) -> str:
    """The address of Stripe's page on which the account subscribes to a plan.

    Raises `NotForSale`, `AlreadySubscribed`, `CheckoutRaced`, `BillingOff`, `StripeAway`, `StripeRefused`.
    """
    api, price_id = stripe_api(services.settings), _price(services, plan, interval)
    row = _customer(services, account_id)
    if row.checkout_session_id:
        try:
            api.expire_checkout(row.checkout_session_id)
        except StripeRefused as error:
            log.info("a visit to Stripe had ended before", extra={"code": error.code, "account_id": account_id})
    refresh(services, row.customer_id, now_ms)
    row = _row(services, account_id)
    if is_subscribed(row):
        raise AlreadySubscribed("This account has a subscription: switch its plan instead.")
    trial_days = 0 if row.has_had_trial else plan.trial_days
    try:
        session_id, url = _new_checkout(services, row, price_id, trial_days)
    except StripeMissing as error:
        if error.param != "customer":
            raise
        # Somebody deleted the customer in Stripe's dashboard.
        row = _replace_customer(services, row)
        session_id, url = _new_checkout(services, row, price_id, trial_days)
    former_id = row.checkout_session_id
    with writing(services.engine) as session:
        known = (Subscription.account_id == account_id) & Subscription.checkout_session_id.in_((former_id, session_id))
        kept = update(Subscription).where(known).values(checkout_session_id=session_id)
        is_kept = session.execute(kept.returning(Subscription.account_id)).scalar() is not None
        if is_kept:
            detail = {"interval": str(interval)}
            write_entry(
                session, Action.CHECKOUT_STARTED, now_ms, actor=actor, account_id=account_id, target=plan.code, **detail
            )
    if not is_kept:
        api.expire_checkout(session_id)
        raise CheckoutRaced("Somebody else of this account went to Stripe at the same moment. Please try again.")
    return url


def _new_checkout(services: Services, row: Subscription, price_id: str, trial_days: int) -> tuple[str, str]:
    link = billing_link(services.settings, row.account_id)
    return stripe_api(services.settings).create_checkout(
        row.account_id,
        row.customer_id,
        price_id,
        trial_days=trial_days,
        has_tax=services.settings.stripe_automatic_tax,
        success_url=f"{link}?done=subscribed",
        cancel_url=link,
        # Two clicks, or a lost answer: the same page.
        idempotency_key=f"footfall-checkout-{row.customer_id}-{price_id}-{trial_days}-{row.checkout_session_id}",
    )


def open_portal(services: Services, account_id: int, actor: int, now_ms: int) -> str:
    """The address of the account's pages at Stripe. Raises `NotSubscribed`, `BillingOff`, and what Stripe says."""
    api, row = stripe_api(services.settings), _row(services, account_id)
    url = api.create_portal(row.customer_id, billing_link(services.settings, account_id))
    _log(services, Action.PORTAL_OPENED, account_id, actor, now_ms)
    return url


def switch_plan(services: Services, account_id: int, plan: Plan, interval: Interval, actor: int, now_ms: int) -> bool:
    """Give the account's subscription another plan or interval. False while Stripe waits for the payment.

    A greater plan begins now, and the difference is paid now. A lesser one begins now too; what was paid too much is
    taken off the next bills. Raises `NotForSale`, `NotSubscribed`, `ChangeRefused`, `BillingOff`, and what Stripe says.
    """
    api, price_id = stripe_api(services.settings), _price(services, plan, interval)
    row, version = _live(services, account_id)
    if version.status not in PAYING:
        raise ChangeRefused("A bill is open: pay it first, at Stripe.")
    if version.cancels_at_ms is not None:
        raise ChangeRefused("The subscription is cancelled: keep it first, then switch.")
    sold = sold_by(services.settings, version.price_id)
    if version.price_id == price_id or (sold is not None and (sold.plan, sold.interval) == (plan, interval)):
        raise ChangeRefused("The account has this plan already.")
    is_lesser = sold is not None and (plan.rank < sold.plan.rank or (plan is sold.plan and interval is Interval.MONTH))
    # On trial nothing is paid yet.
    api.switch(version, price_id, is_paid_now=version.status == "active" and not is_lesser)
    _log(services, Action.SUBSCRIPTION_SWITCHED, account_id, actor, now_ms, target=plan.code, interval=str(interval))
    refresh(services, row.customer_id, now_ms)
    with reading(services.engine) as session:
        return session.get_one(Subscription, account_id).price_id == price_id


def cancel_at_period_end(services: Services, account_id: int, actor: int, now_ms: int) -> None:
    """Let the subscription run out. Raises `NotSubscribed`, `ChangeRefused`, `BillingOff`, and what Stripe says."""
    api = stripe_api(services.settings)
    row, version = _live(services, account_id)
    if version.cancels_at_ms is not None:
        raise ChangeRefused("The subscription is cancelled already.")
    api.cancel_at_period_end(version)
    _log(services, Action.SUBSCRIPTION_CANCELLED, account_id, actor, now_ms)
    refresh(services, row.customer_id, now_ms)


def keep_subscription(services: Services, account_id: int, actor: int, now_ms: int) -> None:
    """Take a cancellation back. Raises `NotSubscribed`, `ChangeRefused`, `BillingOff`, and what Stripe says."""
    api = stripe_api(services.settings)
    row, version = _live(services, account_id)
    if version.cancels_at_ms is None:
        raise ChangeRefused("The subscription goes on already.")
    api.keep(version)
    _log(services, Action.SUBSCRIPTION_KEPT, account_id, actor, now_ms)
    refresh(services, row.customer_id, now_ms)


def end_subscriptions(services: Services, account_id: int) -> int:
    """End whatever an account pays for, at once: it is being destroyed. Returns how many; safe to repeat."""
    if not services.settings.is_billing_on:
        return 0
    api = stripe_api(services.settings)
    with reading(services.engine) as session:
        row = find_subscription(session, account_id)
    if row is None:
        return 0
    unended = [version for version in api.subscriptions_of(row.customer_id) if version.status in UNENDED]
    for version in unended:
        try:
            api.cancel_now(version.subscription_id)
        except StripeMissing:
            log.info("a subscription had ended before", extra={"account_id": account_id})
    return len(unended)


def _price(services: Services, plan: Plan, interval: Interval) -> str:
    price_id = price_of(services.settings, plan, interval)
    if price_id is None:
        raise NotForSale(f"{plan.display_name} cannot be bought by the {interval} here.")
    return price_id


def _customer(services: Services, account_id: int) -> Subscription:
    """The account's row, with a customer at Stripe."""
    with reading(services.engine) as session:
        row = find_subscription(session, account_id)
        if row is not None:
            return row
    customer_id = _new_customer(services, account_id)
    with writing(services.engine) as session:
        session.get_one(Account, account_id, with_for_update=True)
        if find_subscription(session, account_id) is None:
            session.add(Subscription(account_id=account_id, customer_id=customer_id))
    return _row(services, account_id)


def _replace_customer(services: Services, row: Subscription) -> Subscription:
    customer_id = _new_customer(services, row.account_id, row.customer_id)
    known = (Subscription.account_id == row.account_id) & (Subscription.customer_id == row.customer_id)
    with writing(services.engine) as session:
        session.execute(update(Subscription).where(known).values(customer_id=customer_id, checkout_session_id=""))
    return _row(services, row.account_id)


def _new_customer(services: Services, account_id: int, former_id: str = "") -> str:
    with reading(services.engine) as session:
        account = session.get_one(Account, account_id)
        owner = owner_of(session, session.get_one(BillingProfile, account_id))
    email = None if owner is None else owner.email
    # The time tells accounts of two installations apart that share one account at Stripe. Stripe refuses a key that
    # comes again with another name or address.
    named = hashlib.sha256(f"{account.name}\n{email}".encode()).hexdigest()[:16]
    key = f"footfall-customer-{account_id}-{account.created_at_ms}-{former_id}-{named}"
    return stripe_api(services.settings).create_customer(account_id, account.name, email, key)


def _row(services: Services, account_id: int) -> Subscription:
    with reading(services.engine) as session:
        row = find_subscription(session, account_id)
    if row is None:
        raise NotSubscribed("This account has never been at Stripe: choose a plan first.")
    return row


def _live(services: Services, account_id: int) -> tuple[Subscription, SubscriptionVersion]:
    """The row and Stripe's version of its subscription, as it is now. Raises `NotSubscribed`."""
    row = _row(services, account_id)
    version = counting_one(services.settings, stripe_api(services.settings).subscriptions_of(row.customer_id))
    if version is None or version.status not in UNENDED:
        raise NotSubscribed("This account has no subscription: choose a plan first.")
    return row, version


def _log(
    services: Services, action: Action, account_id: int, actor: int, now_ms: int, target: str = "", **detail: str
) -> None:
    with writing(services.engine) as session:
        write_entry(session, action, now_ms, actor=actor, account_id=account_id, target=target, **detail)
