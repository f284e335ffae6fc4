"""API keys: 256 random bits with a prefix, shown once; scopes say what each may do.

A key is known to every process through the snapshot, by its hash (`server.snapshot`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, NotThere
from server.app_database import bump_version, writing
from server.clock import now_ms
from server.models import ApiKey, Scope

# Shown in front of a key, so that a key found in a file says whose it is.
KEY_PREFIX = "ff_"

# Of a key that is listed: enough to tell one's keys apart, too little to help a guess.
HINT_CHARS = 8

ALL_SCOPES = tuple(Scope)


def key_hash(key: str) -> str:
    """What is stored of a key. A key has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_key() -> str:
    """A key that nobody has."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def list_keys(session: Session, account_id: int) -> Sequence[ApiKey]:
    """An account's keys, the newest first."""
    ours = select(ApiKey).where(ApiKey.account_id == account_id)
    return session.execute(ours.order_by(ApiKey.key_id.desc())).scalars().all()


def add_api_key(
    engine: Engine,
    name: str,
    account_id: int,
    scopes: Iterable[Scope] = ALL_SCOPES,
    *,
    actor: int | None = None,
) -> str:
    """Make an API key and return it: the only time it can be seen. Raises `FormError`."""
    key = new_key()
    name = " ".join(name.split())
    chosen = sorted(set(scopes))
    if not 0 < len(name) <= 100:
        raise FormError("name", "A key needs a name of at most 100 characters.")
    if not chosen:
        raise FormError("scopes", "A key needs at least one scope.")
    with writing(engine) as session:
        _add(session, key, name, account_id, chosen, actor)
    return key


def keep_api_key(engine: Engine, key: str, name: str, account_id: int) -> None:
    """Keep the hash of a given key with every scope; a key that is known already stays as it is."""
    with writing(engine) as session:
        if session.execute(select(ApiKey).where(ApiKey.key_hash == key_hash(key))).scalar() is None:
            _add(session, key, name, account_id, ALL_SCOPES, None)


def revoke_key(engine: Engine, account_id: int, key_id: int, actor: int) -> None:
    """End a key; in force everywhere within a second. Raises `NotThere`."""
    ours = (ApiKey.account_id == account_id) & (ApiKey.key_id == key_id)
    with writing(engine) as session:
        name = session.execute(delete(ApiKey).where(ours).returning(ApiKey.name)).scalar()
        if name is None:
            raise NotThere("key")
        bump_version(session)
        write_entry(session, Action.KEY_REVOKED, now_ms(), actor=actor, account_id=account_id, target=name)


def note_key_uses(engine: Engine, used_at_ms: Mapping[str, int]) -> None:
    """Keep when keys were last used, by their hashes."""
    with writing(engine) as session:
        for hashed, at_ms in used_at_ms.items():
            older = (ApiKey.key_hash == hashed) & (
                (ApiKey.last_used_at_ms.is_(None)) | (ApiKey.last_used_at_ms < at_ms)
            )
            session.execute(update(ApiKey).where(older).values(last_used_at_ms=at_ms))


def _add(session: Session, key: str, name: str, account_id: int, scopes: Sequence[Scope], actor: int | None) -> None:
    session.add(
        ApiKey(
            account_id=account_id,
            name=name,
            key_hash=key_hash(key),
            hint=key[:HINT_CHARS],
            scopes=[str(scope) for scope in scopes],
            created_by_user_id=actor,
            created_at_ms=now_ms(),
        )
    )
    bump_version(session)
    write_entry(session, Action.KEY_CREATED, now_ms(), actor=actor, account_id=account_id, target=name)
