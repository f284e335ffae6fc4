"""Whether an account's plan has room for more: the mails at 80 % and 100 %, the grace, and when hits are dropped.

| state | what it means | how it begins |
|---|---|---|
| enough | | |
| warned | 80 % of the plan's events are used: its owner got a mail | once per period |
| depleted | all are used: its owner got a mail, hits are taken for `GRACE_DAYS` more | once per period |
| rejecting | the grace is over: hits are dropped as `capacity` | by itself |

All of it ends with the period, with a greater plan, or when the plan has more events than were counted; what was used
beyond the plan is not held against anybody. Whoever passes 80 % and 100 % between two countings gets the second mail
only. A period has one grace: who uses up a greater plan in the same period as a lesser one is rejected once the grace
of that period is over.

Nothing here counts: `counted_events` says what was used. That a grace or a period is over is a matter of time alone, so
the snapshot carries both moments (`rejections`) and every front turns to dropping and back by itself. Whoever else
wants to know asks the same through the cache (`rejections_of`, `has_enough_capacity`): pages for their notice, alerts
about traffic for the cause of a drop. Where plans limit nobody (`Settings.are_plans_enforced`) there are no mails, and
nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.app_database import bump_version, reading
from server.billing.plan_changes import billing_link, owner_of, plan_topic
from server.billing.plans import Plan, plan_held
from server.billing.usage import AccountUsage
from server.cache import cache
from server.clock import DAY_MS, now_ms, time_text
from server.models import Account, BillingProfile, UsagePeriod

if TYPE_CHECKING:
    from server.services import Services

WARNED_PERCENT = 80
GRACE_DAYS = 7

# As long as an answer may be older than the table; `plan_topic` makes it out of date at once.
CACHED_S = 900.0


class CapacityState(StrEnum):
    """How much room there is."""

    ENOUGH = "enough"
    WARNED = "warned"
    DEPLETED = "depleted"
    REJECTING = "rejecting"


@dataclass(frozen=True)
class Rejection:
    """From when to when an account's hits are dropped, unless something changes before."""

    account_id: int
    from_ms: int
    until_ms: int


class HasAccount(Protocol):
    """A site."""

    @property
    def account_id(self) -> int:
        """Whose it is."""


def state_of(usage: AccountUsage) -> CapacityState:
    """The state that a usage comes to."""
    if usage.is_rejecting:
        return CapacityState.REJECTING
    if usage.is_over:
        return CapacityState.DEPLETED
    return CapacityState.WARNED if usage.share * 100 >= WARNED_PERCENT else CapacityState.ENOUGH


def judge(session: Session, services: Services, row: UsagePeriod, plan: Plan, at_ms: int) -> CapacityState | None:
    """Note what a running period has newly come to, and queue its mail, in one transaction; None for nothing new.

    For a period that is not over, where plans are enforced. The caller tells the fronts (`announce`) after the commit.
    """
    if row.depleted_at_ms is not None:
        return None
    if row.counted_events >= plan.monthly_events:
        row.depleted_at_ms, row.grace_ends_at_ms = at_ms, at_ms + GRACE_DAYS * DAY_MS
        note_change(session, services, row.account_id)
        _tell_owner(session, services, row, plan, "capacity_depleted")
        return CapacityState.DEPLETED
    if row.warned_at_ms is None and row.counted_events * 100 >= plan.monthly_events * WARNED_PERCENT:
        row.warned_at_ms = at_ms
        _tell_owner(session, services, row, plan, "capacity_warning")
        return CapacityState.WARNED
    return None


def note_change(session: Session, services: Services, account_id: int) -> None:
    """What `rejections` says of an account is another now; part of the caller's transaction."""
    bump_version(session)
    services.cache.invalidate(plan_topic(account_id), session)


def rejections(session: Session, at_ms: int, account_ids: Collection[int] | None = None) -> list[Rejection]:
    """Whose hits are dropped now, or will be in the periods that are running; of these accounts, or of all."""
    wanted = select(UsagePeriod, BillingProfile.plan_code).join(
        BillingProfile, BillingProfile.account_id == UsagePeriod.account_id
    )
    wanted = wanted.where(UsagePeriod.ends_at_ms > at_ms, UsagePeriod.grace_ends_at_ms.is_not(None))
    if account_ids is not None:
        wanted = wanted.where(UsagePeriod.account_id.in_(account_ids))
    found = []
    for row, plan_code in session.execute(wanted.order_by(UsagePeriod.account_id)):
        ends_at_ms, grace_ends_at_ms = row.ends_at_ms, row.grace_ends_at_ms
        plan = plan_held(plan_code)
        is_over = row.counted_events >= plan.monthly_events
        if is_over and grace_ends_at_ms is not None and grace_ends_at_ms < ends_at_ms:
            found.append(Rejection(row.account_id, grace_ends_at_ms, ends_at_ms))
    return found


def rejections_of(services: Services, account_ids: Collection[int], at_ms: int) -> list[Rejection]:
    """What `rejections` says of these accounts at this time, each remembered for `CACHED_S`. Blocks.

    One account costs no statement while it is remembered; several cost one statement together.
    """
    if not services.settings.are_plans_enforced or not account_ids:
        return []
    if len(account_ids) == 1:
        (account_id,) = account_ids
        found = [Rejection(account_id, *times) for times in _rejected_times(services, account_id)]
    else:
        with reading(services.engine) as session:
            found = rejections(session, at_ms, account_ids)
    return [each for each in found if at_ms < each.until_ms]


def has_enough_capacity(services: Services, site: HasAccount, at_ms: int | None = None) -> bool:
    """Whether a site's hits are taken, as far as its account's plan goes. Blocks."""
    at_ms = now_ms() if at_ms is None else at_ms
    return all(at_ms < each.from_ms for each in rejections_of(services, (site.account_id,), at_ms))


@cache(ttl_s=CACHED_S, topics=("plan:{account_id}",))
def _rejected_times(services: Services, account_id: int) -> list[list[int]]:
    """`rejections` of an account as JSON. Times and not the answer of now: both ends come without anybody's doing."""
    with reading(services.engine) as session:
        return [[each.from_ms, each.until_ms] for each in rejections(session, now_ms(), (account_id,))]


def _tell_owner(session: Session, services: Services, row: UsagePeriod, plan: Plan, template: str) -> None:
    profile = session.get_one(BillingProfile, row.account_id)
    owner = owner_of(session, profile)
    if owner is None:
        return
    values: dict[str, Any] = {
        "name": owner.name,
        "account_name": session.get_one(Account, row.account_id).name,
        "plan": plan.display_name,
        "counted_events": f"{row.counted_events:,}",
        "monthly_events": f"{plan.monthly_events:,}",
        "outlook": _outlook(row),
        "usage_link": f"{services.settings.snippet_base}/accounts/{row.account_id}/usage",
        "billing_link": billing_link(services.settings, row.account_id),
    }
    services.mailer.queue(session, owner.email, template, **values)


def _outlook(row: UsagePeriod) -> str:
    """What happens next, for people."""
    anew = f"on {time_text(row.ends_at_ms)} the next period is counted from zero"
    if row.grace_ends_at_ms is None:
        return f"If all of it is used up before, hits are taken for {GRACE_DAYS} more days; {anew}."
    if row.grace_ends_at_ms >= row.ends_at_ms:
        return f"Hits are taken all the same; {anew}."
    return f"Hits are taken until {time_text(row.grace_ends_at_ms)}, and dropped from then on; {anew}."
