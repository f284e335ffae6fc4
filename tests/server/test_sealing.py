"""Sealed values open with the same key, purpose and owner only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.sealing import SealBroken, seal, unseal

KEY = "k" * 32


@given(st.binary(max_size=300), st.text(max_size=20))
def test_what_was_sealed_opens_again(plaintext: bytes, about: str) -> None:
    sealed = seal(KEY, "test", plaintext, about)
    assert unseal(KEY, "test", sealed, about) == plaintext
    assert sealed != seal(KEY, "test", plaintext, about), "the nonce is random"


def test_every_other_opening_fails() -> None:
    sealed = seal(KEY, "test", b"secret", "user 1")
    assert b"secret" not in sealed
    flipped = bytes([*sealed[:-1], sealed[-1] ^ 1])
    for key, purpose, content, about in (
        ("x" * 32, "test", sealed, "user 1"),
        (KEY, "other", sealed, "user 1"),
        (KEY, "test", sealed, "user 2"),
        (KEY, "test", flipped, "user 1"),
        (KEY, "test", sealed[:10], "user 1"),
        (KEY, "test", b"", "user 1"),
    ):
        with pytest.raises(SealBroken):
            unseal(key, purpose, content, about)
