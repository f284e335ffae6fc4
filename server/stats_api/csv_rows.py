"""Rows of an answer as CSV (RFC 4180, UTF-8) or as JSON, piece by piece.

Money has a second column for its currency, a rating three for its shares. A text that a spreadsheet would take for a
formula gets an apostrophe in front: paths and campaigns are written by strangers (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from server.queries.answers import ResultRow
from server.queries.metrics import AnyMetric, Figure, Kind, Metric, VitalMetric
from server.queries.model import Query

_SHARES = ("good", "needs_improvement", "poor")
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def csv_pieces(query: Query, pages: Iterator[Sequence[ResultRow]]) -> Iterator[bytes]:
    """A line of names, then a line for each row."""
    names = [each.name for each in query.dimensions]
    for metric in query.metrics:
        names += _names(metric)
    yield _lines([names])
    for page in pages:
        yield _lines([_cells(query, row) for row in page])


def json_pieces(query: Query, pages: Iterator[Sequence[ResultRow]]) -> Iterator[bytes]:
    """One array with an object for each row."""
    names = [each.name for each in (*query.dimensions, *query.metrics)]
    yield b"["
    separator = b""
    for page in pages:
        objects = [dict(zip(names, (*row.dimensions, *row.metrics), strict=True)) for row in page]
        if objects:
            yield separator + b",\n".join(orjson.dumps(each) for each in objects)
            separator = b",\n"
    yield b"]\n"


def _names(metric: AnyMetric) -> list[str]:
    if isinstance(metric, Metric) and metric.kind is Kind.MONEY:
        return [metric.name, f"{metric.name}_currency"]
    if isinstance(metric, VitalMetric) and metric.figure is Figure.RATING:
        return [f"{metric.name}_{share}" for share in _SHARES]
    return [metric.name]


def _cells(query: Query, row: ResultRow) -> list[Any]:
    cells: list[Any] = [_harmless(text) for text in row.dimensions]
    for metric, value in zip(query.metrics, row.metrics, strict=True):
        names = _names(metric)
        if len(names) == 1:
            cells.append(value)
        elif not isinstance(value, Mapping):
            cells += [None] * len(names)
        elif len(names) == 2:
            cells += [value["value"], value["currency"]]
        else:
            cells += [value[share] for share in _SHARES]
    return cells


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
