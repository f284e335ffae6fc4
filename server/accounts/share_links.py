"""Share links: a site's figures for whoever has the address, and knows the password if there is one.

The address holds 128 random bits. Knowing the password is shown by a cookie: an HMAC over the link and its password's
hash, so that a new password or a deleted link ends it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, NotThere
from server.accounts.passwords import hash_password
from server.accounts.users import clean_name
from server.clock import now_ms
from server.models import ShareLink, Site
from server.sites import GONE_STATES

SLUG_BYTES = 16


def list_share_links(session: Session, site_id: int) -> Sequence[ShareLink]:
    """A site's links by name."""
    theirs = select(ShareLink).where(ShareLink.site_id == site_id)
    return session.execute(theirs.order_by(ShareLink.name, ShareLink.share_link_id)).scalars().all()


def add_share_link(session: Session, site: Site, name: str, password: str, actor: int | None) -> ShareLink:
    """Make a link; without a password when that is empty. Raises `FormError`. Hashes, so it takes a moment."""
    name = clean_name(name, needed=True)
    if password and len(password) < 6:
        raise FormError("password", "A password needs at least 6 characters; leave it empty for none.")
    link = ShareLink(
        site_id=site.site_id,
        slug=secrets.token_urlsafe(SLUG_BYTES),
        name=name,
        password_hash=hash_password(password) if password else None,
        created_by_user_id=actor,
        created_at_ms=now_ms(),
    )
    session.add(link)
    write_entry(session, Action.SHARE_LINK_CREATED, now_ms(), actor=actor, account_id=site.account_id, target=name)
    return link


def remove_share_link(session: Session, site: Site, share_link_id: int, actor: int) -> None:
    """End a link at once. Raises `NotThere`."""
    theirs = (ShareLink.site_id == site.site_id) & (ShareLink.share_link_id == share_link_id)
    name = session.execute(delete(ShareLink).where(theirs).returning(ShareLink.name)).scalar()
    if name is None:
        raise NotThere("share link")
    write_entry(session, Action.SHARE_LINK_REMOVED, now_ms(), actor=actor, account_id=site.account_id, target=name)


def find_share_link(session: Session, slug: str) -> tuple[ShareLink, Site] | None:
    """The link of an address, and its site."""
    found = session.execute(
        select(ShareLink, Site)
        .join(Site, Site.site_id == ShareLink.site_id)
        .where((ShareLink.slug == slug) & Site.state.not_in(GONE_STATES))
    ).one_or_none()
    return None if found is None else (found[0], found[1])


def share_cookie(secret_key: str, link: ShareLink) -> str:
    """What the browser of somebody who knew the password keeps."""
    about = f"share {link.share_link_id} {link.slug} {link.password_hash}"
    return hmac.digest(secret_key.encode(), about.encode(), "sha256").hex()


def is_open(secret_key: str, link: ShareLink, cookie: str | None) -> bool:
    """Whether the link needs no password, or this cookie shows that it was known."""
    return link.password_hash is None or hmac.compare_digest(share_cookie(secret_key, link), cookie or "")
