"""Moving a site to another account: an owner offers it to a person, who takes it into an account that they look after.

The offer is a link, good for a week, for the person whose address it was sent to alone; a newer offer of the same site
replaces it. The site moves with its figures, goals and share links; people and API keys of the account that it leaves,
and guests, lose it at that moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import LinkInvalid, NotAllowed, NotThere
from server.accounts.guests import forget_guests_of_site
from server.accounts.tokens import new_secret, secret_hash
from server.accounts.users import clean_email
from server.app_database import bump_version, reading, writing
from server.billing.plan_changes import plan_of
from server.billing.site_owners import note_move
from server.clock import DAY_MS
from server.models import Account, MemberRole, Membership, Site, SiteTransfer, User
from server.site_changes import changing, log
from server.sites import GONE_STATES

if TYPE_CHECKING:
    from server.services import Services

OFFER_LIFE_MS = 7 * DAY_MS


@dataclass(frozen=True)
class Offer:
    """What a link offers, and the accounts that its reader may take the site into: (number, name)."""

    domain: str
    account_name: str
    accounts: Sequence[tuple[int, str]]


def offer_site(services: Services, site_id: int, email: str, actor: int, now: int) -> None:
    """Send the offer to an address, in place of an earlier one. Raises `FormError` at `email`."""
    email = clean_email(email)
    token = new_secret()
    with changing(services.engine, site_id, is_told=False) as (session, site):
        session.execute(delete(SiteTransfer).where(SiteTransfer.site_id == site_id))
        session.add(
            SiteTransfer(
                site_id=site_id,
                email=email,
                token_hash=secret_hash(token),
                offered_by_user_id=actor,
                created_at_ms=now,
                expires_at_ms=now + OFFER_LIFE_MS,
            )
        )
        log(session, site, Action.SITE_OFFERED, actor)
        person = session.get_one(User, actor)
        services.mailer.queue(
            session,
            email,
            "site_offer",
            inviter=person.name or person.email,
            site_name=site.domain,
            account_name=session.get_one(Account, site.account_id).name,
            link=f"{services.settings.snippet_base}/transfers/accept?token={token}",
            expires_in="a week",
        )


def open_offer(session: Session, site_id: int, now: int) -> SiteTransfer | None:
    """A site's offer that can still be accepted."""
    theirs = (SiteTransfer.site_id == site_id) & (SiteTransfer.expires_at_ms > now)
    return session.execute(select(SiteTransfer).where(theirs)).scalar()


def revoke_offer(services: Services, site_id: int, actor: int) -> None:
    """Take an offer back. Raises `NotThere`."""
    with changing(services.engine, site_id, is_told=False) as (session, site):
        ended = delete(SiteTransfer).where(SiteTransfer.site_id == site_id).returning(SiteTransfer.transfer_id)
        if session.execute(ended).scalar() is None:
            raise NotThere("offer")
        log(session, site, Action.SITE_OFFER_REVOKED, actor)


def look_at_offer(services: Services, token: str, user_id: int, now: int) -> Offer:
    """What the link offers this person. Raises `LinkInvalid`, also when it was sent to somebody else."""
    with reading(services.engine) as session:
        row = _offer(session, token, user_id, now)
        site = session.get_one(Site, row.site_id)
        if site.state in GONE_STATES:
            raise LinkInvalid
        places = session.execute(
            select(Account.account_id, Account.name, Membership.role)
            .join(Membership, Membership.account_id == Account.account_id)
            .where((Membership.user_id == user_id) & (Account.state == "active"))
            .where(Account.account_id != site.account_id)
            .order_by(Account.name, Account.account_id)
        ).all()
        return Offer(
            site.domain,
            session.get_one(Account, site.account_id).name,
            [(number, name) for number, name, role in places if _looks_after(role)],
        )


def accept_offer(services: Services, token: str, user_id: int, account_id: int, now: int) -> str:
    """Take the site into an account that the person looks after; its domain. Raises `LinkInvalid`, `NotAllowed`."""
    with writing(services.engine) as session:
        row = _offer(session, token, user_id, now)
        # The site's row stands for what belongs to it: of two who change it at once, one waits.
        site = session.get_one(Site, row.site_id, with_for_update=True)
        used = delete(SiteTransfer).where(SiteTransfer.transfer_id == row.transfer_id).returning(SiteTransfer.site_id)
        is_first = session.execute(used, execution_options={"synchronize_session": False}).scalar() is not None
        if not is_first or site.state in GONE_STATES:
            raise LinkInvalid
        session.expunge(row)
        membership = session.get(Membership, (account_id, user_id))
        account = session.get(Account, account_id)
        if membership is None or not _looks_after(membership.role) or account is None or account.state != "active":
            raise NotAllowed("You can take a site only into an account that you are an admin or owner of.")
        if account_id == site.account_id:
            raise NotAllowed("The site belongs to that account already.")
        earlier, site.account_id = site.account_id, account_id
        note_move(session, site.site_id, earlier, account_id, now)
        forget_guests_of_site(session, site.site_id)
        # What the earlier plan kept is shortened by the retention job alone, which waits.
        site.retention_class = max(site.retention_class, plan_of(session, account_id).retention_class)
        bump_version(session)
        for each in (earlier, account_id):
            write_entry(session, Action.SITE_MOVED, now, actor=user_id, account_id=each, target=site.domain)
        return site.domain


def _offer(session: Session, token: str, user_id: int, now: int) -> SiteTransfer:
    good = (SiteTransfer.token_hash == secret_hash(token)) & (SiteTransfer.expires_at_ms > now)
    row = session.execute(select(SiteTransfer).where(good)).scalar()
    if row is None or session.get_one(User, user_id).email != row.email:
        raise LinkInvalid
    return row


def _looks_after(role: str) -> bool:
    return MemberRole(role).rank >= MemberRole.ADMIN.rank
