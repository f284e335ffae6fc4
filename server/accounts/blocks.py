"""Blocking accounts and sites: their hits are dropped as `blocked`, within seconds, until staff unblock them.

A block is a row of its own, so that a site's or account's other state is what it was when the block ends. The snapshot
asks `blocked_site_ids`; owners are told by mail, and by a notice on their pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Engine, or_, select
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, NotThere
from server.accounts.reasons import clean_reason
from server.app_database import bump_version, reading
from server.models import Account, Block, MemberRole, Membership, Site, User
from server.sites import GONE_STATES

if TYPE_CHECKING:
    from server.services import Services

# An account has a handful of owners; a mail to each of a thousand would be an announcement.
MOST_OWNERS = 50


def blocked_site_ids(session: Session) -> set[int]:
    """The sites whose hits are dropped because they, or their accounts, are blocked."""
    found = select(Site.site_id).join(Block, or_(Block.site_id == Site.site_id, Block.account_id == Site.account_id))
    return set(session.execute(found).scalars())


def block_of_account(session: Session, account_id: int) -> Block | None:
    """The block of an account."""
    return session.execute(select(Block).where(Block.account_id == account_id)).scalar()


def block_of_site(session: Session, site_id: int) -> Block | None:
    """The block of one site; that of its account is another."""
    return session.execute(select(Block).where(Block.site_id == site_id)).scalar()


def find_site_and_block(engine: Engine, domain: str) -> tuple[Site | None, str]:
    """The site of this domain, and why staff blocked it; empty when it is not."""
    with reading(engine) as session:
        named = select(Site, Block.reason).outerjoin(Block, Block.site_id == Site.site_id)
        found = session.execute(named.where(Site.domain == domain.strip().lower())).one_or_none()
    return (None, "") if found is None else (found[0], found[1] or "")


def block_account(session: Session, services: Services, account_id: int, reason: str, actor: int, now_ms: int) -> None:
    """Block every site that an account has or gets. Raises `NotThere`, `FormError`."""
    account = session.get(Account, account_id, with_for_update=True)
    if account is None:
        raise NotThere("account")
    if block_of_account(session, account_id) is not None:
        raise FormError("", "This account is blocked already.")
    reason = clean_reason(reason)
    block = Block(account_id=account_id, reason=reason, blocked_by_user_id=actor, blocked_at_ms=now_ms)
    session.add(block)
    bump_version(session)
    _log_account(session, Action.ACCOUNT_BLOCKED, account, reason, actor, now_ms)
    _tell_owners(session, services, account, f"The account “{account.name}”", "blocked", reason)


def unblock_account(
    session: Session, services: Services, account_id: int, reason: str, actor: int, now_ms: int
) -> None:
    """End the block of an account. Raises `NotThere`, `FormError`."""
    account = session.get(Account, account_id, with_for_update=True)
    block = block_of_account(session, account_id)
    if account is None or block is None:
        raise NotThere("block")
    reason = clean_reason(reason)
    session.delete(block)
    bump_version(session)
    _log_account(session, Action.ACCOUNT_UNBLOCKED, account, reason, actor, now_ms)
    _tell_owners(session, services, account, f"The account “{account.name}”", "unblocked", reason)


def block_site(session: Session, services: Services, site_id: int, reason: str, actor: int, now_ms: int) -> None:
    """Block one site. Raises `NotThere`, `FormError`."""
    site = session.get(Site, site_id, with_for_update=True)
    if site is None or site.state in GONE_STATES:
        raise NotThere("site")
    if block_of_site(session, site_id) is not None:
        raise FormError("", "This site is blocked already.")
    reason = clean_reason(reason)
    session.add(Block(site_id=site_id, reason=reason, blocked_by_user_id=actor, blocked_at_ms=now_ms))
    bump_version(session)
    _log_site(session, Action.SITE_BLOCKED, site, reason, actor, now_ms)
    account = session.get_one(Account, site.account_id)
    _tell_owners(session, services, account, f"The site “{site.domain}”", "blocked", reason)


def unblock_site(session: Session, services: Services, site_id: int, reason: str, actor: int, now_ms: int) -> None:
    """End the block of one site. Raises `NotThere`, `FormError`."""
    site = session.get(Site, site_id, with_for_update=True)
    block = block_of_site(session, site_id)
    if site is None or block is None:
        raise NotThere("block")
    reason = clean_reason(reason)
    session.delete(block)
    bump_version(session)
    _log_site(session, Action.SITE_UNBLOCKED, site, reason, actor, now_ms)
    account = session.get_one(Account, site.account_id)
    _tell_owners(session, services, account, f"The site “{site.domain}”", "unblocked", reason)


def _log_account(session: Session, action: Action, account: Account, reason: str, actor: int, now_ms: int) -> None:
    account_id = account.account_id
    write_entry(session, action, now_ms, actor=actor, account_id=account_id, target=account.name, reason=reason)


def _log_site(session: Session, action: Action, site: Site, reason: str, actor: int, now_ms: int) -> None:
    write_entry(session, action, now_ms, actor=actor, account_id=site.account_id, target=site.domain, reason=reason)


def _tell_owners(session: Session, services: Services, account: Account, subject: str, state: str, reason: str) -> None:
    owners = (
        select(User.email, User.name)
        .join(Membership, Membership.user_id == User.user_id)
        .where(Membership.account_id == account.account_id, Membership.role == MemberRole.OWNER, User.state == "active")
        .order_by(User.user_id)
        .limit(MOST_OWNERS)
    )
    for email, name in session.execute(owners).all():
        services.mailer.queue(session, email, "blocked", name=name, account_name=subject, state=state, reason=reason)
