"""What a customer's subscriptions come to: which of them counts, and which plan it gives at a moment. Pure.

| Stripe's status | the plan it gives |
|---|---|
| `active`, `trialing` | its price's plan |
| `past_due`, `unpaid` | its price's plan until `grace_ms` after the oldest open bill was made, then FREE |
| `incomplete`, `incomplete_expired`, `paused`, `canceled` | FREE |

The grace counts from the bill and not from the moment we heard of it: however late or often events come, it ends at
the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.billing.plans import FREE, PLANS, Plan
from server.billing.stripe_api import SubscriptionVersion
from server.config import Interval, Settings
from server.config.setting import entries

PAYING = frozenset(("active", "trialing"))
IN_ARREARS = frozenset(("past_due", "unpaid"))

# Who has one of these changes it and does not buy another one. `incomplete` waits a day for its first payment.
UNENDED = PAYING | IN_ARREARS | frozenset(("paused",))

# The one that gives most counts, when a customer has several.
_ORDER = ("active", "trialing", "past_due", "unpaid", "paused", "incomplete")


@dataclass(frozen=True)
class Sold:
    """What a price buys."""

    plan: Plan
    interval: Interval


def sold_by(settings: Settings, price_id: str) -> Sold | None:
    """What one of our prices buys, also one that is sold no more; None for one that is none of ours."""
    for plan in PLANS:
        for interval, name in plan.price_settings.items():
            if price_id in entries(getattr(settings, name)):
                return Sold(plan, interval)
    return None


def price_of(settings: Settings, plan: Plan, interval: Interval) -> str | None:
    """Stripe's price at which a plan is sold here, if it is."""
    name = plan.price_settings.get(interval)
    return None if name is None else next(iter(entries(getattr(settings, name))), None)


def counting_one(settings: Settings, versions: Sequence[SubscriptionVersion]) -> SubscriptionVersion | None:
    """The subscription that counts: by status, then the greater plan, then the younger one."""

    def key(version: SubscriptionVersion) -> tuple[int, int, int, str]:
        sold = sold_by(settings, version.price_id)
        place = _ORDER.index(version.status) if version.status in _ORDER else len(_ORDER)
        return (-place, -1 if sold is None else sold.plan.rank, version.created_at_ms, version.subscription_id)

    return max(versions, key=key, default=None)


def grace_ends_at_ms(settings: Settings, unpaid_since_ms: int) -> int:
    """When a plan whose bill is open ends."""
    return unpaid_since_ms + settings.billing_grace_days * 24 * 3600 * 1000


def entitled_plan(
    settings: Settings, version: SubscriptionVersion | None, unpaid_since_ms: int | None, now_ms: int
) -> Plan | None:
    """The plan that a subscription gives now; None where its price is none of ours, so that nobody can say."""
    if version is None or version.status not in PAYING | IN_ARREARS:
        return FREE
    since_ms = unpaid_since_ms if version.status in IN_ARREARS else None
    if since_ms is not None and now_ms >= grace_ends_at_ms(settings, since_ms):
        return FREE
    sold = sold_by(settings, version.price_id)
    return None if sold is None else sold.plan
