"""The end of an account: an owner asks for it, staff or time approves it, a job destroys it.

    asked for ── 48 h, or staff at once ──▶ approved: hidden ── 24 h ──▶ due ── jobs.destruction ──▶ destroyed
        └── refused by staff, taken back by an owner                └── taken back by an owner

Approval is the soft end: the sites stop counting, everybody of the account stops seeing it, keys end to work, logins of
people who belong nowhere else end, and what is paid at Stripe ends. All but the last can be taken back until the
account is destroyed, which is done within `DESTROYED_WITHIN_MS` of the approval.

Each function here is part of the caller's transaction, which holds the account's row. Whoever approves or takes back
tells every process afterwards (`announce`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, NotAllowed, NotThere
from server.accounts.sessions import end_logins
from server.app_database import bump_version
from server.clock import DAY_MS, HOUR_MS, time_text
from server.models import GONE_ACCOUNT_STATES, Account, DeletionRequest, Guest, MemberRole, Membership, Site, User
from server.tasks import TaskFailed, TaskRun, task

if TYPE_CHECKING:
    from server.services import Services

APPROVED_AFTER_MS = 48 * HOUR_MS
"""An owner's own request needs nobody's word: time enough to notice one that a stranger at one's desk made."""
DESTROYED_AFTER_MS = DAY_MS
"""From the approval on. Two days remain for the destruction and its repetitions."""
DESTROYED_WITHIN_MS = 3 * DAY_MS
"""DESIGN, section 8: soft at once, destroyed within 72 h."""

MOST_REASON_CHARS = 500

# Longer lists are for the next run, or for the next page.
MOST_REQUESTS = 200


def open_request(session: Session, account_id: int) -> DeletionRequest | None:
    """An account's request that is neither refused, taken back nor carried out."""
    return session.execute(select(DeletionRequest).where(_OPEN, DeletionRequest.account_id == account_id)).scalar()


def open_requests(session: Session) -> Sequence[DeletionRequest]:
    """All such requests, the oldest first: those that wait for a word, and those that are approved."""
    oldest = select(DeletionRequest).where(_OPEN).order_by(DeletionRequest.request_id).limit(MOST_REQUESTS)
    return session.execute(oldest).scalars().all()


def approved_by_itself_at_ms(request: DeletionRequest) -> int:
    """When nobody needs to approve it any more."""
    return request.requested_at_ms + APPROVED_AFTER_MS


def destroyed_from_ms(request: DeletionRequest) -> int:
    """When the account is destroyed, unless it is taken back before; of a request that waits: if nobody is faster."""
    approved_at_ms = request.approved_at_ms
    return (approved_by_itself_at_ms(request) if approved_at_ms is None else approved_at_ms) + DESTROYED_AFTER_MS


def request_deletion(
    session: Session, services: Services, account_id: int, actor: int | None, reason: str, now_ms: int
) -> DeletionRequest:
    """Ask for the end of an account, and tell its owners. Raises `FormError` when that was asked for already."""
    account = _locked(session, account_id)
    if account.state in GONE_ACCOUNT_STATES or open_request(session, account_id) is not None:
        raise FormError("", "The deletion of this account has been asked for already.")
    reason = " ".join(reason.split())
    if len(reason) > MOST_REASON_CHARS:
        raise FormError("reason", f"At most {MOST_REASON_CHARS} characters.")
    request = DeletionRequest(account_id=account_id, requested_by_user_id=actor, requested_at_ms=now_ms, reason=reason)
    session.add(request)
    session.flush()
    _log(session, Action.DELETION_ASKED, account, actor, now_ms)
    until = time_text(approved_by_itself_at_ms(request))
    _tell_owners(
        session,
        services,
        account,
        "will be deleted",
        f"Somebody who owns it asked for that. Until {until} everything goes on as before; then its sites stop "
        f"counting and nobody sees it any more, and a day later it is destroyed with all its figures.",
    )
    return request


