"""Passwords: argon2id, and which ones are good enough.

Cost: OWASP's Password Storage Cheat Sheet names 19 MiB, two passes, one lane as the least for argon2id; more memory
would count against a collect process that also shows pages. Hashing releases the interpreter's lock, in a thread.

Strength: OWASP ASVS 5.0, 6.2: a least length, no rules of composition, at least 64 characters allowed, and common
passwords refused. `zxcvbn` brings the lists of common passwords, names and words.
"""

from __future__ import annotations

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from server.accounts.errors import FormError

MEMORY_KIB = 19_456
PASSES = 2
LANES = 1

SHORTEST_CHARS = 10
# Hashing is linear in the length; nobody types more.
LONGEST_CHARS = 128

# zxcvbn's scale is 0 to 4; below 2 a password falls within 10^6 guesses, which an online attacker can make.
LEAST_SCORE = 2

_hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)

# Checked in place of a user that does not exist, so that the answer takes as long.
_NOBODY = _hasher.hash("nobody has this password")


def hash_password(password: str) -> str:
    """The string to store: algorithm, cost, salt and hash."""
    return _hasher.hash(password)


def is_password(stored: str | None, password: str) -> bool:
    """Whether this is the password. Takes the same time when there is nothing stored."""
    try:
        _hasher.verify(stored or _NOBODY, password[:LONGEST_CHARS])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def needs_new_hash(stored: str) -> bool:
    """Whether the hash was made at another cost than today's."""
    return _hasher.check_needs_rehash(stored)


def check_strength(password: str, *about: str, field: str = "password") -> None:
    """Raises `FormError` for a password that is too short, too long, or easy to guess, also from `about` its owner."""
    if len(password) < SHORTEST_CHARS:
        raise FormError(field, f"A password needs at least {SHORTEST_CHARS} characters.")
    if len(password) > LONGEST_CHARS:
        raise FormError(field, f"A password may have {LONGEST_CHARS} characters.")
    # Imported here: it reads 1 MB of word lists.
    from zxcvbn import zxcvbn

    known = [
        part for text in (*about, "footfall") for part in {text, *text.replace("@", " ").replace(".", " ").split()}
    ]
    judged = zxcvbn(password, user_inputs=known, max_length=LONGEST_CHARS)
    if judged["score"] < LEAST_SCORE:
        raise FormError(
            field, "This password is easy to guess. Three or four unrelated words are hard to guess and easy to keep."
        )
