"""Taking destroyed sites out of quarantine: their hits stay counted, and nothing of what they said stays.

A kept segment is written anew: each hit of such a site becomes a short record with the outcome `blocked`, at its place
and with its time, so that the law of accounting (`server.audit`) counts as many answered hits as before; bytes that are
damaged anyway become zeros. Kept damage is emptied: nobody can tell whose it was, and it can never be sent again. Its
description says how many hits it held. Everything is safe to repeat.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection
from pathlib import Path

from rust_ext import scan_segment
from rust_ext.pack_rules import crc32c
from server.batch import BLOCKED, HIT_KIND, record_head, record_places
from server.quarantine import Quarantine, Quarantined
from server.spool import sync_folder

# Offsets of rust_ext/ingest/src/segment.rs and record.rs.
_HEADER_BYTES = 64
_FRAME_BYTES = 16
_SEGMENT_ID = slice(16, 32)
_SYNC_MARK = b"\xf1\x7f\xa1\x1d"
_KIND_SHORT = 2
_SHORT = struct.Struct("<BBHIq")
_FRAME = struct.Struct("<II")


def purge(quarantine: Quarantine, site_ids: Collection[int]) -> int:
    """Take these sites out of everything that is kept. Returns how many files were changed."""
    return sum(_purge_entry(entry, frozenset(site_ids)) for entry in quarantine.entries())


def _purge_entry(entry: Quarantined, site_ids: frozenset[int]) -> bool:
    data = entry.path.read_bytes()
    kept = without_sites(data, site_ids) if entry.is_segment else b""
    if kept == data:
        return False
    partial = entry.path.with_name(f"{entry.path.name}.new")
    with partial.open("wb") as file:
        file.write(kept)
        file.flush()
        os.fsync(file.fileno())
    _scrub(entry.path, len(data))
    partial.replace(entry.path)
    sync_folder(entry.path.parent)
    return True


def _scrub(path: Path, size_bytes: int) -> None:
    """Overwrite a file that is about to be replaced, unless the spool has it too: then it is stored, or quarantined
    again, from there."""
    if path.stat().st_nlink == 1:
        with path.open("r+b") as file:
            file.write(bytes(size_bytes))


def without_sites(data: bytes, site_ids: frozenset[int]) -> bytes:
    """A segment with these sites' hits made short. The same bytes when none of them has a hit in it."""
    scan = scan_segment(data)
    if scan.header is None:
        # Nobody can read any of it.
        return bytes(len(data)) if data.strip(b"\0") else data
    header = scan.header[:_HEADER_BYTES]
    segment_id = header[_SEGMENT_ID]
    out, position = bytearray(header), _HEADER_BYTES
    for offset, length in record_places(scan):
        start = offset - _FRAME_BYTES
        out += bytes(start - position)
        kind, site_id, time_ms = record_head(data, offset)
        if kind == HIT_KIND and site_id in site_ids:
            (ordinal,) = struct.unpack_from("<I", data, start + 8)
            short = _SHORT.pack(_KIND_SHORT, BLOCKED, 0, site_id, time_ms)
            checked = _FRAME.pack(len(short), ordinal)
            checksum = crc32c(segment_id + checked + short)
            out += _SYNC_MARK + checked + struct.pack("<I", checksum) + short
        else:
            out += data[start : offset + length]
        position = offset + length
    out += bytes(len(data) - position)
    return bytes(out)
