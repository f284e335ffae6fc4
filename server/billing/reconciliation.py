"""Our subscriptions against Stripe's list: what events failed to tell is found here.

One walk through Stripe's unended subscriptions, compared with our rows; a row that differs, one that Stripe's list
lacks, one in arrears and one whose events wait too long is refreshed. Asks Stripe once for 100 subscriptions,
and once more for each row that differs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Counter
from sqlalchemy import select

from server.alerts import AlertKind
from server.app_database import reading
from server.billing.entitlement import IN_ARREARS, UNENDED
from server.billing.stripe_api import SubscriptionVersion, stripe_api
from server.billing.subscriptions import refresh
from server.clock import MINUTE_MS
from server.metrics import REGISTRY
from server.models import StripeEvent, Subscription

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)

RECONCILED = Counter(
    "footfall_billing_reconciled", "Subscriptions that differed from Stripe's and were put right", registry=REGISTRY
)

# An event that waits longer has lost its task, or its task fails.
EVENT_WAIT_MS = 10 * MINUTE_MS

# Put right by one run without anybody hearing of it: an event that is under way when we look differs for a moment.
QUIET_ROWS = 5


@dataclass(frozen=True)
class Reconciled:
    """What a run found: subscriptions looked at, customers that differed."""

    seen: int
    corrected: int


def reconcile(services: Services, now_ms: int, progress: Callable[[int, str], None]) -> Reconciled:
    """Compare everything, put right what differs. Raises `StripeAway`, `StripeRefused`, `BillingOff`.

    `progress` hears the rows handled, and may raise to end the run.
    """
    listed: dict[str, list[SubscriptionVersion]] = {}
    seen = 0
    for version in stripe_api(services.settings).unended_subscriptions():
        listed.setdefault(version.customer_id, []).append(version)
        seen += 1
        progress(seen, "listed")
    with reading(services.engine) as session:
        rows = session.execute(select(Subscription).order_by(Subscription.account_id)).scalars().all()
        late = select(StripeEvent.customer_id).where(
            StripeEvent.state == "queued", StripeEvent.received_at_ms < now_ms - EVENT_WAIT_MS
        )
        waiting = set(session.execute(late.distinct()).scalars())
    corrected = 0
    for customer_id in _differing(rows, listed, waiting):
        corrected += refresh(services, customer_id, now_ms)
        seen += 1
        progress(seen, "refreshed")
    if corrected:
        RECONCILED.inc(corrected)
        log.warning("subscriptions differed from Stripe's and were put right", extra={"rows": corrected})
    if corrected > QUIET_ROWS:
        services.alerts.raise_alert(
            AlertKind.BILLING,
            "reconciled",
            f"{corrected} subscriptions differed from Stripe's and were put right",
            "Events of Stripe do not arrive: look at the webhook in Stripe's dashboard and at its signing secret here.",
        )
    return Reconciled(seen, corrected)


def _differing(
    rows: Sequence[Subscription], listed: dict[str, list[SubscriptionVersion]], waiting: set[str]
) -> Iterator[str]:
    for row in rows:
        versions = listed.get(row.customer_id)
        is_told = row.status not in UNENDED if versions is None else any(_is_as(row, version) for version in versions)
        # Of what is in arrears the list says neither which bills are open nor that the grace is over.
        if not is_told or row.customer_id in waiting or row.status in IN_ARREARS:
            yield row.customer_id


def _is_as(row: Subscription, version: SubscriptionVersion) -> bool:
    return (
        row.subscription_id,
        row.status,
        row.price_id,
        row.period_starts_at_ms,
        row.period_ends_at_ms,
        row.trial_ends_at_ms,
        row.cancels_at_ms,
    ) == (
        version.subscription_id,
        version.status,
        version.price_id,
        version.period_starts_at_ms,
        version.period_ends_at_ms,
        version.trial_ends_at_ms,
        version.cancels_at_ms,
    )
