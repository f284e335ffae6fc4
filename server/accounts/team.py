"""The people of an account: members and their roles, invitations, who owns it.

Rules: an account always has an owner; owners alone make, change or remove owners, and admins may invite, change and
remove the others; anybody may leave but the last owner. The plan follows the owner who answers for it
(`BillingProfile`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, LinkInvalid, NotAllowed, NotThere
from server.accounts.guests import forget_guest_of_account
from server.accounts.passwords import check_strength, hash_password
from server.accounts.tokens import new_secret, secret_hash
from server.accounts.users import add_confirmed_user, clean_email, clean_name, find_user
from server.app_database import reading, writing
from server.clock import DAY_MS
from server.models import Account, BillingProfile, Invitation, MemberRole, Membership, User

if TYPE_CHECKING:
    from server.services import Services

INVITATION_LIFE_MS = 7 * DAY_MS

# Open invitations of one account: each is a mail to somebody who did not ask for it.
MOST_INVITATIONS = 50


@dataclass(frozen=True)
class Member:
    """A person in an account."""

    user_id: int
    email: str
    name: str
    role: MemberRole
    has_two_factor: bool


@dataclass(frozen=True)
class InvitationOffer:
    """What somebody who opens an invitation's link is offered."""

    account_id: int
    account_name: str
    email: str
    role: MemberRole
    has_user: bool


def list_members(session: Session, account_id: int) -> list[Member]:
    """The members of an account by name."""
    rows = session.execute(
        select(User, Membership.role)
        .join(Membership, Membership.user_id == User.user_id)
        .where(Membership.account_id == account_id)
        .order_by(User.name, User.email)
    )
    return [
        Member(user.user_id, user.email, user.name, MemberRole(role), user.totp_enabled_at_ms is not None)
        for user, role in rows
    ]


def list_invitations(session: Session, account_id: int, now: int) -> Sequence[Invitation]:
    """The invitations that can still be accepted, the newest first."""
    open_ones = (Invitation.account_id == account_id) & (Invitation.expires_at_ms > now)
    return (
        session.execute(select(Invitation).where(open_ones).order_by(Invitation.invitation_id.desc())).scalars().all()
    )


def invite(
    services: Services,
    account_id: int,
    inviter_id: int,
    inviter_role: MemberRole,
    email: str,
    role: MemberRole,
    now: int,
) -> None:
    """Send an invitation; a newer one replaces an older one to the same address. Raises `FormError`, `NotAllowed`."""
    email = clean_email(email)
    _check_reach(inviter_role, role)
    token = new_secret()
    with writing(services.engine) as session:
        account = session.get_one(Account, account_id, with_for_update=True)
        user = find_user(session, email)
        if user is not None and session.get(Membership, (account_id, user.user_id)) is not None:
            raise FormError("email", "This person is a member already.")
        session.execute(
            delete(Invitation).where(
                (Invitation.account_id == account_id)
                & ((Invitation.email == email) | (Invitation.expires_at_ms <= now))
            )
        )
        waiting = select(func.count()).select_from(Invitation).where(Invitation.account_id == account_id)
        if session.execute(waiting).scalar_one() >= MOST_INVITATIONS:
            raise FormError("email", f"{MOST_INVITATIONS} invitations are open: take some back first.")
        session.add(
            Invitation(
                account_id=account_id,
                email=email,
                role=role,
                token_hash=secret_hash(token),
                invited_by_user_id=inviter_id,
                created_at_ms=now,
                expires_at_ms=now + INVITATION_LIFE_MS,
            )
        )
        inviter = session.get_one(User, inviter_id)
        write_entry(
            session, Action.MEMBER_INVITED, now, actor=inviter_id, account_id=account_id, target=email, role=str(role)
        )
        services.mailer.queue(
            session,
            email,
            "invitation",
            account_name=account.name,
            inviter=inviter.name or inviter.email,
            role=str(role),
            link=f"{services.settings.snippet_base}/invitations/accept?token={token}",
            expires_in="a week",
        )


def revoke_invitation(services: Services, account_id: int, invitation_id: int, actor: int, now: int) -> None:
    """Take an invitation back. Raises `NotThere`."""
    ours = (Invitation.account_id == account_id) & (Invitation.invitation_id == invitation_id)
    with writing(services.engine) as session:
        email = session.execute(delete(Invitation).where(ours).returning(Invitation.email)).scalar()
        if email is None:
            raise NotThere("invitation")
        write_entry(session, Action.INVITATION_REVOKED, now, actor=actor, account_id=account_id, target=email)


def look_at_invitation(services: Services, token: str, now: int) -> InvitationOffer:
    """What the link offers. Raises `LinkInvalid`."""
    with reading(services.engine) as session:
        row = _invitation(session, token, now)
        account = session.get_one(Account, row.account_id)
        has_user = find_user(session, row.email) is not None
        return InvitationOffer(row.account_id, account.name, row.email, MemberRole(row.role), has_user)


def accept_as_new(services: Services, token: str, name: str, password: str, now: int) -> int:
    """Make the invited person and take them in: the link proves the address. Raises `LinkInvalid`, `FormError`."""
    name = clean_name(name)
    offer = look_at_invitation(services, token, now)
    check_strength(password, offer.email, name)
    hashed = hash_password(password)
    with writing(services.engine) as session:
        row = _take_invitation(session, token, now)
        if find_user(session, row.email) is not None:
            raise LinkInvalid
        user = add_confirmed_user(session, row.email, name, hashed, now)
        _join(session, row, user.user_id, now)
        return user.user_id


