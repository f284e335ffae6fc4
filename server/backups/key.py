"""The key of backups: 32 random bytes, of which each object's own key is derived. Nothing else can open a backup."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from server.backups.errors import KeyMissing
from server.config import Settings
from server.config.backup import BACKUP_KEY_BYTES, decoded_key

KEY_ID_BYTES = 8


class BackupKey:
    """Derives keys; never shows itself."""

    def __init__(self, master: bytes) -> None:
        self._master = master
        self.key_id = self._derived(KEY_ID_BYTES, b"footfall backup key id", b"")
        """Tells a wrong key from damage; says nothing about the key."""

    def derive(self, salt: bytes, info: bytes) -> bytes:
        """32 bytes that depend on all of these."""
        return self._derived(32, b"footfall backup object\0" + info, salt)

    def _derived(self, length: int, info: bytes, salt: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=length, salt=salt or None, info=info).derive(self._master)

    def __repr__(self) -> str:
        return "BackupKey(***)"


def new_key() -> str:
    """A new key as the setting takes it."""
    return base64.b64encode(secrets.token_bytes(BACKUP_KEY_BYTES)).decode()


def load_key(settings: Settings) -> BackupKey:
    """The key that the settings name. Raises `KeyMissing`."""
    if settings.backup_key:
        return BackupKey(decoded_key(settings.backup_key))
    if not settings.backup_key_file:
        raise KeyMissing(
            "there is no key for backups: `footfall backup key` makes one; set FOOTFALL_BACKUP_KEY or "
            "FOOTFALL_BACKUP_KEY_FILE, and keep a copy away from this machine"
        )
    try:
        return BackupKey(decoded_key(Path(settings.backup_key_file).read_text(encoding="ascii")))
    except OSError as error:
        reason = error.strerror
    except ValueError:
        reason = "it does not hold 32 bytes in base64"
    raise KeyMissing(f"the key of backups cannot be read from {settings.backup_key_file}: {reason}")