def approve(session: Session, services: Services, request_id: int, staff: int | None, now_ms: int) -> DeletionRequest:
    """The soft end, at once. `staff`: who approves; None when time does. Raises `NotThere` for one that is over."""
    request, account = _locked_request(session, request_id)
    if request.approved_at_ms is not None:
        return request
    request.approved_at_ms, request.approved_by_user_id = now_ms, staff
    account.state_before_deletion, account.state = account.state, "deleting"
    _hide_sites(session, account.account_id, now_ms)
    for user_id in only_members(session, account.account_id):
        end_logins(session, user_id)
    bump_version(session)
    services.tasks.enqueue(
        session,
        "account.end_subscriptions",
        arguments={"account_id": account.account_id},
        account_id=account.account_id,
        unique_key=f"end subscriptions {account.account_id}",
    )
    _log(session, Action.DELETION_APPROVED, account, staff, now_ms)
    _tell_owners(
        session,
        services,
        account,
        "is being deleted",
        f"Its sites count nothing any more, its keys do not work, and what was paid for it has ended. At "
        f"{time_text(destroyed_from_ms(request))} it is destroyed with all its figures. Until then an owner can log in "
        f"and take that back; a plan that was paid has to be bought again.",
    )
    return request


def refuse(
    session: Session, services: Services, request_id: int, staff: int, now_ms: int, reason: str = ""
) -> DeletionRequest:
    """Staff's no, before or after an approval: the account is what it was. Raises `NotThere` for one that is over.

    The owners read the reason.
    """
    request, account = _locked_request(session, request_id)
    request.refused_at_ms = now_ms
    _bring_back(session, request, account)
    detail = {"reason": reason} if reason else {}
    _log(session, Action.DELETION_REFUSED, account, staff, now_ms, **detail)
    why = f"The people who run this server refused it{f': {reason}' if reason else ''}. It counts as before."
    _tell_owners(session, services, account, "is not deleted", why)
    return request


def take_back(session: Session, services: Services, account_id: int, actor: int, now_ms: int) -> None:
    """An owner's change of mind. Raises `NotThere` when there is nothing to take back, or it is too late."""
    account = _locked(session, account_id)
    request = open_request(session, account_id)
    if request is None or account.state == "destroyed":
        raise NotThere("deletion")
    if request.destruction_began_at_ms is not None:
        raise NotAllowed("The destruction has begun: it cannot be taken back any more.")
    request.taken_back_at_ms = now_ms
    _bring_back(session, request, account)
    _log(session, Action.DELETION_TAKEN_BACK, account, actor, now_ms)
    _tell_owners(session, services, account, "is not deleted", "An owner took the deletion back. It counts as before.")


def waiting_too_long(session: Session, now_ms: int) -> Sequence[DeletionRequest]:
    """Requests that time approves now."""
    due = _OPEN & DeletionRequest.approved_at_ms.is_(None)
    due &= DeletionRequest.requested_at_ms <= now_ms - APPROVED_AFTER_MS
    return session.execute(select(DeletionRequest).where(due).limit(MOST_REQUESTS)).scalars().all()


def due_for_destruction(session: Session, now_ms: int) -> Sequence[DeletionRequest]:
    """Approved requests whose day is over, the oldest first."""
    due = _OPEN & (DeletionRequest.approved_at_ms <= now_ms - DESTROYED_AFTER_MS)
    oldest = select(DeletionRequest).where(due).order_by(DeletionRequest.approved_at_ms).limit(MOST_REQUESTS)
    return session.execute(oldest).scalars().all()


def only_members(session: Session, account_id: int) -> list[int]:
    """People who belong to this account and to no other that lives, as members or guests. Never staff: the server
    needs them.
    """
    elsewhere = (
        select(Membership.user_id)
        .join(Account, Account.account_id == Membership.account_id)
        .where(Membership.account_id != account_id, Account.state.not_in(GONE_ACCOUNT_STATES))
    )
    guests_elsewhere = (
        select(Guest.user_id)
        .join(Site, Site.site_id == Guest.site_id)
        .join(Account, Account.account_id == Site.account_id)
        .where(Guest.user_id.is_not(None), Site.account_id != account_id)
        .where(Account.state.not_in(GONE_ACCOUNT_STATES))
    )
    theirs = (
        select(Membership.user_id)
        .join(User, User.user_id == Membership.user_id)
        .where(Membership.account_id == account_id, User.is_staff.is_(False), Membership.user_id.not_in(elsewhere))
        .where(Membership.user_id.not_in(guests_elsewhere))
    )
    return list(session.execute(theirs.order_by(Membership.user_id)).scalars())


