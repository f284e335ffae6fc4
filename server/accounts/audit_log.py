"""The audit log: who did what to what, added in the transaction that does it.

Entries name people and accounts by number and hold no secret, address or mail address beyond what the account's own
people may see.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.models import AuditEntry


class Action(StrEnum):
    """Everything that is written down."""

    OWNER_CREATED = "owner.created"
    USER_CREATED = "user.created"
    LOGIN = "login"
    LOGIN_REFUSED = "login.refused"
    LOGOUT = "logout"
    SESSION_REVOKED = "session.revoked"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 - the name of an action
    PASSWORD_RESET = "password.reset"  # noqa: S105 - the name of an action
    EMAIL_CHANGED = "email.changed"
    TWO_FACTOR_ON = "two_factor.on"
    TWO_FACTOR_OFF = "two_factor.off"
    RECOVERY_CODE_USED = "recovery_code.used"
    RECOVERY_CODES_MADE = "recovery_codes.made"
    ACCOUNT_RENAMED = "account.renamed"
    DELETION_ASKED = "account.deletion_asked"
    DELETION_APPROVED = "account.deletion_approved"
    DELETION_REFUSED = "account.deletion_refused"
    DELETION_TAKEN_BACK = "account.deletion_taken_back"
    ACCOUNT_DESTROYED = "account.destroyed"
    ACCOUNT_TIMEZONE = "account.timezone"
    MEMBER_INVITED = "member.invited"
    INVITATION_REVOKED = "invitation.revoked"
    MEMBER_JOINED = "member.joined"
    MEMBER_ROLE = "member.role"
    MEMBER_REMOVED = "member.removed"
    OWNER_CHANGED = "owner.changed"
    GUEST_INVITED = "guest.invited"
    GUEST_JOINED = "guest.joined"
    GUEST_ROLE = "guest.role"
    GUEST_REMOVED = "guest.removed"
    GUEST_LEFT = "guest.left"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    SITE_CREATED = "site.created"
    SITE_RENAMED = "site.renamed"
    SITE_TIMEZONE = "site.timezone"
    SITE_RULES = "site.rules"
    SITE_PRIVACY = "site.privacy"
    SITE_EMBEDDING = "site.embedding"
    SITE_RESET = "site.reset"
    SITE_DELETED = "site.deleted"
    SITE_RESTORED = "site.restored"
    SITE_DESTROYED = "site.destroyed"
    SITE_OFFERED = "site.offered"
    SITE_OFFER_REVOKED = "site.offer_revoked"
    SITE_MOVED = "site.moved"
    SHARE_LINK_CREATED = "share_link.created"
    SHARE_LINK_REMOVED = "share_link.removed"
    IMPORT_STARTED = "import.started"
    IMPORT_CANCELLED = "import.cancelled"
    IMPORT_REMOVED = "import.removed"
    REPORTS_CHOSEN = "reports.chosen"
    REPORT_ADDRESS_ASKED = "reports.address_asked"
    REPORT_ADDRESS_REMOVED = "reports.address_removed"
    REPORT_AGREED = "reports.agreed"
    REPORT_UNSUBSCRIBED = "reports.unsubscribed"
    REPORT_TEST_SENT = "reports.test"
    TRAFFIC_ALERTS_SET = "traffic_alerts.set"
    PLAN_CHANGED = "plan.changed"
    CHECKOUT_STARTED = "billing.checkout"
    PORTAL_OPENED = "billing.portal"
    SUBSCRIPTION_SWITCHED = "subscription.switched"
    SUBSCRIPTION_CANCELLED = "subscription.cancelled"
    SUBSCRIPTION_KEPT = "subscription.kept"
    STAFF_CHANGED = "staff.changed"
    TEST_MAIL_SENT = "mail.test"
    ACCOUNT_BLOCKED = "account.blocked"
    ACCOUNT_UNBLOCKED = "account.unblocked"
    SITE_BLOCKED = "site.blocked"
    SITE_UNBLOCKED = "site.unblocked"
    ANNOUNCEMENT_WRITTEN = "announcement.written"
    ANNOUNCEMENT_TESTED = "announcement.tested"
    ANNOUNCEMENT_STARTED = "announcement.started"
    ANNOUNCEMENT_STOPPED = "announcement.stopped"
    ANNOUNCEMENT_DELETED = "announcement.deleted"
    STAND_IN_STARTED = "stand_in.started"
    STAND_IN_STOPPED = "stand_in.stopped"
    JOB_STARTED = "job.started"
    TASK_RETRIED = "task.retried"
    TASK_GIVEN_UP = "task.given_up"
    QUARANTINE_REPLAYED = "quarantine.replayed"
    FLAG_CHANGED = "flag.changed"
    FLAG_REMOVED = "flag.removed"


STAND_IN: ContextVar[int | None] = ContextVar("footfall_stand_in", default=None)
"""The member of staff who acts as somebody in this context: every entry names them too."""


def write_entry(
    session: Session,
    action: Action,
    now_ms: int,
    *,
    actor: int | None = None,
    account_id: int | None = None,
    target: str = "",
    **detail: Any,
) -> None:
    """Add an entry to the caller's transaction."""
    session.add(
        AuditEntry(
            at_ms=now_ms,
            actor_user_id=actor,
            stand_in_user_id=STAND_IN.get(),
            account_id=account_id,
            action=action,
            target=target[:300],
            detail=detail,
        )
    )


def account_entries(session: Session, account_id: int, limit_rows: int) -> Sequence[AuditEntry]:
    """The newest entries of an account."""
    ours = select(AuditEntry).where(AuditEntry.account_id == account_id)
    return session.execute(ours.order_by(AuditEntry.entry_id.desc()).limit(limit_rows)).scalars().all()
