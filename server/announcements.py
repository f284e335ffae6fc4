"""Announcements: one mail to everybody of a group, written by staff, sent once.

```
draft ──start──▶ sending ──▶ sent          a draft may be changed, tested and deleted
                 │     ▲
                 └stop─┴─go on             what is queued already leaves; nobody gets it twice
```

The task queues mails in chunks. A chunk is one transaction: the mails, their tasks, and how far the row has come, so
that a worker that is killed, or two that run at once, send nothing twice and leave nobody out. Who joins the group
while it is being sent, behind the number that was reached, gets it too.

Announcements are about the service itself: nobody can unsubscribe from them, and each says why its receiver gets it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, NotThere
from server.app_database import writing
from server.billing.plans import PLANS
from server.mail.announcement_text import LONGEST_TEXT_CHARS, AnnouncementText, parse_text
from server.mail.rendering import Rendered, render
from server.models import GONE_ACCOUNT_STATES, Account, Announcement, BillingProfile, MemberRole, Membership, User
from server.tasks import TaskRun, task

if TYPE_CHECKING:
    from server.services import Services

KIND = "announcement.send"

LONGEST_SUBJECT_CHARS = 150

# Mails of one transaction: others wait for it only briefly.
CHUNK_MAILS = 50

# A hundred thousand mails at some milliseconds each.
DEADLINE_S = 3600.0


@dataclass(frozen=True)
class Audience:
    """A group of people. `why`: what each of them is told about why they get the mail."""

    code: str
    label: str
    why: str


AUDIENCES: tuple[Audience, ...] = (
    Audience("owners", "All owners", "You get this mail because you own an account here."),
    *(
        Audience(
            f"owners:{plan.code}",
            f"Owners of accounts with the plan {plan.display_name}",
            f"You get this mail because you own an account with the plan {plan.display_name} here.",
        )
        for plan in PLANS
    ),
    Audience("members", "All members", "You get this mail because you belong to an account here."),
    Audience("staff", "Staff", "You get this mail because you help to run this server."),
)

AUDIENCES_BY_CODE = {audience.code: audience for audience in AUDIENCES}


def receivers_of(audience: str) -> Select[User]:
    """The active people of a group, each once, without an order."""
    people = select(User).where(User.state == "active")
    if audience == "staff":
        return people.where(User.is_staff)
    places = (
        select(Membership.user_id)
        .join(Account, Account.account_id == Membership.account_id)
        .where(Account.state.not_in(GONE_ACCOUNT_STATES))
    )
    group, _, plan_code = audience.partition(":")
    if group == "owners":
        places = places.where(Membership.role == MemberRole.OWNER)
    if plan_code:
        profiles = BillingProfile.account_id == Membership.account_id
        places = places.join(BillingProfile, profiles).where(BillingProfile.plan_code == plan_code)
    return people.where(User.user_id.in_(places))


def count_receivers(session: Session, audience: str) -> int:
    """How many people would get it now."""
    return session.execute(select(func.count()).select_from(receivers_of(audience).subquery())).scalar_one()


def rendered(services: Services, announcement: Announcement, now_ms: int) -> Rendered:
    """The mail as it will be, text and HTML."""
    return render("announcement", _context(announcement), services.settings.snippet_base, now_ms)


def _context(announcement: Announcement) -> dict[str, Any]:
    why = f"{AUDIENCES_BY_CODE[announcement.audience].why} It is about the service itself, so all who do get it."
    return {"heading": announcement.subject, "announcement": parse_text(announcement.text), "why": why}


# -- writing one -----------------------------------------------------------------------------------------------------


def write_draft(
    session: Session, announcement_id: int | None, subject: str, text: str, audience: str, actor: int, now_ms: int
) -> int:
    """Make a draft, or change one; its number. Raises `FormError`, `NotThere` for what is no draft any more."""
    subject = " ".join("".join(sign if sign.isprintable() else " " for sign in subject).split())
    if not 5 <= len(subject) <= LONGEST_SUBJECT_CHARS:
        raise FormError("subject", f"A subject has 5 to {LONGEST_SUBJECT_CHARS} characters.")
    if len(text) > LONGEST_TEXT_CHARS:
        raise FormError("text", f"The text may have {LONGEST_TEXT_CHARS:,} characters.")
    parsed: AnnouncementText = parse_text(text)
    if not parsed.source:
        raise FormError("text", "Nothing is written yet.")
    if audience not in AUDIENCES_BY_CODE:
        raise FormError("audience", "Choose one of the groups.")
    if announcement_id is None:
        row = Announcement(created_by_user_id=actor, created_at_ms=now_ms, subject=subject, text="", audience=audience)
        session.add(row)
    else:
        row = _draft(session, announcement_id)
    row.subject, row.text, row.audience = subject, parsed.source, audience
    session.flush()
    _log(session, Action.ANNOUNCEMENT_WRITTEN, row, actor, now_ms)
    return row.announcement_id


def delete_draft(session: Session, announcement_id: int, actor: int, now_ms: int) -> None:
    """Throw a draft away. Raises `NotThere`."""
    row = _draft(session, announcement_id)
    _log(session, Action.ANNOUNCEMENT_DELETED, row, actor, now_ms)
    session.delete(row)


def send_test_mail(session: Session, services: Services, announcement_id: int, actor: int, now_ms: int) -> None:
    """Queue the mail to the one who asks, as everybody would get it. Raises `NotThere`."""
    row = session.get(Announcement, announcement_id)
    if row is None:
        raise NotThere("announcement")
    services.mailer.queue(session, session.get_one(User, actor).email, "announcement", **_context(row))
    _log(session, Action.ANNOUNCEMENT_TESTED, row, actor, now_ms)


# -- sending it ------------------------------------------------------------------------------------------------------


def start_sending(session: Session, services: Services, announcement_id: int, actor: int, now_ms: int) -> None:
    """Begin, or go on after a stop. Raises `NotThere` when it is under way or done already."""
    row = session.get(Announcement, announcement_id, with_for_update=True)
    if row is None or row.state not in ("draft", "stopped"):
        raise NotThere("announcement")
    row.state, row.receivers = "sending", count_receivers(session, row.audience)
    row.started_at_ms = row.started_at_ms or now_ms
    _log(session, Action.ANNOUNCEMENT_STARTED, row, actor, now_ms, receivers=row.receivers)
    _queue(session, services, announcement_id)


def stop_sending(session: Session, announcement_id: int, actor: int, now_ms: int) -> None:
    """Queue no more mails; those that are queued leave. Raises `NotThere` when nothing is under way."""
    row = session.get(Announcement, announcement_id, with_for_update=True)
    if row is None or row.state != "sending":
        raise NotThere("announcement")
    row.state = "stopped"
    _log(session, Action.ANNOUNCEMENT_STOPPED, row, actor, now_ms, queued_mails=row.queued_mails)


def _queue(session: Session, services: Services, announcement_id: int) -> None:
    arguments = {"announcement_id": announcement_id}
    services.tasks.enqueue(session, KIND, arguments=arguments, unique_key=f"{KIND} {announcement_id}")


@task(KIND, attempts=20, first_delay_s=10, deadline_s=DEADLINE_S)
def send(run: TaskRun, *, announcement_id: int) -> None:
    """Queue the mails, chunk by chunk, from where the row says. Safe to repeat, and when two run at once."""
    while True:
        done, total, is_over = send_chunk(run.services, announcement_id, run.services.tasks.now_ms())
        run.progress(done, total, "Queueing mails")
        if is_over:
            return


def send_chunk(services: Services, announcement_id: int, now_ms: int) -> tuple[int, int, bool]:
    """Queue the next mails in one transaction: how many there are now, of how many, and whether nothing is left."""
    with writing(services.engine) as session:
        row = session.get(Announcement, announcement_id, with_for_update=True)
        if row is None or row.state != "sending":
            return 0, 0, True
        context = _context(row)
        following = receivers_of(row.audience).where(User.user_id > row.last_user_id).order_by(User.user_id)
        people = session.execute(following.limit(CHUNK_MAILS)).scalars().all()
        for person in people:
            services.mailer.queue(session, person.email, "announcement", **context)
            row.last_user_id = person.user_id
        row.queued_mails += len(people)
        row.receivers = max(row.receivers, row.queued_mails)
        if len(people) < CHUNK_MAILS:
            row.state, row.ended_at_ms = "sent", now_ms
        return row.queued_mails, row.receivers, row.state == "sent"


def _draft(session: Session, announcement_id: int) -> Announcement:
    row = session.get(Announcement, announcement_id, with_for_update=True)
    if row is None or row.state != "draft":
        raise NotThere("announcement")
    return row


def _log(session: Session, action: Action, row: Announcement, actor: int, now_ms: int, **detail: Any) -> None:
    target = f"announcement {row.announcement_id}: {row.subject}"
    write_entry(session, action, now_ms, actor=actor, target=target, audience=row.audience, **detail)