def accept_as_user(services: Services, token: str, user_id: int, now: int) -> int:
    """Take a signed-in person in, if the invitation was sent to their address; the account. Raises `LinkInvalid`."""
    with writing(services.engine) as session:
        row = _take_invitation(session, token, now)
        if session.get_one(User, user_id).email != row.email:
            raise LinkInvalid
        _join(session, row, user_id, now)
        return row.account_id


def change_role(
    services: Services, account_id: int, user_id: int, role: MemberRole, actor: int, actor_role: MemberRole, now: int
) -> None:
    """Give a member another role. Raises `NotThere`, `NotAllowed`."""
    with writing(services.engine) as session:
        membership = _locked_member(session, account_id, user_id)
        _check_reach(actor_role, MemberRole(membership.role), role)
        if membership.role == MemberRole.OWNER and role is not MemberRole.OWNER:
            _check_other_owner(session, account_id, user_id)
        membership.role = role
        session.flush()
        _settle_billing(session, account_id)
        write_entry(
            session, Action.MEMBER_ROLE, now, actor=actor, account_id=account_id, target=str(user_id), role=str(role)
        )


def remove_member(
    services: Services, account_id: int, user_id: int, actor: int, actor_role: MemberRole, now: int
) -> None:
    """Take a member out; oneself always may. Raises `NotThere`, `NotAllowed`."""
    with writing(services.engine) as session:
        membership = _locked_member(session, account_id, user_id)
        if user_id != actor:
            _check_reach(actor_role, MemberRole(membership.role))
        if membership.role == MemberRole.OWNER:
            _check_other_owner(session, account_id, user_id)
        session.delete(membership)
        session.flush()
        _settle_billing(session, account_id)
        write_entry(session, Action.MEMBER_REMOVED, now, actor=actor, account_id=account_id, target=str(user_id))


def hand_over(services: Services, account_id: int, user_id: int, actor: int, now: int) -> None:
    """Make a member the owner who answers for the plan; the actor stays an owner. Raises `NotThere`."""
    with writing(services.engine) as session:
        _locked_member(session, account_id, user_id).role = MemberRole.OWNER
        session.get_one(BillingProfile, account_id).owner_user_id = user_id
        write_entry(session, Action.OWNER_CHANGED, now, actor=actor, account_id=account_id, target=str(user_id))


def rename_account(services: Services, account_id: int, name: str, actor: int, now: int) -> None:
    """Raises `FormError`."""
    name = clean_name(name, needed=True)
    with writing(services.engine) as session:
        session.get_one(Account, account_id).name = name
        write_entry(session, Action.ACCOUNT_RENAMED, now, actor=actor, account_id=account_id, target=name)


def _check_reach(actor_role: MemberRole, *roles: MemberRole) -> None:
    """An admin's reach ends below owners."""
    if actor_role.rank < MemberRole.ADMIN.rank:
        raise NotAllowed("Only admins and owners change the team.")
    if MemberRole.OWNER in roles and actor_role is not MemberRole.OWNER:
        raise NotAllowed("Only an owner can make, change or remove owners.")


def _check_other_owner(session: Session, account_id: int, user_id: int) -> None:
    others = (
        (Membership.account_id == account_id) & (Membership.role == MemberRole.OWNER) & (Membership.user_id != user_id)
    )
    if session.execute(select(Membership.user_id).where(others).limit(1)).scalar() is None:
        raise NotAllowed("An account needs an owner: make somebody else an owner first.")


def _locked_member(session: Session, account_id: int, user_id: int) -> Membership:
    # The account's row stands for its team: two owners who remove each other at once must not both succeed.
    session.get_one(Account, account_id, with_for_update=True)
    membership = session.get(Membership, (account_id, user_id))
    if membership is None:
        raise NotThere("member")
    return membership


def _settle_billing(session: Session, account_id: int) -> None:
    """The plan moves to an owner when the one who answered for it is one no longer."""
    profile = session.get_one(BillingProfile, account_id)
    owners = select(Membership.user_id).where(
        (Membership.account_id == account_id) & (Membership.role == MemberRole.OWNER)
    )
    user_ids = session.execute(owners.order_by(Membership.created_at_ms, Membership.user_id)).scalars().all()
    if profile.owner_user_id not in user_ids:
        profile.owner_user_id = user_ids[0] if user_ids else None


def _invitation(session: Session, token: str, now: int) -> Invitation:
    good = (Invitation.token_hash == secret_hash(token)) & (Invitation.expires_at_ms > now)
    row = session.execute(select(Invitation).where(good)).scalar()
    if row is None:
        raise LinkInvalid
    return row


def _take_invitation(session: Session, token: str, now: int) -> Invitation:
    row = _invitation(session, token, now)
    taken = delete(Invitation).where(Invitation.invitation_id == row.invitation_id).returning(Invitation.invitation_id)
    if session.execute(taken, execution_options={"synchronize_session": False}).scalar() is None:
        raise LinkInvalid
    session.expunge(row)
    return row


def _join(session: Session, row: Invitation, user_id: int, now: int) -> None:
    forget_guest_of_account(session, row.account_id, user_id)
    known = session.get(Membership, (row.account_id, user_id))
    if known is None:
        session.add(Membership(account_id=row.account_id, user_id=user_id, role=row.role, created_at_ms=now))
    elif MemberRole(known.role).rank < MemberRole(row.role).rank:
        session.execute(
            update(Membership)
            .where((Membership.account_id == row.account_id) & (Membership.user_id == user_id))
            .values(role=row.role)
        )
    write_entry(session, Action.MEMBER_JOINED, now, actor=user_id, account_id=row.account_id, role=row.role)
