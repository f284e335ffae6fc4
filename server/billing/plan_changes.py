"""An account's plan becomes another one: the one place that writes `BillingProfile.plan_code`.

All in the caller's transaction: the plan, a row of `plan_changes`, an entry of the audit log, a mail to the owner who
answers for the plan, the invalidation of whatever was remembered about it (`plan_topic`), and the snapshot's version.
A greater plan keeps what comes in from now on longer, at once; after a lesser one rows are kept as before until the
retention job has waited long enough.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from prometheus_client import Counter
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.app_database import bump_version
from server.billing.plans import PLANS_BY_CODE, Feature, Plan, plan_held
from server.metrics import REGISTRY
from server.models import Account, BillingProfile, PlanChange, Site, User

if TYPE_CHECKING:
    from server.config import Settings
    from server.services import Services

PLAN_CHANGES = Counter(
    "footfall_plan_changes", "Accounts whose plan became another one", ["reason", "to_plan"], registry=REGISTRY
)


class Reason(StrEnum):
    """Why a plan changed."""

    SUBSCRIBED = "subscribed"
    SWITCHED = "switched"
    UNPAID = "unpaid"
    ENDED = "ended"
    STAFF = "staff"

    @property
    def sentence(self) -> str:
        """What the owner is told."""
        return _SENTENCES[self]


_SENTENCES = {
    Reason.SUBSCRIBED: "Thank you for subscribing.",
    Reason.SWITCHED: "Its subscription was switched.",
    Reason.UNPAID: "A bill could not be paid in time. Once it is paid, the plan comes back by itself.",
    Reason.ENDED: "Its subscription has ended.",
    Reason.STAFF: "The people who run this server changed it.",
}


def plan_topic(account_id: int) -> str:
    """The topic of remembered answers that depend on an account's plan."""
    return f"plan:{account_id}"


def billing_link(settings: Settings, account_id: int) -> str:
    """The address of an account's page about its plan."""
    return f"{settings.snippet_base}/accounts/{account_id}/billing"


def plan_of(session: Session, account_id: int) -> Plan:
    """An account's plan; FREE also for a code of a release that is gone."""
    code = session.execute(select(BillingProfile.plan_code).where(BillingProfile.account_id == account_id)).scalar()
    return plan_held(code)


def has_feature(session: Session, settings: Settings, account_id: int, feature: Feature) -> bool:
    """Whether an account may use a feature: by its plan, or because plans limit nobody here."""
    return not settings.are_plans_enforced or plan_of(session, account_id).has(feature)


def change_plan(
    session: Session,
    services: Services,
    account_id: int,
    plan: Plan,
    reason: Reason,
    now_ms: int,
    *,
    actor: int | None = None,
) -> bool:
    """Give an account a plan. False when it has it already: then nothing is written."""
    profile = session.get_one(BillingProfile, account_id, with_for_update=True)
    if profile.plan_code == plan.code:
        return False
    before = profile.plan_code
    profile.plan_code = plan.code
    change = PlanChange(
        account_id=account_id,
        from_plan_code=before,
        to_plan_code=plan.code,
        reason=reason,
        actor_user_id=actor,
        at_ms=now_ms,
    )
    session.add(change)
    details = {"plan": plan.code, "before": before, "reason": str(reason)}
    write_entry(session, Action.PLAN_CHANGED, now_ms, actor=actor, account_id=account_id, target=plan.code, **details)
    # Class 0 is kept for ever: somebody gave it by hand.
    shorter = (Site.account_id == account_id) & Site.retention_class.between(1, plan.retention_class - 1)
    session.execute(update(Site).where(shorter).values(retention_class=plan.retention_class))
    bump_version(session)
    services.cache.invalidate(plan_topic(account_id), session)
    _tell_owner(session, services, profile, plan, before, reason)
    PLAN_CHANGES.labels(reason, plan.code).inc()
    return True


def _tell_owner(
    session: Session, services: Services, profile: BillingProfile, plan: Plan, before: str, reason: Reason
) -> None:
    owner = owner_of(session, profile)
    if owner is None:
        return
    former = PLANS_BY_CODE.get(before)
    services.mailer.queue(
        session,
        owner.email,
        "plan_changed",
        name=owner.name,
        account_name=session.get_one(Account, profile.account_id).name,
        plan=plan.display_name,
        former_plan=former.display_name if former else before,
        monthly_events=f"{plan.monthly_events:,}",
        reason=reason.sentence,
        billing_link=billing_link(services.settings, profile.account_id),
    )


def owner_of(session: Session, profile: BillingProfile) -> User | None:
    """Who answers for the plan."""
    return None if profile.owner_user_id is None else session.get(User, profile.owner_user_id)
