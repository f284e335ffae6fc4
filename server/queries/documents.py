"""A `Query` and its answers → the document that Stats API v2 sends, in Plausible's shape.

Rows carry the other period's values when a comparison was asked for: those of the same dimensions; of time, those of
the bucket with the same number. `meta` says what belongs to the rows, `query` what was understood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from server.queries.answers import Answer, Answerer, ResultRow, Shown, change
from server.queries.dimensions import Level
from server.queries.metrics import Kind, Metric, VitalMetric
from server.queries.model import Include, Query
from server.queries.periods import Buckets, Interval, whole_bucket

Document = dict[str, Any]


def answer_document(answerer: Answerer, query: Query, asked: Mapping[str, Any], now_ms: int) -> Document:
    """Ask, compare and describe. Raises what `Answerer.answer` raises."""
    answer = answerer.answer(query)
    before = None
    if query.include.comparison is not None:
        earlier = replace(
            query, range=query.include.comparison, include=Include(imports=query.include.imports), offset_rows=0
        )
        kept = [_key(query, row) for row in answer.rows]
        before = (
            Answer([])
            if query.dimensions and not kept and query.interval is None
            else answerer.answer(earlier, kept=kept)
        )
    rows = _results(query, answer, before)
    return {
        "results": rows,
        "meta": _meta(query, answer, before, rows, now_ms),
        "query": _understood(query, asked),
    }


# -- rows --------------------------------------------------------------------------------------------------------------


def _key(query: Query, row: ResultRow) -> tuple[str, ...]:
    return tuple(
        "" if dimension.level is Level.TIME else value
        for dimension, value in zip(query.dimensions, row.dimensions, strict=True)
    )


def _results(query: Query, answer: Answer, before: Answer | None) -> list[Document]:
    if before is None:
        return [{"dimensions": list(row.dimensions), "metrics": list(row.metrics)} for row in answer.rows]
    earlier = {(*_key(query, row), _bucket_index(before.buckets, row)): row for row in before.rows}
    results = []
    shown = set()
    for row in answer.rows:
        key = (*_key(query, row), _bucket_index(answer.buckets, row))
        shown.add(key)
        results.append(_compared(query, answer, before, key, row, earlier.get(key)))
    if _is_by_time_alone(query) and answer.buckets is not None:
        results += _gaps(query, answer, before, earlier, shown)
    return results


def _is_by_time_alone(query: Query) -> bool:
    return len(query.dimensions) == 1 and query.interval is not None


def _bucket_index(buckets: Buckets | None, row: ResultRow) -> int:
    if buckets is None or row.bucket_ms is None:
        return -1
    return buckets.index(row.bucket_ms)


def _compared(
    query: Query, answer: Answer, before: Answer, key: tuple[Any, ...], row: ResultRow, earlier: ResultRow | None
) -> Document:
    old = tuple(_nothing(each) for each in query.metrics) if earlier is None else earlier.metrics
    changes = [change(each, was, now) for each, was, now in zip(query.metrics, old, row.metrics, strict=True)]
    dimensions: list[str | None] = list(row.dimensions)
    if before.buckets is not None:
        for index, dimension in enumerate(query.dimensions):
            if dimension.level is Level.TIME:
                labels = before.buckets.labels
                dimensions[index] = labels[key[-1]] if key[-1] < len(labels) else None
    return {
        "dimensions": list(row.dimensions),
        "metrics": list(row.metrics),
        "comparison": {"dimensions": dimensions, "metrics": list(old), "change": changes},
    }


def _gaps(
    query: Query,
    answer: Answer,
    before: Answer,
    earlier: Mapping[tuple[Any, ...], ResultRow],
    shown: set[tuple[Any, ...]],
) -> list[Document]:
    """Buckets in which only the other period has something, so that its line in a chart has no holes."""
    assert answer.buckets is not None
    found = []
    for key, row in earlier.items():
        if key in shown or key[-1] >= len(answer.buckets.labels):
            continue
        empty = ResultRow((answer.buckets.labels[key[-1]],), tuple(_nothing(each) for each in query.metrics))
        found.append(_compared(query, answer, before, key, empty, row))
    return found


def _nothing(metric: Metric | VitalMetric) -> Shown:
    """What a metric says where there is nothing."""
    if isinstance(metric, VitalMetric):
        return 0 if metric.name.startswith("samples_") else None
    if metric.kind is Kind.MONEY or metric.is_null_when_empty:
        return None
    return 0


# -- what belongs to them ----------------------------------------------------------------------------------------------


def _meta(query: Query, answer: Answer, before: Answer | None, rows: Sequence[Document], now_ms: int) -> Document:
    meta: Document = {}
    include = query.include
    if include.imports:
        meta["imports_included"] = answer.has_imports
        if answer.imports_skip_reason:
            meta["imports_skip_reason"] = answer.imports_skip_reason
            meta["imports_warning"] = _IMPORTS_WARNINGS[answer.imports_skip_reason]
    if answer.warnings:
        meta["metric_warnings"] = answer.warnings
    if answer.buckets is not None:
        if include.time_labels:
            meta["time_labels"] = list(answer.buckets.labels)
            if _is_by_time_alone(query):
                place = {row["dimensions"][0]: index for index, row in enumerate(rows)}
                meta["time_label_result_indices"] = [place.get(label) for label in answer.buckets.labels]
            if before is not None and before.buckets is not None:
                meta["comparison_time_labels"] = list(before.buckets.labels)
        present = answer.buckets.present_index(now_ms)
        if present is not None:
            meta["present_index"] = present
        partial = _partial_labels(query, answer.buckets, now_ms)
        if partial:
            meta["partial_time_labels"] = partial
    if include.total_rows:
        meta["total_rows"] = answer.total_rows
    if include.explain:
        meta["explain"] = answer.explanation + ([] if before is None else before.explanation)
    return meta


_IMPORTS_WARNINGS = {
    "no_imported_data": "There are no imported figures in this range.",
    "unsupported_query": "Imported figures are not part of this answer: they can be grouped, but not filtered.",
    "unsupported_interval": "Imported figures are not part of this answer: they exist by the day, not by the hour.",
}


def _partial_labels(query: Query, buckets: Buckets, now_ms: int) -> list[str]:
    """Labels of the buckets that the range cuts, or that are not over yet."""
    interval = query.interval
    if interval is None or interval is Interval.MINUTE:
        return []
    found = []
    for label, (from_ms, until_ms) in zip(buckets.labels, buckets.ends(), strict=True):
        is_cut = False
        if interval is not Interval.HOUR:
            whole_from_ms, whole_until_ms = whole_bucket(query.range.calendar, interval, from_ms)
            is_cut = whole_from_ms < from_ms or whole_until_ms > until_ms
        if is_cut or from_ms <= now_ms < until_ms:
            found.append(label)
    return found


def _understood(query: Query, asked: Mapping[str, Any]) -> Document:
    include = query.include
    document: Document = {
        "site_id": asked.get("site_id"),
        "metrics": [each.name for each in query.metrics],
        "date_range": list(query.range.texts()),
        "filters": asked.get("filters", []),
        "dimensions": [
            f"time:{query.interval}" if each.level is Level.TIME else each.name for each in query.dimensions
        ],
        "order_by": [[each.name, "desc" if each.is_descending else "asc"] for each in query.order_by],
        "include": {
            "imports": include.imports,
            "time_labels": include.time_labels,
            "total_rows": include.total_rows,
            **{key: value for key, value in (asked.get("include") or {}).items() if key.startswith("compar")},
        },
        "pagination": {"limit": query.limit_rows, "offset": query.offset_rows},
    }
    if include.comparison is not None:
        document["comparison_date_range"] = list(include.comparison.texts())
    return document
