"""Everything that can be wrong with a question to the event store, or with the store's answer.

`QueryError`: the question is wrong; asking again gives the same. `QueryRefused`: it is too big or too slow for the
limits, and the text says how to narrow it. `QueryFailed`: the store did not answer; asking again may help.
"""

from __future__ import annotations


class QueryError(ValueError):
    """A query is not valid. `field` is where in the document, as a JSON pointer fragment such as `#/metrics/1`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


class UnknownValue(QueryError):
    """A name is none of those allowed there; the message lists them, and the one that was probably meant."""


class Conflict(QueryError):
    """Two parts of the query cannot be answered together; the message says which and why."""


class NotConfigured(QueryError):
    """A goal or segment that the query names does not exist on this site."""


class InvalidPattern(QueryError):
    """A regular expression is not one in RE2's syntax."""


class QueryRefused(Exception):
    """A limit would be exceeded. `limit` is its name and value; `str()` says it and how to narrow the query."""

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(f"{message} (limit: {limit})")
        self.limit = limit


class TooSlow(QueryRefused):
    """The query took longer than it may."""


class TooMuchMemory(QueryRefused):
    """The query needed more memory than it may."""


class TooManyRows(QueryRefused):
    """The query would read or return more rows than it may."""


class QueryFailed(Exception):
    """The event store did not answer. Nothing was changed; asking again may help."""


class StoreAway(QueryFailed):
    """No connection, a lost connection, or a server that is starting or lacks a table."""


class TooBusy(QueryFailed):
    """As many queries as this process allows were under way for too long."""


class NamesAdded(QueryFailed):
    """A statement met numbers of names beyond the bound that it was made with (`name_numbers`)."""


class QueryCancelled(QueryFailed):
    """Whoever asked has gone away, and nobody waits for the answer any more."""
