"""Filters as Stats API v1 writes them, `event:page==/blog/*;visit:source==Google|Twitter`, → those of v2.

`;` joins, `|` lists, `*` stands for any text; a backslash takes their meaning away. What a goal is called is compared
as it is: its own pattern may hold stars.
"""

from __future__ import annotations

import re
from typing import Any

from server.queries.dimensions import GOAL
from server.queries.errors import QueryError

_EXPRESSION = re.compile(r"\s*([a-z]+:[^=!]+?)\s*(==|!=)(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\;|*])")


def v1_filters(text: str) -> list[Any]:
    """The filters of a request. Raises `QueryError`."""
    return [_filter(expression) for expression in _split(text, ";") if expression.strip()]


def _filter(expression: str) -> list[Any]:
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise QueryError("filters", f"expected property==value or property!=value, not {expression[:100]!r}")
    dimension, is_equal = match[1], match[2] == "=="
    values = [value.strip() for value in _split(match[3], "|")]
    if not all(values):
        raise QueryError("filters", f"{dimension} needs a value to compare with")
    if dimension == GOAL:
        if not is_equal:
            raise QueryError("filters", f"{GOAL} can be compared with == only")
        return ["is", GOAL, [_plain(value) for value in values]]
    if any("*" in re.sub(r"\\.", "", value) for value in values):
        operator = "matches" if is_equal else "matches_not"
        return [operator, dimension, [_regex(value) for value in values]]
    return ["is" if is_equal else "is_not", dimension, [_plain(value) for value in values]]


def _split(text: str, sign: str) -> list[str]:
    """Cut at a sign that no backslash stands before."""
    return re.split(rf"(?<!\\){re.escape(sign)}", text)


def _plain(value: str) -> str:
    return _ESCAPED.sub(r"\1", value)


def _regex(value: str) -> str:
    parts = [re.escape(_plain(part)) for part in re.split(r"(?<!\\)\*+", value)]
    return "^(?s:" + ".*".join(parts) + ")$"
