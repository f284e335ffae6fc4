"""Sites as the command line and the application make them.

A change is seen by every process within a second: it counts up the snapshot's version in the same transaction.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError

from server.accounts.audit_log import Action, write_entry
from server.app_database import bump_version, reading, writing
from server.billing.plan_changes import plan_of
from server.clock import now_ms
from server.models import Site
from server.site_zones import zone_names

# RFC 1035 labels, and `localhost`: what the tracker sends as `domain`. A path may follow, as Plausible allows.
_DOMAIN = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*(/[a-z0-9/_.-]*)?"
)

FIRST_ACCOUNT_ID = 1

# Where a site's pages are: `/sites/<domain>/settings`. No path of a domain may contain them.
PAGE_NAMES = frozenset(("settings", "install", "imports", "count"))

# States in which a site's figures are gone for its readers; in the first an owner may still take it back.
GONE_STATES = frozenset(("deleting", "destroyed"))


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
    domain = checked_domain(domain)
    site = Site(
        public_id=str(uuid.uuid4()),
        domain=domain,
        account_id=account_id,
        timezone=checked_timezone(timezone),
        created_at_ms=now_ms(),
    )
    try:
        with writing(engine) as session:
            site.retention_class = plan_of(session, account_id).retention_class
            session.add(site)
            bump_version(session)
            write_entry(session, Action.SITE_CREATED, now_ms(), actor=actor, account_id=account_id, target=domain)
    except IntegrityError:
        raise SiteError("domain", f"the site {domain} exists already") from None
    return site


def checked_domain(domain: str) -> str:
    """The domain as it is kept: in lower case, without `www.`. Raises `SiteError`."""
    domain = domain.strip().lower().removeprefix("www.")
    if not _DOMAIN.fullmatch(domain):
        raise SiteError("domain", f"{domain!r} is not a domain, such as example.com")
    reserved = PAGE_NAMES.intersection(domain.split("/")[1:])
    if reserved:
        raise SiteError("domain", f"a domain's path may not contain {min(reserved)!r}")
    return domain


def checked_timezone(timezone: str) -> str:
    """The name of a time zone. Raises `SiteError`."""
    if timezone not in zone_names():
        raise SiteError("timezone", f"{timezone!r} is not a time zone, such as Europe/Berlin")
    return timezone


def list_sites(engine: Engine) -> list[Site]:
    """All sites that are not destroyed, by domain."""
    with reading(engine) as session:
        return list(session.execute(select(Site).where(Site.state != "destroyed").order_by(Site.domain)).scalars())


def sites_of_accounts(engine: Engine, account_ids: Collection[int]) -> list[Site]:
    """The sites of these accounts, by domain, without those that are being deleted."""
    theirs = Site.account_id.in_(account_ids) & Site.state.not_in(GONE_STATES)
    with reading(engine) as session:
        return list(session.execute(select(Site).where(theirs).order_by(Site.domain)).scalars())


def deleted_sites_of_accounts(engine: Engine, account_ids: Collection[int]) -> list[Site]:
    """The sites of these accounts that are being deleted, which an owner may still take back."""
    theirs = Site.account_id.in_(account_ids) & (Site.state == "deleting")
    with reading(engine) as session:
        return list(session.execute(select(Site).where(theirs).order_by(Site.domain)).scalars())


def destroyed_sites(engine: Engine) -> frozenset[int]:
    """The numbers of sites of which nothing may be stored any more."""
    with reading(engine) as session:
        return frozenset(session.execute(select(Site.site_id).where(Site.state == "destroyed")).scalars())


def find_site(engine: Engine, domain: str) -> Site | None:
    """The site of this domain."""
    with reading(engine) as session:
        return session.execute(select(Site).where(Site.domain == domain.strip().lower())).scalar()
