"""What was answered against what is stored: each accepted hit is a row, once; each refused one is none.

The generator writes a hit's number into the page load's id, scrambled by a multiplication modulo 2^60 that can be
undone. Hits are compared in chunks inside the store: rows, different numbers and their sum tell whether a chunk holds
exactly the accepted hits. Only chunks in which some hit was not answered, or that differ, are looked at row by row.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from server.clickhouse_tcp import BlockConnection

# Of generator/src/requests.rs.
ID_BITS = 60
SCRAMBLE = 0x9E37_79B9_7F4A_7C15 & ((1 << ID_BITS) - 1)
UNSCRAMBLE = pow(SCRAMBLE, -1, 1 << ID_BITS)

# Of generator/src/answer.rs.
ACCEPTED, DROPPED, REFUSED, UNANSWERED = 1, 2, 3, 4

CHUNK_HITS = 65_536

# Rows of one attack have numbers of their own: this many hits are more than any has.
ATTACK_HITS = 1 << 32

NUMBER = f"bitAnd(load_id * toUInt64({UNSCRAMBLE}), toUInt64({(1 << ID_BITS) - 1}))"


@dataclass
class Comparison:
    """Hits and rows of one attack."""

    hits: int = 0
    accepted: int = 0
    unanswered: int = 0
    rows: int = 0
    lost: list[int] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)
    strangers: list[int] = field(default_factory=list)
    """Rows of hits that were refused, dropped or never sent."""
    chunks_by_row: int = 0

    @property
    def ok(self) -> bool:
        """Whether each acknowledged hit is stored once, and nothing else is."""
        return not (self.lost or self.doubled or self.strangers)


def compare_with_rows(connection: BlockConnection, outcomes: bytes, first: int) -> Comparison:
    """Hold the outcomes of an attack (a byte per hit) against the rows of its numbers, from `first` on."""
    counts = Counter(outcomes)
    found = Comparison(len(outcomes), counts[ACCEPTED], counts[UNANSWERED])
    statement = (
        f"WITH {NUMBER} AS number SELECT intDiv(number - {first}, {CHUNK_HITS}) AS chunk, count(), uniqExact(number), "
        f"sum(number - {first}) FROM events WHERE number >= {first} AND number < {first + ATTACK_HITS} GROUP BY chunk"
    )
    chunks = {int(chunk): (rows, unique, total) for chunk, rows, unique, total in connection.select(statement)}
    for chunk in range(max([-(-len(outcomes) // CHUNK_HITS), *(number + 1 for number in chunks)], default=0)):
        start = chunk * CHUNK_HITS
        part = outcomes[start : start + CHUNK_HITS]
        rows, unique, total = chunks.get(chunk, (0, 0, 0))
        found.rows += rows
        if UNANSWERED not in part:
            accepted = [start + at for at, outcome in enumerate(part) if outcome == ACCEPTED]
            if (rows, unique, total) == (len(accepted), len(accepted), sum(accepted)):
                continue
        found.chunks_by_row += 1
        _compare_rows(connection, part, first, start, found)
    return found


def _compare_rows(connection: BlockConnection, part: bytes, first: int, start: int, found: Comparison) -> None:
    begin = first + start
    statement = (
        f"WITH {NUMBER} AS number SELECT number - {first}, count() FROM events "
        f"WHERE number >= {begin} AND number < {begin + CHUNK_HITS} GROUP BY number"
    )
    stored = {int(number): int(count) for number, count in connection.select(statement)}
    for number, count in stored.items():
        at = number - start
        outcome = part[at] if at < len(part) else 0
        if outcome not in (ACCEPTED, UNANSWERED):
            found.strangers.append(number)
        elif count > 1:
            found.doubled.append(number)
    found.lost += [start + at for at, outcome in enumerate(part) if outcome == ACCEPTED and start + at not in stored]
