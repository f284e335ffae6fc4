"""Guests: people who see one site of an account that they do not belong to.

As in Plausible's Sites API: a viewer sees the site's figures; an editor changes goals, funnels and segments and the
site's own settings as well. Members, mails, imports, keys, the plan, other sites, handing the site over and its end are
not a guest's, whatever the role: a route lets in guests only where its declaration names them
(`server.accounts.access`).

A guest is invited by mail and accepts by the link, which works for that address alone. What was accepted is the
person's, whatever their address becomes. Grants end with the site, when it moves to another account, and when the guest
becomes a member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine, Select, delete, func, or_, select
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, LinkInvalid, NotThere
from server.accounts.passwords import check_strength, hash_password
from server.accounts.sessions import AccountPlace, Login
from server.accounts.tokens import new_secret, secret_hash
from server.accounts.users import add_confirmed_user, clean_email, clean_name, find_user
from server.app_database import reading, writing
from server.clock import DAY_MS
from server.models import Account, Guest, GuestRole, Membership, Site, User
from server.site_changes import changing
from server.sites import GONE_STATES, sites_of_accounts

if TYPE_CHECKING:
    from server.services import Services

INVITATION_LIFE_MS = 7 * DAY_MS

MOST_GUESTS = 200
"""Of one site, the invited among them: who opens it to more people makes a share link."""

MOST_INVITED = 50
"""Open invitations of one site: each is a mail to somebody who did not ask for it."""

MOST_GUEST_SITES = 1000
"""That one person is a guest of, as far as they are listed."""

MEANINGS = {
    GuestRole.VIEWER: "see its figures",
    GuestRole.EDITOR: "see its figures and change its goals and settings",
}
"""What each role may, as it follows "you may"."""


@dataclass(frozen=True)
class GuestLine:
    """A guest as lists show one. `expires_at_ms`: of an invitation; means nothing once it is accepted."""

    guest_id: int
    email: str
    name: str
    role: GuestRole
    is_accepted: bool
    expires_at_ms: int


@dataclass(frozen=True)
class GuestOffer:
    """What somebody who opens an invitation's link is offered."""

    domain: str
    email: str
    role: GuestRole
    has_user: bool


# -- who is one ------------------------------------------------------------------------------------------------------


def guest_place(session: Session, site: Site, user_id: int) -> AccountPlace | None:
    """What a person may do on a site that they are a guest of; None for everybody else."""
    theirs = (Guest.site_id == site.site_id) & (Guest.user_id == user_id)
    role = session.execute(select(Guest.role).where(theirs)).scalar()
    if role is None:
        return None
    return AccountPlace(site.account_id, site.domain, GuestRole(role).as_member, is_guest=True)


def guest_sites(session: Session, user_id: int) -> list[Site]:
    """The sites that a person is a guest of, by domain, without those that are being deleted."""
    theirs = (Guest.user_id == user_id) & Site.state.not_in(GONE_STATES)
    found = select(Site).join(Guest, Guest.site_id == Site.site_id).where(theirs)
    return list(session.execute(found.order_by(Site.domain).limit(MOST_GUEST_SITES)).scalars())


def sites_of_person(engine: Engine, login: Login) -> list[Site]:
    """Every site that somebody sees, as a member or a guest, by domain."""
    theirs = sites_of_accounts(engine, [place.account_id for place in login.places])
    with reading(engine) as session:
        return sorted([*theirs, *guest_sites(session, login.user_id)], key=lambda site: site.domain)


def guests_of(site_id: int, now: int) -> Select[Guest]:
    """The guests of a site, and who can still become one."""
    return select(Guest).where(
        (Guest.site_id == site_id) & (Guest.accepted_at_ms.is_not(None) | (Guest.expires_at_ms > now))
    )


def guest_lines(session: Session, guests: Sequence[Guest]) -> list[GuestLine]:
    """These guests with their addresses and names of today."""
    ids = [guest.user_id for guest in guests if guest.user_id is not None]
    people = {user.user_id: user for user in session.execute(select(User).where(User.user_id.in_(ids))).scalars()}
    lines = []
    for guest in guests:
        person = people.get(guest.user_id or 0)
        email, name = (person.email, person.name) if person is not None else (guest.email or "", "")
        role, is_accepted = GuestRole(guest.role), guest.accepted_at_ms is not None
        lines.append(GuestLine(guest.guest_id, email, name, role, is_accepted, guest.expires_at_ms))
    return lines


