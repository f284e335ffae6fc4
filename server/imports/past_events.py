"""One event of the past, from what an export says of it to the record that becomes a row.

The ingest core judges it like an entry of a server batch (`rust_ext.PastEvents`): URL, referrer, channel, agent,
country, bots, the site's rules. What the export knows better than its fields tell (a country without an address, a
browser without an agent, a visitor without either) is then written over the record. Offsets:
rust_ext/ingest/src/record.rs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson

from core_ext.native import OUTCOME_LABELS
from rust_ext import PastEvents, devices, string_fields
from server.imports.rules import ImportRules

RECORD_HIT, RECORD_SHORT = 1, 2
_OUTCOME_OFFSET = 1
_VISITOR_OFFSET, _DEVICE_OFFSET, _LENGTHS_OFFSET, _STRINGS_OFFSET = 16, 42, 64, 104
_VISITOR = struct.Struct("<Q")
_STRING_NAMES = tuple(string_fields())
_LENGTHS = struct.Struct(f"<{len(_STRING_NAMES)}H")
_DEVICE_CODES = {name: code for code, name in devices()}
_MAX_STRING_BYTES = 0xFFFF
_ACCEPTED = OUTCOME_LABELS[0]

_SHORT = struct.Struct("<BBHIq")
_BLOCKED_COUNTRY = next(code for code, label in OUTCOME_LABELS.items() if label == "blocked_country")

# Of a 64-bit fraction of 2^64 by the golden ratio: rust_ext/ingest/src/visitor.rs, `shard_of`.
_GOLDEN = 0x9E37_79B9_7F4A_7C15
_64_BITS = (1 << 64) - 1


@dataclass(slots=True)
class Known:
    """What the export says itself. Empty: it says nothing, and the core's reading stays."""

    visitor: str = ""
    device: str = ""
    strings: dict[str, str] = field(default_factory=dict)
    """By the record's names: country, browser, os and so on."""


@dataclass(slots=True)
class PastEvent:
    """`entry`: as in `POST /api/events`, without site and time. `number`: the line it stands on."""

    number: int
    time_ms: int
    entry: dict[str, Any]
    known: Known | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A record and where it goes. `outcome` is a label of the ledger."""

    shard: int
    time_ms: int
    outcome: str
    payload: bytes


class EventJudge:
    """Makes records of one import's events. `aim` first at the times that come."""

    def __init__(self, core: PastEvents, rules: ImportRules, salt: bytes) -> None:
        self._core = core
        self._rules = rules
        self._salt = salt
        # Blocks of countries work on what the core looked up, and here it may be the export that knows.
        self._blocked_countries = frozenset(rules.site.get("blocked_countries", ()))

    def aim(self, first_ms: int, last_ms: int) -> None:
        """The next events lie between these times."""
        self._core.apply_snapshot(self._rules.snapshot(self._salt, first_ms, last_ms))

    def judge(self, event: PastEvent, day: date) -> Judged:
        """The record of an event of this local day."""
        entry = {**event.entry, "d": self._rules.site["public_id"]}
        shard, payload = self._core.judge(orjson.dumps(entry), event.time_ms, self._rules.account_id)
        if payload[0] == RECORD_SHORT:
            return Judged(0, event.time_ms, OUTCOME_LABELS[payload[_OUTCOME_OFFSET]], payload)
        known = event.known
        if known is not None:
            if known.strings.get("country") in self._blocked_countries:
                short = _SHORT.pack(RECORD_SHORT, _BLOCKED_COUNTRY, 0, self._rules.site_id, event.time_ms)
                return Judged(0, event.time_ms, OUTCOME_LABELS[_BLOCKED_COUNTRY], short)
            payload = with_known(payload, known)
            if known.visitor:
                visitor_id = self._rules.visitor_hash(self._salt, day, known.visitor)
                shard = shard_of(self._rules.site_id, visitor_id, self._rules.shards)
                payload = payload[:_VISITOR_OFFSET] + _VISITOR.pack(visitor_id) + payload[_VISITOR_OFFSET + 8 :]
        return Judged(shard, event.time_ms, _ACCEPTED, payload)


def with_known(payload: bytes, known: Known) -> bytes:
    """A hit record with the strings and the device that the export knows."""
    lengths = list(_LENGTHS.unpack_from(payload, _LENGTHS_OFFSET))
    given = {_STRING_NAMES.index(name): text for name, text in known.strings.items() if text}
    strings = bytearray()
    position = _STRINGS_OFFSET
    for index, length in enumerate(lengths):
        if index in given:
            text = _cut(given[index])
            lengths[index] = len(text)
            strings += text
        else:
            strings += payload[position : position + length]
        position += length
    head = bytearray(payload[:_STRINGS_OFFSET])
    _LENGTHS.pack_into(head, _LENGTHS_OFFSET, *lengths)
    if known.device:
        head[_DEVICE_OFFSET] = _DEVICE_CODES[known.device]
    return bytes(head + strings + payload[position:])


def _cut(text: str) -> bytes:
    return text.encode()[:_MAX_STRING_BYTES].decode("utf-8", "ignore").encode()


def shard_of(site_id: int, visitor_id: int, shards: int) -> int:
    """Where a visitor's rows go: the same function as the core's."""
    if shards <= 1:
        return 0
    mixed = ((visitor_id ^ site_id) * _GOLDEN) & _64_BITS
    return (mixed * shards) >> 64
