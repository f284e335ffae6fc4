"""The format of objects: nothing that was changed, cut, moved, doubled or swapped opens, and no other key does."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.backups import sealed_file
from server.backups.errors import DamagedObject, WrongKey
from server.backups.key import BackupKey
from server.backups.sealed_file import CHUNK_BYTES, HEADER_BYTES, TAG_BYTES, SealingWriter, opened

KEY = BackupKey(bytes(range(32)))
SALT = bytes(32)
SMALL_CHUNK = 64
SEALED_CHUNK = SMALL_CHUNK + TAG_BYTES


@pytest.fixture(autouse=True, scope="module")
def _small_chunks() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed_file, "CHUNK_BYTES", SMALL_CHUNK)
        yield


def sealed(content: bytes, path: str = "objects/a", piece: int = 50, key: BackupKey = KEY) -> bytes:
    file = bytearray()
    writer = SealingWriter(file.extend, key, path, SALT)
    for at in range(0, len(content), piece):
        writer.write(content[at : at + piece])
    sums = writer.close()
    assert (sums.content_bytes, sums.file_bytes) == (len(content), len(file))
    return bytes(file)


def content_of(data: bytes, path: str = "objects/a", key: BackupKey = KEY) -> bytes:
    return b"".join(opened(io.BytesIO(data).read, key, path))


def test_the_table_says_what_the_writer_writes() -> None:
    assert CHUNK_BYTES == 1_048_576
    assert (HEADER_BYTES, TAG_BYTES) == (48, 16)
    assert sealed(b"")[:48] == b"FFBACK01" + KEY.key_id + SALT


@given(st.binary(max_size=5 * SMALL_CHUNK), st.integers(1, 300))
def test_what_was_written_is_read(content: bytes, piece: int) -> None:
    data = sealed(content, piece=piece)
    chunks = max(1, -(-len(content) // SMALL_CHUNK))
    assert len(data) == HEADER_BYTES + len(content) + chunks * TAG_BYTES
    assert content_of(data) == content


@given(st.binary(max_size=4 * SMALL_CHUNK), st.data())
def test_any_flipped_bit_is_found(content: bytes, choice: st.DataObject) -> None:
    data = bytearray(sealed(content))
    data[choice.draw(st.integers(0, len(data) - 1))] ^= 1 << choice.draw(st.integers(0, 7))
    with pytest.raises((DamagedObject, WrongKey)):
        content_of(bytes(data))


@given(st.binary(max_size=4 * SMALL_CHUNK), st.data())
def test_any_cut_is_found(content: bytes, choice: st.DataObject) -> None:
    data = sealed(content)
    with pytest.raises(DamagedObject):
        content_of(data[: choice.draw(st.integers(0, len(data) - 1))])


@given(st.permutations(range(4)), st.integers(1, SMALL_CHUNK))
def test_chunks_in_another_order_are_found(order: list[int], rest: int) -> None:
    content = bytes(range(256))[: 3 * SMALL_CHUNK] + bytes(rest)
    data = sealed(content)
    chunks = [data[at : at + SEALED_CHUNK] for at in range(HEADER_BYTES, len(data), SEALED_CHUNK)]
    mixed = data[:HEADER_BYTES] + b"".join(chunks[place] for place in order)
    if mixed == data:
        assert content_of(mixed) == content
    else:
        with pytest.raises(DamagedObject):
            content_of(mixed)


@pytest.mark.parametrize("doubled", range(3))
@pytest.mark.parametrize("left_out", [False, True])
def test_chunks_twice_or_never_are_found(doubled: int, left_out: bool) -> None:
    data = sealed(bytes(3 * SMALL_CHUNK))
    chunks = [data[at : at + SEALED_CHUNK] for at in range(HEADER_BYTES, len(data), SEALED_CHUNK)]
    chunks[doubled : doubled + 1] = [] if left_out else [chunks[doubled]] * 2
    with pytest.raises(DamagedObject):
        content_of(data[:HEADER_BYTES] + b"".join(chunks))


def test_something_behind_the_end_is_found() -> None:
    with pytest.raises(DamagedObject):
        content_of(sealed(b"abc") + b"\0")


def test_a_file_in_the_place_of_another_does_not_open() -> None:
    with pytest.raises(DamagedObject):
        content_of(sealed(b"abc", path="objects/a"), path="objects/b")


def test_another_key_is_named_as_such() -> None:
    other = BackupKey(bytes(32))
    with pytest.raises(WrongKey, match="objects/a was encrypted with another key"):
        content_of(sealed(b"abc"), key=other)
    assert "0001" not in repr(KEY)


def test_what_is_no_object_is_named_as_such() -> None:
    with pytest.raises(DamagedObject, match="its beginning"):
        content_of(b"<html>" * 20)
