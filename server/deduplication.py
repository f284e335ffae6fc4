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

import logging
from collections.abc import Callable

from server.clickhouse_tcp import BlockConnection
from server.retry import TokensUsedUp

logger = logging.getLogger(__name__)

MOST_TOKENS = 8
"""Of one series: one is used up by each attempt in which the server is killed in that moment."""


def tokens_of(first: str) -> tuple[str, ...]:
    """The series of tokens under which one INSERT may be sent, one after the other."""
    return (first, *(f"{first}.{number}" for number in range(2, MOST_TOKENS + 1)))


def send_again(
    connection: BlockConnection, table: str, first: str, send: Callable[[str], None], is_there: Callable[[], bool]
) -> None:
    """Carry out an INSERT that may have been sent before, under the first of its tokens by which its rows are there.

    `send(token)` is the INSERT, `is_there()` asks for its rows. Raises what these raise, and `TokensUsedUp`.
    """
    send(first)
    if not may_know_missing_rows(connection, table):
        return
    for token in tokens_of(first)[1:]:
        if is_there():
            return
        logger.warning("%s knew INSERT %s and had no rows of it: sent again", table, first)
        send(token)
    if not is_there():
        raise TokensUsedUp(f"{table} knows every token of INSERT {first} and has no rows of it")


def may_know_missing_rows(connection: BlockConnection, table: str) -> bool:
    """Whether a token that this table knows does not prove that its rows are there."""
    question = "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = %(table)s"
    return connection.select(question, {"table": table}) == [("MergeTree",)]
