"""The notice that an account's plan is used up: on the pages of the account and of its sites, and on the list of sites.

Shown to every member, for each of them sees figures stop; never to guests of a site, who hear nothing of its account,
nor to whoever came by a share link. It says what happened, until when, and what to do; only owners change a plan, so
others are told whom to ask. Where the grace outlasts the period nothing is ever dropped, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.accounts.sessions import AccountPlace
from server.app_database import reading
from server.billing.capacity import rejections_of
from server.models import MemberRole, Membership, User

if TYPE_CHECKING:
    from server.services import Services

# As many as anybody asks; the page of the team has all of them.
MOST_OWNERS = 3


@dataclass(frozen=True)
class CapacityNotice:
    """That hits of a place's account are dropped since its plan is used up, or will be.

    `from_ms` and `until_ms`: from when to when. `ask`: who can do something about it; empty when the reader can.
    """

    place: AccountPlace
    from_ms: int
    until_ms: int
    is_rejecting: bool
    ask: str


def capacity_notices(services: Services, places: Sequence[AccountPlace], at_ms: int) -> list[CapacityNotice]:
    """The notices for a person's places, in their order. Blocks; raises what the app database raises.

    Most pages cost nothing, for the answer is remembered (`rejections_of`); whoever is to ask costs one statement.
    """
    found = {each.account_id: each for each in rejections_of(services, [place.account_id for place in places], at_ms)}
    concerned = [place for place in places if place.account_id in found]
    can_buy = services.settings.is_billing_on
    others = [place.account_id for place in concerned if place.role is not MemberRole.OWNER]
    owners: dict[int, str] = {}
    if others and can_buy:
        with reading(services.engine) as session:
            owners = owner_names(session, others)
    notices = []
    for place in concerned:
        rejection = found[place.account_id]
        ask = "" if place.role is MemberRole.OWNER else owners.get(place.account_id, "an owner of the account")
        notices.append(
            CapacityNotice(
                place,
                rejection.from_ms,
                rejection.until_ms,
                is_rejecting=rejection.from_ms <= at_ms,
                ask=ask if can_buy else "the people who run this server",
            )
        )
    return notices


def owner_names(session: Session, account_ids: Sequence[int]) -> dict[int, str]:
    """What the owners of these accounts are called, for a sentence; an address stands for a missing name."""
    wanted = (
        select(Membership.account_id, User.name, User.email)
        .join(User, User.user_id == Membership.user_id)
        .where(Membership.account_id.in_(account_ids), Membership.role == MemberRole.OWNER, User.state == "active")
        .order_by(Membership.account_id, Membership.created_at_ms, User.user_id)
    )
    names: dict[int, list[str]] = {}
    for account_id, name, email in session.execute(wanted):
        names.setdefault(account_id, []).append(name or email)
    return {account_id: " or ".join(theirs[:MOST_OWNERS]) for account_id, theirs in names.items()}
