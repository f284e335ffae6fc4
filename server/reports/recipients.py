"""To whom the mails of some subscriptions go: members still there, addresses that have agreed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.billing.plans import Feature, plan_held
from server.config import Settings
from server.models import Account, BillingProfile, Membership, ReportSubscription, Site, User
from server.site_zones import BEGINNING, Zones, all_zones
from server.sites import GONE_STATES


@dataclass(frozen=True)
class Addressee:
    """A subscription and where its mail goes."""

    row: ReportSubscription
    address: str


@dataclass(frozen=True)
class Audience:
    """What is known of some sites and their subscriptions.

    `paused`: sites of accounts whose plan lacks reports, or that are not active. `void`: subscriptions that mean
    nothing any more.
    """

    sites: Mapping[int, Site]
    zones: Mapping[int, Zones]
    addressees: Mapping[int, Sequence[Addressee]]
    void: Sequence[int]
    paused: frozenset[int]


def audience_of(session: Session, settings: Settings, rows: Collection[ReportSubscription]) -> Audience:
    """The sites of these subscriptions and who gets their mails. Sites that are being deleted are left out."""
    ids = {row.site_id for row in rows}
    found = select(Site).where(Site.site_id.in_(ids), Site.state.not_in(GONE_STATES))
    sites = {site.site_id: site for site in session.execute(found).scalars()}
    zones = all_zones(session, list(sites))
    addresses = _member_addresses(session, {row.user_id for row in rows if row.user_id is not None})
    addressees: dict[int, list[Addressee]] = {site_id: [] for site_id in sites}
    void = []
    for row in rows:
        site = sites.get(row.site_id)
        if site is None:
            continue
        address = row.email if row.user_id is None else addresses.get((site.account_id, row.user_id))
        if address is None or row.account_id != site.account_id:
            void.append(row.report_subscription_id)
        elif row.confirmed_at_ms is not None:
            addressees[row.site_id].append(Addressee(row, address))
    return Audience(
        sites,
        {site_id: zones.get(site_id, ((BEGINNING, site.timezone),)) for site_id, site in sites.items()},
        addressees,
        void,
        _paused(session, settings, sites.values()),
    )


def _member_addresses(session: Session, user_ids: Collection[int]) -> dict[tuple[int, int], str]:
    """Addresses by account and user, of people who are members and may log in."""
    members = select(Membership.account_id, Membership.user_id, User.email).join(
        User, User.user_id == Membership.user_id
    )
    of_these = members.where(
        Membership.user_id.in_(user_ids), User.state == "active", User.email_confirmed_at_ms.is_not(None)
    )
    return {(account_id, user_id): email for account_id, user_id, email in session.execute(of_these)}


def _paused(session: Session, settings: Settings, sites: Collection[Site]) -> frozenset[int]:
    accounts = {site.account_id for site in sites}
    rows = session.execute(
        select(Account.account_id, Account.state, BillingProfile.plan_code)
        .outerjoin(BillingProfile, BillingProfile.account_id == Account.account_id)
        .where(Account.account_id.in_(accounts))
    ).all()
    allowed = {
        account_id
        for account_id, state, code in rows
        if state == "active" and (not settings.are_plans_enforced or plan_held(code).has(Feature.REPORTS))
    }
    return frozenset(site.site_id for site in sites if site.account_id not in allowed)
