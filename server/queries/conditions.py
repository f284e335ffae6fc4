"""Filters and dimensions as SQL.

A `Scope` says how the columns of an event and of a visit are called where the SQL will stand: in a lambda over a
visit's rows, in a joined row, or in a closed table. Identifiers come from `dimensions`; values are bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from server.queries.dimensions import COUNTRY_ALIASES, NO_PROP, PROPS_PREFIX, Dimension, Level, country_names
from server.queries.goals import GoalRule, wildcard_regex
from server.queries.model import Either, Every, Filter, GoalLeaf, HasDone, Leaf, Negated, Operator, leaves
from server.queries.parameters import Parameters

Columns = Callable[[str], str]
"""How a column is called somewhere."""


@dataclass(frozen=True)
class Scope:
    """Names of columns. `event` takes `path`, `event_name`, `hostname`, `kind`, `scroll` or `props <name>`.

    `any_event`: whether an event of the same visit fulfils a condition. `any_earlier`: whether a row before this one
    does, for goals that count the first of something. `leaf`: SQL of comparisons that need another form there.
    """

    visit: Columns
    event: Columns | None = None
    any_event: Callable[[Callable[[Scope], str]], str] | None = None
    any_earlier: Callable[[Callable[[Columns], str]], str] | None = None
    leaf: Callable[[Leaf], str | None] | None = None


def shown(dimension: Dimension, scope: Scope, parameters: Parameters) -> str:
    """The value of a dimension, as it is shown."""
    if dimension.level is Level.EVENT:
        assert scope.event is not None
        if dimension.name.startswith(PROPS_PREFIX):
            value = scope.event(f"props {dimension.name.removeprefix(PROPS_PREFIX)}")
            return f"if({value} = '', {parameters.text(NO_PROP)}, {value})"
        return scope.event(dimension.column)
    if not dimension.column:
        return "''"
    column = scope.visit(dimension.column)
    if dimension.name == "visit:country_name":
        names = country_names()
        codes, names_read = parameters.texts(sorted(names)), parameters.texts([names[code] for code in sorted(names)])
        return f"transform({column}, {codes}, {names_read}, {column})"
    if dimension.names:
        stored, read = zip(*dimension.names, strict=True)
        column = f"transform({column}, {parameters.texts(stored)}, {parameters.texts(read)}, {column})"
    return f"if({column} = '', {parameters.text(dimension.fallback)}, {column})" if dimension.fallback else column


def condition(filter_: Filter, scope: Scope, parameters: Parameters) -> str:
    """SQL that is true where the filter holds."""
    match filter_:
        case Every(filters):
            return _joined("AND", [condition(each, scope, parameters) for each in filters], "1")
        case Either(filters):
            return _joined("OR", [condition(each, scope, parameters) for each in filters], "0")
        case Negated(inner):
            return f"NOT {condition(inner, scope, parameters)}"
        case HasDone(inner):
            assert scope.any_event is not None
            goals = [goal for leaf in leaves(inner) if isinstance(leaf, GoalLeaf) for goal in leaf.goals]
            return scope.any_event(
                lambda row: f"{admitted(row, goals, parameters)} AND {condition(inner, row, parameters)}"
            )
        case GoalLeaf(goals):
            return _joined("OR", [reaches(goal, scope, parameters) for goal in goals], "0")
        case Leaf():
            special = None if scope.leaf is None else scope.leaf(filter_)
            return _comparison(filter_, scope, parameters) if special is None else special


def _joined(word: str, parts: list[str], nothing: str) -> str:
    return f"({f' {word} '.join(parts)})" if parts else nothing


def _comparison(leaf: Leaf, scope: Scope, parameters: Parameters) -> str:
    leaf = _by_country_code(leaf)
    positive = leaf.operator.positive
    is_exact = positive is Operator.IS and leaf.is_case_sensitive
    if is_exact and leaf.values and _is_stored_by_name(leaf.dimension):
        # What is read is not made of millions of values to be compared: half the time of a filtered list.
        stored = parameters.texts(leaf.dimension.stored(leaf.values))
        found = f"{scope.visit(leaf.dimension.column)} IN {stored}"
        return f"NOT {found}" if leaf.operator.is_negative else f"({found})"
    value = shown(leaf.dimension, scope, parameters)
    if positive is Operator.IS:
        if not leaf.values:
            found = "0"
        elif is_exact:
            found = f"{value} IN {parameters.texts(leaf.values)}"
        else:
            found = f"lowerUTF8({value}) IN arrayMap(v -> lowerUTF8(v), {parameters.texts(leaf.values)})"
    elif positive is Operator.CONTAINS:
        function = "position" if leaf.is_case_sensitive else "positionCaseInsensitiveUTF8"
        found = _joined("OR", [f"{function}({value}, {parameters.text(each)}) > 0" for each in leaf.values], "0")
    else:
        patterns = leaf.values if positive is Operator.MATCHES else [wildcard_regex(each) for each in leaf.values]
        found = _joined("OR", [f"match({value}, {parameters.text(each)})" for each in patterns], "0")
    return f"NOT {found}" if leaf.operator.is_negative else f"({found})"


def _is_stored_by_name(dimension: Dimension) -> bool:
    """Whether what is stored of a visit is read as it is, or by the dimension's own names."""
    return dimension.level is Level.VISIT and bool(dimension.column) and dimension.name != "visit:country_name"


def _by_country_code(leaf: Leaf) -> Leaf:
    """Countries have more names than the one that is shown."""
    if leaf.dimension.name != "visit:country_name" or leaf.operator.positive is not Operator.IS:
        return leaf
    names = country_names()
    return replace(leaf, values=tuple(names.get(COUNTRY_ALIASES.get(value, ""), value) for value in leaf.values))


def admitted(row: Scope, goals: Sequence[GoalRule], parameters: Parameters) -> str:
    """Whether a row is an event: a view, a custom event, or the report by which a visit reaches one of these goals."""
    assert row.event is not None
    scrolled = [reaches(goal, row, parameters) for goal in goals if goal.kind == "scroll"]
    return "(" + " OR ".join((f"{row.event('kind')} < 3", *scrolled)) + ")"


def reaches(goal: GoalRule, scope: Scope, parameters: Parameters) -> str:
    """Whether a row reaches a goal."""
    assert scope.event is not None
    if goal.kind == "event":
        return f"({scope.event('kind')} = 2 AND {goal.fits_sql(scope.event('event_name'), parameters)})"
    on_page = goal.fits_sql(scope.event("path"), parameters)
    if goal.kind == "page":
        return f"({scope.event('kind')} = 1 AND {on_page})"
    deep = f"{scope.event('scroll')} >= {parameters.number(goal.scroll_percent)}"
    assert scope.any_earlier is not None
    percent, path = parameters.number(goal.scroll_percent), scope.event("path")
    before = scope.any_earlier(lambda row: f"{row('scroll')} >= {percent} AND {row('path')} = {path}")
    return f"({deep} AND {on_page} AND NOT {before})"
