"""Tokens by which a server drops an INSERT that it had before, and how far they can be believed.

A plain MergeTree table writes the token to its deduplication log before it names the part, so that a late repetition
finds the token (`MergeTreeSink::commitPart`). A server that is killed between the two knows the token, but has no rows:
from then on it acknowledges each repetition and stores nothing. So whoever repeats an INSERT asks for its rows once
more when that was acknowledged, and sends them under the next token of the series where there are none. The token
before stays in the log and guards as ever: a send of it that was held up somewhere is dropped too.

Replicated tables write token and part in one transaction of Keeper. Their replicas, like those of a cloud's shared
tables, may not show for a while what another one stored, so rows that are missing there prove nothing.
"""

from __future__ import annotations

from server.clickhouse_tcp import BlockConnection

MOST_TOKENS = 8
"""Of one series: one is used up by each attempt in which the server is killed in that moment."""


def tokens_of(first: str) -> tuple[str, ...]:
    """The series of tokens under which one INSERT may be sent, one after the other."""
    return (first, *(f"{first}.{number}" for number in range(2, MOST_TOKENS + 1)))


def may_know_missing_rows(connection: BlockConnection, table: str) -> bool:
    """Whether a token that this table knows does not prove that its rows are there."""
    question = "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = %(table)s"
    return connection.select(question, {"table": table}) == [("MergeTree",)]
