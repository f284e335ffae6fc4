"""An uploaded file as the files that are in it: a zip's members, the one inside a gzip file, or the file itself.

Nothing is ever unpacked to disk, and a member's name is only shown and compared, so it can lead nowhere. A member is a
stream from any offset on: of a compressed one everything before the offset is unpacked again and thrown away.

What a hostile archive may cost is bounded: the number of members, the bytes that come out of one, and their ratio to
what went in.
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from server.imports.errors import ArchiveBroken, UnpacksTooLarge

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")

# Plausible's export has ten files; a folder of rotated logs has a few hundred.
MAX_MEMBERS = 1_000

# Access logs shrink 10 to 20 times, logs of one bot up to 100 times. Deflate's limit is 1,032.
MAX_RATIO = 200
# Below this much nothing is judged by its ratio.
RATIO_FROM_BYTES = 16 * 1024 * 1024
# Whatever the ratio: a terabyte of access log is more than anybody uploads.
MAX_UNPACKED_BYTES = 1024**4

_SKIP_STEP_BYTES = 1024 * 1024
_MAX_NAME_CHARS = 120


@dataclass(frozen=True)
class Member:
    """One file. `packed_bytes` is what it takes in the uploaded file, `size_bytes` what it unpacks to, if known."""

    name: str
    packed_bytes: int
    size_bytes: int | None
    _open: Callable[[], IO[bytes]]

    @contextmanager
    def open(self, offset_bytes: int = 0) -> Iterator[MemberStream]:
        """Its bytes from `offset_bytes` on. Raises `ArchiveBroken`; reading does too, and `UnpacksTooLarge`."""
        try:
            raw = self._open()
        except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            raise ArchiveBroken(f"{self.name} cannot be unpacked: {error}") from error
        with raw:
            stream = MemberStream(self, raw)
            stream.skip(offset_bytes)
            yield stream


class MemberStream:
    """A member that is being read: counts what comes out of it."""

    def __init__(self, member: Member, raw: IO[bytes]) -> None:
        self._member = member
        self._raw = raw
        self.read_bytes = 0

    def read(self, size_bytes: int) -> bytes:
        """The next bytes; none at the end. Raises `ArchiveBroken`, `UnpacksTooLarge`."""
        try:
            data = self._raw.read(size_bytes)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise ArchiveBroken(f"{self._member.name} is damaged after {self.read_bytes:,} bytes: {error}") from error
        self.read_bytes += len(data)
        is_compressed = self._member.size_bytes != self._member.packed_bytes
        too_dense = self.read_bytes > max(RATIO_FROM_BYTES, MAX_RATIO * self._member.packed_bytes)
        if (is_compressed and too_dense) or self.read_bytes > MAX_UNPACKED_BYTES:
            raise UnpacksTooLarge(
                f"{self._member.name} unpacks to over {self.read_bytes:,} bytes from {self._member.packed_bytes:,}: "
                "that is no export"
            )
        return data

    @property
    def packed_done_bytes(self) -> int:
        """How far reading has come, in bytes of the uploaded file."""
        packed = self._member.packed_bytes
        if self._member.size_bytes:
            return min(packed, packed * self.read_bytes // self._member.size_bytes)
        inner = getattr(self._raw, "fileobj", None)
        return min(packed, inner.tell()) if inner is not None else 0

    def skip(self, size_bytes: int) -> None:
        """Go on `size_bytes` later."""
        if size_bytes and self._member.size_bytes == self._member.packed_bytes and self._raw.seekable():
            self._raw.seek(size_bytes)
            self.read_bytes = size_bytes
            return
        while self.read_bytes < size_bytes:
            if not self.read(min(_SKIP_STEP_BYTES, size_bytes - self.read_bytes)):
                return


@dataclass(frozen=True)
class Opened:
    """An uploaded file's members, and lines about what is in it and cannot be one."""

    members: tuple[Member, ...]
    ignored: tuple[tuple[str, str], ...] = ()
    """(name, why)"""


@contextmanager
def open_members(path: Path, name: str) -> Iterator[Opened]:
    """The members of the file at `path`, called `name` by whoever sent it. Raises `ArchiveBroken`, OSError."""
    with path.open("rb") as file:
        head = file.read(4)
        size_bytes = os.fstat(file.fileno()).st_size
    if head.startswith(ZIP_MAGICS):
        with _open_zip(path) as opened:
            yield opened
    elif head.startswith(GZIP_MAGIC):
        inner = shown_name(name.removesuffix(".gz"))
        yield Opened((Member(inner, size_bytes, None, partial(_gunzip, path)),))
    else:
        yield Opened((Member(shown_name(name), size_bytes, size_bytes, partial(_open, path)),))


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _gunzip(source: Path | IO[bytes]) -> IO[bytes]:
    # The types of Python's library do not know that a GzipFile is a stream of bytes.
    return cast("IO[bytes]", gzip.open(source, "rb"))


@contextmanager
def _open_zip(path: Path) -> Iterator[Opened]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise ArchiveBroken(f"the zip file is damaged: {error}") from error
    with archive:
        infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise ArchiveBroken(f"the zip file has {len(infos):,} files in it; {MAX_MEMBERS:,} are taken")
        members: list[Member] = []
        ignored: list[tuple[str, str]] = []
        names: set[str] = set()
        for info in infos:
            name = shown_name(info.filename)
            if info.is_dir() or name.startswith((".", "__MACOSX")) or "__MACOSX/" in info.filename:
                continue
            reason = _unusable(info, name in names)
            if reason:
                ignored.append((name, reason))
                continue
            names.add(name)
            members += _members_of(archive, info, name)
        yield Opened(tuple(members), tuple(ignored))


def _unusable(info: zipfile.ZipInfo, is_twice: bool) -> str:
    if info.flag_bits & 0x1:
        return "it is encrypted"
    if is_twice:
        return "another file in the zip has the same name"
    if PurePosixPath(info.filename).suffix.lower() in (".zip", ".7z", ".rar", ".tar"):
        return "an archive within the archive"
    return ""


def _members_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Iterator[Member]:
    with archive.open(info) if not info.flag_bits & 0x1 else io.BytesIO() as stream:
        is_gzip = _starts_gzip(stream)
    if is_gzip:
        yield Member(name.removesuffix(".gz"), max(1, info.compress_size), None, lambda: _gunzip(archive.open(info)))
    else:
        yield Member(name, max(1, info.compress_size), info.file_size, lambda: archive.open(info))


def _starts_gzip(stream: IO[bytes]) -> bool:
    try:
        return stream.read(2) == GZIP_MAGIC
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return False  # reading it later says what is wrong


def shown_name(name: str) -> str:
    """A file's name without its folders, fit to be shown: printable and not too long."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    printable = "".join(character for character in last if character.isprintable())
    return printable[-_MAX_NAME_CHARS:] or "file"
