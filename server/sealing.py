"""Encryption of what a copy of the database or the data folder must not give away: salts, second factors, mails.

AES-256-GCM with a key derived from the secret key for each purpose (HKDF-SHA-256), a random nonce in front. `about`
names what the ciphertext belongs to: moved to another row, it cannot be opened.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12  # AES-GCM's own size


class SealBroken(ValueError):
    """The bytes are damaged, were sealed with another secret key or purpose, or belong to something else."""


def seal(secret_key: str, purpose: str, plaintext: bytes, about: str = "") -> bytes:
    """Encrypt `plaintext`."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + _cipher(secret_key, purpose).encrypt(nonce, plaintext, about.encode())


def unseal(secret_key: str, purpose: str, sealed: bytes, about: str = "") -> bytes:
    """Decrypt what `seal` made with the same key, purpose and `about`. Raises `SealBroken`."""
    try:
        return _cipher(secret_key, purpose).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
    except (InvalidTag, ValueError) as error:
        raise SealBroken(f"a sealed value of {purpose!r} cannot be opened") from error


def _cipher(secret_key: str, purpose: str) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"footfall {purpose}".encode())
    return AESGCM(derived.derive(secret_key.encode()))
