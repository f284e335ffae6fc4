"""Sites and API keys as the command line and the application make them.

A change is seen by every process within a second: it counts up the snapshot's version in the same transaction.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
import uuid
from zoneinfo import available_timezones

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError

from server.app_database import bump_version, reading, writing
from server.models import ApiKey, Site

# RFC 1035 labels, and `localhost`: what the tracker sends as `domain`. A path may follow, as Plausible allows.
_DOMAIN = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*(/[a-z0-9/_.-]*)?"
)

# Shown in front of a key, so that a key found in a file says whose it is.
KEY_PREFIX = "ff_"

FIRST_ACCOUNT_ID = 1


class SiteError(ValueError):
    """A site cannot be made as asked; `str()` says why. Nothing was changed."""


def add_site(engine: Engine, domain: str, timezone: str = "UTC", account_id: int = FIRST_ACCOUNT_ID) -> Site:
    """Make a site. Raises `SiteError` for a wrong domain or time zone, or a domain that is taken."""
    domain = domain.strip().lower().removeprefix("www.")
    if not _DOMAIN.fullmatch(domain):
        raise SiteError(f"{domain!r} is not a domain, such as example.com")
    if timezone not in available_timezones():
        raise SiteError(f"{timezone!r} is not a time zone, such as Europe/Berlin")
    site = Site(
        public_id=str(uuid.uuid4()),
        domain=domain,
        account_id=account_id,
        timezone=timezone,
        created_at_ms=time.time_ns() // 1_000_000,
    )
    try:
        with writing(engine) as session:
            session.add(site)
            bump_version(session)
    except IntegrityError:
        raise SiteError(f"the site {domain} exists already") from None
    return site


def list_sites(engine: Engine) -> list[Site]:
    """All sites that are not destroyed, by domain."""
    with reading(engine) as session:
        return list(session.execute(select(Site).where(Site.state != "destroyed").order_by(Site.domain)).scalars())


def find_site(engine: Engine, domain: str) -> Site | None:
    """The site of this domain."""
    with reading(engine) as session:
        return session.execute(select(Site).where(Site.domain == domain.strip().lower())).scalar()


def add_api_key(engine: Engine, name: str, account_id: int = FIRST_ACCOUNT_ID) -> str:
    """Make an API key and return it: the only time it can be seen."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    store_api_key(engine, key, name, account_id)
    return key


def store_api_key(engine: Engine, key: str, name: str, account_id: int = FIRST_ACCOUNT_ID) -> None:
    """Keep the hash of a key; a key that is known already stays as it is."""
    hashed = key_hash(key)
    with writing(engine) as session:
        if session.execute(select(ApiKey).where(ApiKey.key_hash == hashed)).scalar() is None:
            now_ms = time.time_ns() // 1_000_000
            session.add(ApiKey(account_id=account_id, name=name, key_hash=hashed, created_at_ms=now_ms))
            bump_version(session)


def key_hash(key: str) -> str:
    """What is stored of a key. A key has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(key.encode()).hexdigest()