def list_guests(session: Session, site_id: int, now: int) -> list[GuestLine]:
    """A site's guests and open invitations, by address."""
    guests = session.execute(guests_of(site_id, now).limit(MOST_GUESTS)).scalars().all()
    return sorted(guest_lines(session, guests), key=lambda line: line.email)


def find_guest(session: Session, site_id: int, email: str, now: int) -> GuestLine | None:
    """The guest, or the open invitation, of this address."""
    theirs = or_(Guest.email == email, Guest.user_id.in_(select(User.user_id).where(User.email == email)))
    # Who changed their address since may be a guest, and be invited under the new one besides.
    found = guests_of(site_id, now).where(theirs).order_by(Guest.accepted_at_ms.is_(None), Guest.guest_id).limit(1)
    guest = session.execute(found).scalar()
    return None if guest is None else guest_lines(session, [guest])[0]


# -- inviting, changing, removing ------------------------------------------------------------------------------------


def invite_guest(
    services: Services, site_id: int, email: str, role: GuestRole, inviter_id: int | None, now: int
) -> tuple[GuestLine, bool]:
    """Send an invitation, unless there is a guest or an open one; what there is now, and whether it is new.

    `inviter_id`: None for a program with an API key. Raises `FormError` at `email`, `NotThere`.
    """
    email = clean_email(email)
    token = new_secret()
    with changing(services.engine, site_id, is_told=False) as (session, site):
        found = find_guest(session, site_id, email, now)
        if found is not None:
            return found, False
        user = find_user(session, email)
        if user is not None and session.get(Membership, (site.account_id, user.user_id)) is not None:
            raise FormError("email", "This person is a member of the account, and sees all of its sites.")
        session.execute(
            delete(Guest).where(
                (Guest.site_id == site_id) & Guest.accepted_at_ms.is_(None) & (Guest.expires_at_ms <= now)
            )
        )
        _check_room(session, site_id)
        guest = Guest(
            site_id=site_id,
            email=email,
            role=role,
            token_hash=secret_hash(token),
            invited_by_user_id=inviter_id,
            created_at_ms=now,
            expires_at_ms=now + INVITATION_LIFE_MS,
        )
        session.add(guest)
        session.flush()
        inviter = None if inviter_id is None else session.get_one(User, inviter_id)
        services.mailer.queue(
            session,
            email,
            "guest_invitation",
            inviter=(inviter.name or inviter.email) if inviter else session.get_one(Account, site.account_id).name,
            site_name=site.domain,
            may=MEANINGS[role],
            link=f"{services.settings.snippet_base}/guests/accept?token={token}",
            expires_in="a week",
        )
        _log(session, site, Action.GUEST_INVITED, inviter_id, now, email=email, role=str(role))
        return GuestLine(guest.guest_id, email, "", role, False, guest.expires_at_ms), True


def change_guest_role(services: Services, site_id: int, guest_id: int, role: GuestRole, actor: int, now: int) -> None:
    """Give a guest, or an open invitation, another role. Raises `NotThere`."""
    with changing(services.engine, site_id, is_told=False) as (session, site):
        guest = _guest(session, site_id, guest_id)
        guest.role = role
        (line,) = guest_lines(session, [guest])
        _log(session, site, Action.GUEST_ROLE, actor, now, email=line.email, role=str(role))


def remove_guest(services: Services, site_id: int, guest_id: int, actor: int | None, now: int) -> None:
    """Close the site to a guest at once, or take an invitation back. The person's login stays. Raises `NotThere`."""
    with changing(services.engine, site_id, is_told=False) as (session, site):
        guest = _guest(session, site_id, guest_id)
        (line,) = guest_lines(session, [guest])
        session.delete(guest)
        _log(session, site, Action.GUEST_REMOVED, actor, now, email=line.email)


def leave_site(services: Services, site_id: int, user_id: int, now: int) -> None:
    """Be a guest no longer. Raises `NotThere`."""
    with changing(services.engine, site_id, is_told=False) as (session, site):
        theirs = (Guest.site_id == site_id) & (Guest.user_id == user_id)
        if session.execute(delete(Guest).where(theirs).returning(Guest.guest_id)).scalar() is None:
            raise NotThere("guest")
        _log(session, site, Action.GUEST_LEFT, user_id, now)


