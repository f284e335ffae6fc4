"""Sites as the command line and the application make them.

A change is seen by every process within a second: it counts up the snapshot's version in the same transaction.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection
from zoneinfo import available_timezones

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError

from server.accounts.audit_log import Action, write_entry
from server.app_database import bump_version, reading, writing
from server.clock import now_ms
from server.models import Site

# RFC 1035 labels, and `localhost`: what the tracker sends as `domain`. A path may follow, as Plausible allows.
_DOMAIN = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*(/[a-z0-9/_.-]*)?"
)

FIRST_ACCOUNT_ID = 1


class SiteError(ValueError):
    """A site cannot be made as asked; `str()` says why, `field` which of the two is wrong. Nothing was changed."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def add_site(
    engine: Engine,
    domain: str,
    timezone: str = "UTC",
    account_id: int = FIRST_ACCOUNT_ID,
    *,
    actor: int | None = None,
) -> Site:
    """Make a site of this account. Raises `SiteError` for a wrong domain or time zone, or a domain that is taken."""
    domain = domain.strip().lower().removeprefix("www.")
    if not _DOMAIN.fullmatch(domain):
        raise SiteError("domain", f"{domain!r} is not a domain, such as example.com")
    if timezone not in available_timezones():
        raise SiteError("timezone", f"{timezone!r} is not a time zone, such as Europe/Berlin")
    site = Site(
        public_id=str(uuid.uuid4()),
        domain=domain,
        account_id=account_id,
        timezone=timezone,
        created_at_ms=now_ms(),
    )
    try:
        with writing(engine) as session:
            session.add(site)
            bump_version(session)
            write_entry(session, Action.SITE_CREATED, now_ms(), actor=actor, account_id=account_id, target=domain)
    except IntegrityError:
        raise SiteError("domain", f"the site {domain} exists already") from None
    return site


def list_sites(engine: Engine) -> list[Site]:
    """All sites that are not destroyed, by domain."""
    with reading(engine) as session:
        return list(session.execute(select(Site).where(Site.state != "destroyed").order_by(Site.domain)).scalars())


def sites_of_accounts(engine: Engine, account_ids: Collection[int]) -> list[Site]:
    """The sites of these accounts that are not destroyed, by domain."""
    theirs = Site.account_id.in_(account_ids) & (Site.state != "destroyed")
    with reading(engine) as session:
        return list(session.execute(select(Site).where(theirs).order_by(Site.domain)).scalars())


def find_site(engine: Engine, domain: str) -> Site | None:
    """The site of this domain."""
    with reading(engine) as session:
        return session.execute(select(Site).where(Site.domain == domain.strip().lower())).scalar()
