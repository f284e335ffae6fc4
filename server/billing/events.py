"""Stripe's webhook: an event is checked, written down once by its id, and leads to a look at its customer.

Invariants:
- nothing is read before the signature is right: HMAC-SHA-256 over time and body under the endpoint's secret, as
  https://docs.stripe.com/webhooks#verify-manually has it, compared in constant time by Stripe's package;
- an event whose time is `TOLERANCE_S` away from ours, in either direction, is refused: a recorded one cannot be sent
  again later;
- Stripe hears yes only once the event and the task that follows are committed; otherwise it sends it again;
- what an event says about money or state is not read (see `server.billing.subscriptions`).
"""

from __future__ import annotations

import logging
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson
from prometheus_client import Counter
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from server.app_database import writing
from server.billing.errors import BillingOff, EventRefused
from server.metrics import REGISTRY
from server.models import StripeEvent, Subscription

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)

EVENTS = Counter(
    "footfall_stripe_events", "Events that Stripe sent, by what became of them", ["outcome"], registry=REGISTRY
)

# The default of Stripe's libraries.
TOLERANCE_S = 300

# Stripe's events are a few kilobytes; a bill with hundreds of lines has some hundred.
MAX_BODY_BYTES = 1024 * 1024

_TIME = re.compile(r"(?:^|,)t=([0-9]{1,12})(?:,|$)")
_EVENT_ID = re.compile(r"evt_[A-Za-z0-9_]{1,90}")
_CUSTOMER_ID = re.compile(r"[A-Za-z0-9_]{1,64}")

# What may change a subscription, its bills, or the customer.
KINDS = frozenset(
    (
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
        "customer.deleted",
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "customer.subscription.paused",
        "customer.subscription.resumed",
        "customer.subscription.trial_will_end",
        "customer.subscription.pending_update_applied",
        "customer.subscription.pending_update_expired",
        "invoice.finalized",
        "invoice.marked_uncollectible",
        "invoice.paid",
        "invoice.payment_action_required",
        "invoice.payment_failed",
        "invoice.voided",
    )
)


class Received(StrEnum):
    """What became of an event; a metric's label."""

    QUEUED = "queued"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"


def receive_event(services: Services, body: bytes, signature: str, now_ms: int) -> Received:
    """Take an event. Raises `EventRefused`, `BillingOff`, and what the app database raises."""
    settings = services.settings
    if not settings.is_billing_on:
        raise BillingOff("Nothing can be bought on this server.")
    try:
        check_signature(body, signature, settings.stripe_webhook_secret, now_ms)
        event = _read(body)
    except EventRefused as error:
        EVENTS.labels("refused").inc()
        log.warning("an event of Stripe was refused", extra={"reason": str(error)})
        raise
    outcome = _keep(services, event)
    EVENTS.labels(outcome).inc()
    return outcome


def check_signature(body: bytes, signature: str, secret: str, now_ms: int) -> None:
    """Raises `EventRefused` unless the body is signed with the secret and the signature is of about now."""
    from stripe import SignatureVerificationError, WebhookSignature

    time = _TIME.search(signature)
    if time is None or not signature.isascii():
        raise EventRefused("no signature of Stripe's form")
    try:
        # Without a tolerance: the package asks the machine's clock, we ask ours.
        WebhookSignature.verify_header(body, signature, secret, tolerance=None)
    except (SignatureVerificationError, UnicodeDecodeError):
        raise EventRefused("wrong signature") from None
    if abs(int(time[1]) * 1000 - now_ms) > TOLERANCE_S * 1000:
        raise EventRefused("the signature is not of now")


def _read(body: bytes) -> StripeEvent:
    """The event's row. Raises `EventRefused` for what is no event."""
    try:
        event: Any = orjson.loads(body)
        event_id, kind, about = event["id"], event["type"], event["data"]["object"]
        created_at_ms = int(event["created"]) * 1000
        customer = about["id"] if about.get("object") == "customer" else about.get("customer")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise EventRefused("no event") from None
    if not isinstance(event_id, str) or not _EVENT_ID.fullmatch(event_id) or not isinstance(kind, str):
        raise EventRefused("no event")
    if isinstance(customer, dict):
        customer = customer.get("id")
    if not isinstance(customer, str) or not _CUSTOMER_ID.fullmatch(customer):
        customer = ""
    return StripeEvent(event_id=event_id, kind=kind[:100], customer_id=customer, created_at_ms=created_at_ms)


def _keep(services: Services, event: StripeEvent) -> Received:
    """Write it down with the task that follows from it, once."""
    event.received_at_ms = services.tasks.now_ms()
    try:
        with writing(services.engine) as session:
            if session.get(StripeEvent, event.event_id) is not None:
                return Received.DUPLICATE
            ours = select(Subscription.account_id).where(Subscription.customer_id == event.customer_id)
            account_id = session.execute(ours).scalar() if event.customer_id and event.kind in KINDS else None
            event.state = "ignored" if account_id is None else "queued"
            session.add(event)
            session.flush()
            if account_id is None:
                return Received.IGNORED
            services.tasks.enqueue(
                session, "billing.refresh", arguments={"customer_id": event.customer_id}, account_id=account_id
            )
            return Received.QUEUED
    except IntegrityError:
        # Two deliveries at once; the other one's transaction has it.
        return Received.DUPLICATE