def forget_guests_of_site(session: Session, site_id: int) -> None:
    """The site goes to another account, whose people decide anew who sees it."""
    session.execute(delete(Guest).where(Guest.site_id == site_id))


def forget_guest_of_account(session: Session, account_id: int, user_id: int) -> None:
    """Somebody becomes a member of the account: that they were guests of its sites means nothing any more."""
    sites = select(Site.site_id).where(Site.account_id == account_id)
    session.execute(delete(Guest).where((Guest.user_id == user_id) & Guest.site_id.in_(sites)))


# -- accepting -------------------------------------------------------------------------------------------------------


def look_at_guest_invitation(services: Services, token: str, now: int) -> GuestOffer:
    """What the link offers. Raises `LinkInvalid`."""
    with reading(services.engine) as session:
        guest, site = _invited(session, token, now)
        email = guest.email or ""
        return GuestOffer(site.domain, email, GuestRole(guest.role), find_user(session, email) is not None)


def accept_guest_as_new(services: Services, token: str, name: str, password: str, now: int) -> tuple[int, str]:
    """Make the invited person, whose address the link proves; user and domain. Raises `LinkInvalid`, `FormError`."""
    name = clean_name(name)
    check_strength(password, look_at_guest_invitation(services, token, now).email, name)
    hashed = hash_password(password)
    with writing(services.engine) as session:
        guest, site = _taken(session, token, now)
        email = guest.email or ""
        if find_user(session, email) is not None:
            raise LinkInvalid
        user = add_confirmed_user(session, email, name, hashed, now)
        _accept(session, guest, site, user.user_id, now)
        return user.user_id, site.domain


def accept_guest_as_user(services: Services, token: str, user_id: int, now: int) -> str:
    """Let a signed-in person in, if the invitation was sent to their address; the domain. Raises `LinkInvalid`."""
    with writing(services.engine) as session:
        guest, site = _taken(session, token, now)
        if session.get_one(User, user_id).email != guest.email:
            raise LinkInvalid
        _accept(session, guest, site, user_id, now)
        return site.domain


def _guest(session: Session, site_id: int, guest_id: int) -> Guest:
    guest = session.get(Guest, guest_id)
    if guest is None or guest.site_id != site_id:
        raise NotThere("guest")
    return guest


def _check_room(session: Session, site_id: int) -> None:
    counts = select(func.count(), func.count(Guest.accepted_at_ms)).where(Guest.site_id == site_id)
    there, accepted = session.execute(counts).one()
    if there - accepted >= MOST_INVITED:
        raise FormError("email", f"{MOST_INVITED} invitations are open: take some back first.")
    if there >= MOST_GUESTS:
        raise FormError("email", f"A site may have {MOST_GUESTS} guests: remove some first, or make a share link.")


def _invited(session: Session, token: str, now: int) -> tuple[Guest, Site]:
    good = (Guest.token_hash == secret_hash(token)) & (Guest.expires_at_ms > now) & Site.state.not_in(GONE_STATES)
    found = session.execute(select(Guest, Site).join(Site, Site.site_id == Guest.site_id).where(good)).one_or_none()
    if found is None:
        raise LinkInvalid
    return found[0], found[1]


def _taken(session: Session, token: str, now: int) -> tuple[Guest, Site]:
    """The invitation of a link, held: of two that use it at once, the second finds it used."""
    _, site = _invited(session, token, now)
    # The site's row stands for what belongs to it, as everywhere.
    session.get_one(Site, site.site_id, with_for_update=True)
    session.expire_all()
    return _invited(session, token, now)


def _accept(session: Session, guest: Guest, site: Site, user_id: int, now: int) -> None:
    known = session.execute(select(Guest).where((Guest.site_id == site.site_id) & (Guest.user_id == user_id))).scalar()
    if session.get(Membership, (site.account_id, user_id)) is not None:
        # A member since the invitation was sent: nothing that is not theirs already.
        session.delete(guest)
    elif known is not None:
        if guest.role == GuestRole.EDITOR:
            known.role = guest.role
        session.delete(guest)
    else:
        guest.user_id, guest.accepted_at_ms = user_id, now
        guest.email = guest.token_hash = None
    _log(session, site, Action.GUEST_JOINED, user_id, now, role=guest.role)


def _log(session: Session, site: Site, action: Action, actor: int | None, now: int, **detail: object) -> None:
    write_entry(session, action, now, actor=actor, account_id=site.account_id, target=site.domain, **detail)
