"""The links in reports: to end a subscription (RFC 8058: one click, without a login), and to agree to one.

A link names its row and carries a MAC of it, so nothing of it is stored, and every mail of a subscription has the same
link. It works for that row alone: numbers are never given out twice, and the row's time of birth is signed too.
"""

from __future__ import annotations

import hmac
import re

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import LinkInvalid
from server.clock import DAY_MS
from server.models import ReportSubscription, Site

AGREEMENT_LIFE_MS = 7 * DAY_MS
"""How long somebody may take to agree."""

_MAC_HEX_DIGITS = 40
_TOKEN = re.compile(rf"([0-9]{{1,9}})-([0-9a-f]{{{_MAC_HEX_DIGITS}}})")


def unsubscribe_token(secret_key: str, row: ReportSubscription) -> str:
    """What ends a subscription."""
    return _token(secret_key, "unsubscribe", row)


def agreement_token(secret_key: str, row: ReportSubscription) -> str:
    """What agrees to one."""
    return _token(secret_key, "agree", row)


def unsubscribe_headers(link: str) -> dict[str, str]:
    """The headers by which mail programs show a button of their own."""
    return {"List-Unsubscribe": f"<{link}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def look_at_subscription(
    session: Session, secret_key: str, token: str, *, locks: bool = False
) -> tuple[ReportSubscription, Site]:
    """What a link would end, and its site. Raises `LinkInvalid`, also when it was ended already."""
    return _found(session, secret_key, "unsubscribe", token, locks=locks)


def unsubscribe(session: Session, secret_key: str, token: str, now_ms: int) -> str:
    """End the subscription of a link; its site's domain. Raises `LinkInvalid`, also when it was ended already."""
    row, site = look_at_subscription(session, secret_key, token, locks=True)
    session.delete(row)
    write_entry(
        session,
        Action.REPORT_UNSUBSCRIBED,
        now_ms,
        actor=row.user_id,
        account_id=site.account_id,
        target=site.domain,
        kind=row.kind,
    )
    return site.domain


def look_at_agreement(session: Session, secret_key: str, token: str, now_ms: int) -> tuple[ReportSubscription, Site]:
    """What a link would agree to. Raises `LinkInvalid`."""
    row, site = _found(session, secret_key, "agree", token)
    if row.created_at_ms + AGREEMENT_LIFE_MS <= now_ms or row.account_id != site.account_id:
        raise LinkInvalid
    return row, site


def agree(session: Session, secret_key: str, token: str, now_ms: int) -> str:
    """Begin what was offered to the link's address for this site; the domain. Raises `LinkInvalid`."""
    row, site = look_at_agreement(session, secret_key, token, now_ms)
    theirs = (ReportSubscription.site_id == row.site_id) & (ReportSubscription.email == row.email)
    waiting = theirs & ReportSubscription.confirmed_at_ms.is_(None)
    session.execute(update(ReportSubscription).where(waiting).values(confirmed_at_ms=now_ms))
    write_entry(session, Action.REPORT_AGREED, now_ms, account_id=site.account_id, target=site.domain)
    return site.domain


def _found(
    session: Session, secret_key: str, purpose: str, token: str, *, locks: bool = False
) -> tuple[ReportSubscription, Site]:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise LinkInvalid
    wanted = select(ReportSubscription).where(ReportSubscription.report_subscription_id == int(match[1]))
    row = session.execute(wanted.with_for_update() if locks else wanted).scalar()
    if row is None or not hmac.compare_digest(_token(secret_key, purpose, row), token):
        raise LinkInvalid
    return row, session.get_one(Site, row.site_id)


def _token(secret_key: str, purpose: str, row: ReportSubscription) -> str:
    about = f"footfall report {purpose} {row.report_subscription_id} {row.created_at_ms}"
    digest = hmac.digest(secret_key.encode(), about.encode(), "sha256").hex()[:_MAC_HEX_DIGITS]
    return f"{row.report_subscription_id}-{digest}"
