"""Changes of one site by its people: name, time zone, what is counted and how, where it may be shown.

Each change is one transaction: it locks the site's row, writes the audit log, and counts up the snapshot's version if
the ingest core works by it, so that every process knows within a second. Entries of the log name no network: one may
be a person's address.

Whoever calls has checked the role. What a person typed is refused as `FormError`, at the field's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from urllib.parse import urlsplit

from sqlalchemy import Engine, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, NotThere
from server.app_database import bump_version, writing
from server.clock import DAY_MS, now_ms
from server.models import ReportSubscription, Site
from server.site_zones import change_zone
from server.sites import GONE_STATES, SiteError, checked_domain, checked_timezone

# One visitor in so many is kept. The weight of a row has 16 bits; beyond a thousand a site's small pages vanish.
MOST_SAMPLE_EVERY = 1000

MOST_EMBED_ORIGINS = 20

# As long as Plausible gives, to change the snippet on all pages. Whoever adds a site of that name gets its hits before.
FORMER_DOMAIN_LIFE_MS = 3 * DAY_MS

# RFC 6454 as far as `frame-ancestors` takes it; a star stands for subdomains (CSP 3, host-source).
_ORIGIN_HOST = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@contextmanager
def changing(engine: Engine, site_id: int, *, is_told: bool = True) -> Iterator[tuple[Session, Site]]:
    """A transaction that changes this site; `is_told`: the ingest core works by what changes.

    Raises `NotThere` for a site that is being deleted, or gone.
    """
    with writing(engine) as session:
        site = session.get(Site, site_id, with_for_update=True)
        if site is None or site.state in GONE_STATES:
            raise NotThere("site")
        yield session, site
        if is_told:
            bump_version(session)


def rename_site(engine: Engine, site_id: int, domain: str, actor: int | None) -> str:
    """Give a site another domain, at once; hits that name the old one are taken for some days more. The domain as kept.

    Raises `FormError` at `domain`.
    """
    try:
        domain = checked_domain(domain)
        with changing(engine, site_id) as (session, site):
            if domain == site.domain:
                return domain
            earlier, site.domain = site.domain, domain
            site.former_domain, site.former_domain_until_ms = earlier, now_ms() + FORMER_DOMAIN_LIFE_MS
            session.flush()
            log(session, site, Action.SITE_RENAMED, actor, earlier=earlier)
    except SiteError as refused:
        raise FormError("domain", str(refused)) from None
    except IntegrityError:
        raise FormError("domain", f"the site {domain} exists already") from None
    return domain


def change_timezone(engine: Engine, site_id: int, timezone: str, actor: int | None) -> date | None:
    """Let another zone decide when days begin, from the date that is returned; None: it holds already.

    Raises `FormError` at `timezone`.
    """
    try:
        timezone = checked_timezone(timezone.strip())
    except SiteError as refused:
        raise FormError("timezone", str(refused)) from None
    with changing(engine, site_id) as (session, site):
        first = change_zone(session, site, timezone, now_ms())
        # The job of reports looks again when the next one falls due.
        theirs = ReportSubscription.site_id == site_id
        session.execute(update(ReportSubscription).where(theirs).values(next_due_at_ms=0))
        log(session, site, Action.SITE_TIMEZONE, actor, timezone=timezone, first_day=str(first or ""))
    return first


def change_privacy(engine: Engine, site_id: int, respects_gpc: bool, actor: int | None) -> None:
    """Whether the snippet tells the tracker to heed Global Privacy Control."""
    with changing(engine, site_id, is_told=False) as (session, site):
        site.respects_gpc = respects_gpc
        log(session, site, Action.SITE_PRIVACY, actor, respects_gpc=respects_gpc)


def change_sampling(engine: Engine, site_id: int, sample_every: str, actor: int | None) -> None:
    """Keep one visitor in so many. Raises `FormError` at `sample_every`."""
    if not sample_every.isdecimal() or not 1 <= int(sample_every) <= MOST_SAMPLE_EVERY:
        raise FormError("sample_every", f"A whole number from 1 to {MOST_SAMPLE_EVERY}; 1 keeps everybody.")
    with changing(engine, site_id) as (session, site):
        site.sample_every = int(sample_every)
        log(session, site, Action.SITE_RULES, actor, sample_every=site.sample_every)


def change_embedding(engine: Engine, site_id: int, origins: str, actor: int | None) -> None:
    """Which pages may show a shared dashboard in a frame: one origin a line. Raises `FormError` at `origins`."""
    kept = parse_origins(origins)
    with changing(engine, site_id, is_told=False) as (session, site):
        site.embed_origins = kept
        log(session, site, Action.SITE_EMBEDDING, actor, origins=len(kept))


def parse_origins(text: str) -> list[str]:
    """Origins as `frame-ancestors` takes them, each once. Raises `FormError` at `origins`.

    Nothing passes that could end the directive or begin another one: this text becomes part of a header.
    """
    found: dict[str, None] = {}
    for entry in text.split():
        origin = entry.lower().rstrip("/")
        try:
            parts = urlsplit(origin)
            port = "" if parts.port is None else f":{parts.port}"
            whole = f"{parts.scheme}://{parts.hostname}{port}"
        except ValueError:
            whole = ""
        is_origin = whole == origin and parts.scheme in ("http", "https")
        if not is_origin or not _ORIGIN_HOST.fullmatch(parts.hostname or ""):
            raise FormError("origins", f"{entry[:100]!r} is not an origin, such as https://www.example.com.")
        found[origin] = None
    if len(found) > MOST_EMBED_ORIGINS:
        raise FormError("origins", f"At most {MOST_EMBED_ORIGINS} origins.")
    return list(found)


def log(session: Session, site: Site, action: Action, actor: int | None, **detail: object) -> None:
    """Write down who changed this site and how; part of the caller's transaction."""
    write_entry(session, action, now_ms(), actor=actor, account_id=site.account_id, target=site.domain, **detail)