def owners_of(session: Session, account_id: int) -> Sequence[User]:
    """The owners of an account."""
    theirs = (Membership.account_id == account_id) & (Membership.role == MemberRole.OWNER)
    return (
        session.execute(
            select(User).join(Membership, Membership.user_id == User.user_id).where(theirs).order_by(User.user_id)
        )
        .scalars()
        .all()
    )


# Half a day of an outage of Stripe's; the destruction itself asks once more.
@task("account.end_subscriptions", attempts=40, first_delay_s=10, longest_delay_s=1800, deadline_s=120)
def end_subscriptions_task(run: TaskRun, *, account_id: int) -> None:
    """End what an account that is being deleted pays for, unless that was taken back."""
    from server.app_database import reading
    from server.billing.checkout import end_subscriptions
    from server.billing.errors import StripeRefused
    from server.billing.subscriptions import find_subscription, refresh

    services = run.services
    with reading(services.engine) as session:
        account = session.get(Account, account_id)
        row = find_subscription(session, account_id)
    if account is None or account.state not in GONE_ACCOUNT_STATES or row is None:
        return
    try:
        if end_subscriptions(services, account_id):
            refresh(services, row.customer_id, services.tasks.now_ms())
    except StripeRefused as error:
        raise TaskFailed(f"Stripe refused: {error.code or 'no code'}") from None


_OPEN = (
    DeletionRequest.refused_at_ms.is_(None)
    & DeletionRequest.taken_back_at_ms.is_(None)
    & DeletionRequest.destroyed_at_ms.is_(None)
)


def _locked(session: Session, account_id: int) -> Account:
    account = session.get(Account, account_id, with_for_update=True)
    if account is None:
        raise NotThere("account")
    return account


def _locked_request(session: Session, request_id: int) -> tuple[DeletionRequest, Account]:
    """An open request and its account. Raises `NotThere`, and `NotAllowed` once the destruction has begun."""
    found = session.get(DeletionRequest, request_id)
    if found is None:
        raise NotThere("deletion")
    account = _locked(session, found.account_id)
    session.refresh(found)
    if found.refused_at_ms is not None or found.taken_back_at_ms is not None or found.destroyed_at_ms is not None:
        raise NotThere("deletion")
    if found.destruction_began_at_ms is not None:
        raise NotAllowed("The destruction has begun: it cannot be stopped any more.")
    return found, account


def _hide_sites(session: Session, account_id: int, now_ms: int) -> None:
    """Sites whose own deletion was asked for before keep their own time."""
    theirs = (Site.account_id == account_id) & Site.state.not_in(("deleting", "destroyed"))
    for site in session.execute(select(Site).where(theirs).with_for_update()).scalars():
        site.state_before_deletion, site.state, site.deleted_at_ms = site.state, "deleting", now_ms


def _bring_back(session: Session, request: DeletionRequest, account: Account) -> None:
    if account.state != "deleting":
        return
    account.state, account.state_before_deletion = account.state_before_deletion, ""
    hidden = (Site.account_id == account.account_id) & (Site.state == "deleting")
    hidden &= Site.deleted_at_ms == request.approved_at_ms
    for site in session.execute(select(Site).where(hidden).with_for_update()).scalars():
        site.state, site.state_before_deletion, site.deleted_at_ms = site.state_before_deletion, "", 0
    bump_version(session)


def _log(session: Session, action: Action, account: Account, actor: int | None, now_ms: int, **detail: str) -> None:
    write_entry(session, action, now_ms, actor=actor, account_id=account.account_id, target=account.name, **detail)


def _tell_owners(session: Session, services: Services, account: Account, what: str, sentence: str) -> None:
    link = f"{services.settings.snippet_base}/accounts/{account.account_id}/deletion"
    for owner in owners_of(session, account.account_id):
        services.mailer.queue(
            session,
            owner.email,
            "account_deletion",
            name=owner.name,
            account_name=account.name,
            what=what,
            sentence=sentence,
            deletion_link=link,
        )
