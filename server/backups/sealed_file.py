"""The file format of a backup's objects: encrypted in chunks, so that neither side ever holds more than one.

| bytes | what |
|---|---|
| 8 | `FFBACK01` |
| 8 | which key (`BackupKey.key_id`) |
| 32 | random salt |
| 1,048,576 + 16 each | chunks: AES-256-GCM of 1 MiB of the content, and its tag |
| 16 to 1,048,592 | the last chunk: what is left of the content, and its tag |

The key of a file is derived (HKDF-SHA-256) from the backup key, the salt and the object's path in the target: no two
files share one, and a file that was put in another's place cannot be opened. The nonce of a chunk is its number from 0
(11 bytes, big-endian) and a byte that is 1 for the last chunk, else 0: chunks that were left out, doubled, moved or
cut off at the end do not fit their place. This is the construction STREAM (Hoang and others, 2015), as age uses it;
AES-GCM and HKDF are those of the package `cryptography`, which Footfall has anyway. age itself would do as well, but
knows neither paths nor a key of plain bytes, and its package for Python would be one more to trust.

Sums are taken on the way: SHA-256 of the content and of the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.backups.errors import DamagedObject, WrongKey
from server.backups.key import KEY_ID_BYTES, BackupKey

MAGIC = b"FFBACK01"
SALT_BYTES = 32
HEADER_BYTES = len(MAGIC) + KEY_ID_BYTES + SALT_BYTES
CHUNK_BYTES = 1024 * 1024
TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Sums:
    """Of one object: its content and the file that holds it. The hashes are SHA-256 in hexadecimal."""

    content_bytes: int
    content_sha256: str
    file_bytes: int
    file_sha256: str


class SealingWriter:
    """Encrypts what is written and hands it to `put`. `close` ends the file; without it the file cannot be opened."""

    def __init__(self, put: Callable[[bytes], None], key: BackupKey, path: str, salt: bytes) -> None:
        """`salt`: 32 random bytes that no other file has."""
        self._put_raw = put
        self._cipher = _cipher(key, salt, path)
        self._waiting = bytearray()
        self._number = 0
        self._content_bytes = self._file_bytes = 0
        self._content_hash, self._file_hash = hashlib.sha256(), hashlib.sha256()
        self._put(MAGIC + key.key_id + salt)

    def write(self, content: bytes | bytearray | memoryview) -> None:
        """Add to the content."""
        self._content_hash.update(content)
        self._content_bytes += len(content)
        self._waiting += content
        # The last chunk is marked, so a full one waits until it is known that something follows.
        while len(self._waiting) > CHUNK_BYTES:
            self._seal(bytes(self._waiting[:CHUNK_BYTES]), is_last=False)
            del self._waiting[:CHUNK_BYTES]

    def close(self) -> Sums:
        """Write the last chunk."""
        self._seal(bytes(self._waiting), is_last=True)
        self._waiting.clear()
        return Sums(self._content_bytes, self._content_hash.hexdigest(), self._file_bytes, self._file_hash.hexdigest())

    def _seal(self, chunk: bytes, *, is_last: bool) -> None:
        self._put(self._cipher.encrypt(_nonce(self._number, is_last=is_last), chunk, None))
        self._number += 1

    def _put(self, data: bytes) -> None:
        self._file_hash.update(data)
        self._file_bytes += len(data)
        self._put_raw(data)


def opened(read: Callable[[int], bytes], key: BackupKey, path: str) -> Iterator[bytes]:
    """The content, chunk by chunk; each is genuine when it is yielded, the whole of it when the iterator has ended.

    `read(n)`: the next n bytes of the file, fewer only at its end. Raises `WrongKey`, `DamagedObject`.
    """
    header = read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise DamagedObject(path, "its beginning is not that of a backup's object")
    if header[len(MAGIC) : len(MAGIC) + KEY_ID_BYTES] != key.key_id:
        raise WrongKey(path)
    cipher = _cipher(key, header[-SALT_BYTES:], path)
    number = 0
    sealed = read(CHUNK_BYTES + TAG_BYTES)
    while True:
        following = read(CHUNK_BYTES + TAG_BYTES) if len(sealed) == CHUNK_BYTES + TAG_BYTES else b""
        try:
            content = cipher.decrypt(_nonce(number, is_last=not following), sealed, None)
        except InvalidTag:
            raise DamagedObject(path, f"chunk {number + 1} is not what was written") from None
        yield content
        if not following:
            return
        sealed, number = following, number + 1


def _cipher(key: BackupKey, salt: bytes, path: str) -> AESGCM:
    return AESGCM(key.derive(salt, MAGIC + path.encode()))


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
