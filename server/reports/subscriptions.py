"""Who gets which mails about a site, as people set it up.

Members choose for themselves, and admins for every member of the account; admins may have mails sent to other
addresses too, whose owners have to agree first. A subscription belongs to the account that the site was in: when the
site moves on, or a member leaves, it means nothing any more and is deleted by the next run of the job.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, NotThere
from server.accounts.team import Member, list_members
from server.accounts.users import clean_email
from server.models import Account, ReportSubscription, Site, User
from server.reports.periods import MailKind
from server.reports.unsubscribing import AGREEMENT_LIFE_MS, agreement_token
from server.site_changes import changing

if TYPE_CHECKING:
    from server.services import Services

MOST_OTHER_ADDRESSES = 20
"""Of one site: each is a mail to somebody who did not ask for it."""


@dataclass
class Person:
    """A member and the kinds they get."""

    member: Member
    kinds: set[MailKind] = field(default_factory=set)


@dataclass
class OtherAddress:
    """An address that is no member's, the kinds it gets, and whether its owner has agreed."""

    email: str
    kinds: set[MailKind] = field(default_factory=set)
    is_confirmed: bool = False
    expires_at_ms: int = 0


@dataclass(frozen=True)
class Readers:
    """Everybody who gets mails about a site, or may."""

    people: Sequence[Person]
    others: Sequence[OtherAddress]


def read_readers(session: Session, site: Site) -> Readers:
    """Members by name, other addresses in the order of the alphabet."""
    people = {member.user_id: Person(member) for member in list_members(session, site.account_id)}
    others: dict[str, OtherAddress] = {}
    for row in _rows(session, site):
        kind = MailKind(row.kind)
        if row.email is not None:
            other = others.setdefault(row.email, OtherAddress(row.email))
            other.kinds.add(kind)
            other.is_confirmed = row.confirmed_at_ms is not None
            other.expires_at_ms = row.created_at_ms + AGREEMENT_LIFE_MS
        elif row.user_id in people:
            people[row.user_id].kinds.add(kind)
    return Readers(list(people.values()), [others[email] for email in sorted(others)])


def checked_kinds(names: Iterable[str]) -> set[MailKind]:
    """The kinds that a form names. Raises `FormError`."""
    try:
        return {MailKind(name) for name in names}
    except ValueError:
        raise FormError("", "That is no mail we send: load the page again.") from None


def choose_for_members(
    services: Services, site_id: int, wanted: Mapping[int, Collection[MailKind]], actor: int, now_ms: int
) -> None:
    """Let these members get these kinds and no others. Raises `NotThere` for somebody who is no member."""
    with changing(services.engine, site_id, is_told=False) as (session, site):
        members = {member.user_id for member in list_members(session, site.account_id)}
        if not wanted.keys() <= members:
            raise NotThere("member")
        there = {(row.user_id, row.kind): row for row in _rows(session, site) if row.user_id is not None}
        added, ended = 0, 0
        for user_id, kinds in wanted.items():
            for kind in MailKind:
                row = there.get((user_id, kind))
                if kind in kinds and row is None:
                    _forget(session, site, kind, ReportSubscription.user_id == user_id)
                    session.add(_new(site, kind, actor, now_ms, user_id=user_id, confirmed_at_ms=now_ms))
                    added += 1
                elif kind not in kinds and row is not None:
                    session.delete(row)
                    ended += 1
        if added or ended:
            _log(session, site, Action.REPORTS_CHOSEN, actor, now_ms, people=len(wanted), added=added, ended=ended)


def ask_other_address(
    services: Services, site_id: int, email: str, kinds: Collection[MailKind], actor: int, now_ms: int
) -> None:
    """Ask the owner of an address whether they would like mails about a site. Raises `FormError` at `email`.

    What an address had before is replaced, and waits until it agrees once more.
    """
    email = clean_email(email)
    if not kinds:
        raise FormError("email", "Choose what this address is to get.")
    with changing(services.engine, site_id, is_told=False) as (session, site):
        readers = read_readers(session, site)
        if any(person.member.email == email for person in readers.people):
            raise FormError("email", "This is a member's address: choose the mails in the list of members.")
        if len({other.email for other in readers.others} | {email}) > MOST_OTHER_ADDRESSES:
            raise FormError("email", f"{MOST_OTHER_ADDRESSES} addresses are enough: remove one first.")
        for kind in MailKind:
            _forget(session, site, kind, ReportSubscription.email == email)
        rows = [_new(site, kind, actor, now_ms, email=email) for kind in MailKind if kind in kinds]
        session.add_all(rows)
        session.flush()
        inviter = session.get_one(User, actor)
        token = agreement_token(services.secret_key, rows[0])
        services.mailer.queue(
            session,
            email,
            "confirm_reports",
            inviter=inviter.name or inviter.email,
            account_name=session.get_one(Account, site.account_id).name,
            site_name=site.domain,
            kinds=kinds_text(kinds),
            link=f"{services.settings.snippet_base}/reports/agree?token={token}",
            expires_in="a week",
        )
        _log(session, site, Action.REPORT_ADDRESS_ASKED, actor, now_ms, email=email)


def remove_other_address(services: Services, site_id: int, email: str, actor: int, now_ms: int) -> None:
    """End all mails to an address that is no member's. Raises `NotThere`."""
    with changing(services.engine, site_id, is_told=False) as (session, site):
        theirs = (ReportSubscription.site_id == site_id) & (ReportSubscription.email == email)
        ended = session.execute(delete(ReportSubscription).where(theirs).returning(ReportSubscription.kind)).all()
        if not ended:
            raise NotThere("address")
        _log(session, site, Action.REPORT_ADDRESS_REMOVED, actor, now_ms, email=email)


KIND_NAMES = {
    MailKind.DAILY: "daily report",
    MailKind.WEEKLY: "weekly report",
    MailKind.MONTHLY: "monthly report",
    MailKind.ALERTS: "alerts about traffic",
}


def kinds_text(kinds: Collection[MailKind]) -> str:
    """For people: daily report, alerts about traffic."""
    return ", ".join(name for kind, name in KIND_NAMES.items() if kind in kinds)


def _rows(session: Session, site: Site) -> Sequence[ReportSubscription]:
    ours = (ReportSubscription.site_id == site.site_id) & (ReportSubscription.account_id == site.account_id)
    wanted = select(ReportSubscription).where(ours).order_by(ReportSubscription.report_subscription_id)
    return session.execute(wanted).scalars().all()


def _forget(session: Session, site: Site, kind: MailKind, whose: ColumnElement[bool]) -> None:
    """Delete a row that is in the way, such as one of the account that the site was in before."""
    theirs = (ReportSubscription.site_id == site.site_id) & (ReportSubscription.kind == kind)
    session.execute(delete(ReportSubscription).where(theirs, whose))


def _new(
    site: Site,
    kind: MailKind,
    actor: int,
    now_ms: int,
    *,
    user_id: int | None = None,
    email: str | None = None,
    confirmed_at_ms: int | None = None,
) -> ReportSubscription:
    return ReportSubscription(
        site_id=site.site_id,
        account_id=site.account_id,
        kind=kind,
        user_id=user_id,
        email=email,
        confirmed_at_ms=confirmed_at_ms,
        created_by_user_id=actor,
        created_at_ms=now_ms,
    )


def _log(session: Session, site: Site, action: Action, actor: int, now_ms: int, **detail: object) -> None:
    write_entry(session, action, now_ms, actor=actor, account_id=site.account_id, target=site.domain, **detail)
