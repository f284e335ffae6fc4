"""Visits of open days, and of closed ones where single events matter: stitched from `events` as they are read.

The SQL (`stitched_visits.sql`) makes a relation `visits`: the totals of each visit, and its rows as an array of tuples.
`Stitching` knows where each column stands in these tuples: the fixed ones first, then what the query needs besides, so
that nothing is read that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from server.queries.conditions import Scope, condition
from server.queries.dimensions import VISIT_COLUMNS, Level
from server.queries.model import Either, Every, Filter, Leaf
from server.queries.parameters import Parameters
from server.queries.periods import HOUR_MS, SiteCalendar, day_starts, every_day
from server.queries.statements import fill, sql_text

_FIXED = {
    "ms": "toUnixTimestamp64Milli(time)",
    "kind": "toInt8(kind)",
    "weight": "sample_weight",
}

RANK_BITS = 26
"""So many bits of their load and page are the order of a visitor's events of the same millisecond and kind. Any order
will do, as long as it is the same wherever visits are stitched."""
RANK = f"bitAnd(load_id + cityHash64(path), {2**RANK_BITS - 1})"

_OPTIONAL = {
    "path": "path",
    "engaged_ms": "if(kind = 'engagement', engaged_ms, 0)",
    "interactive": "interactive",
    "scroll": "if(kind = 'engagement' AND scroll_depth_percent <= 100, toInt16(scroll_depth_percent), -1)",
    "event_name": "if(kind = 'pageview', 'pageview', toString(event_name))",
    "hostname": "toString(hostname)",
    "revenue_micros": "revenue_micros",
    "revenue_currency": "toString(revenue_currency)",
    "rank": RANK,
}

# A screen's width in classes, as the tracker's users know them: phones, tablets, laptops, everything wider.
SCREEN_CLASS = (
    "multiIf(screen_width_px = 0, '', screen_width_px < 576, 'Mobile', screen_width_px < 992, 'Tablet', "
    "screen_width_px < 1440, 'Laptop', 'Desktop')"
)

_OF_VISITS = {
    **{column: f"toString({column})" for column in VISIT_COLUMNS},
    "referrer": "referrer",
    "screen_class": SCREEN_CLASS,
    "visit_hostname": "toString(hostname)",
}
ORDER = ("ms", "kind", "rank")
"""The order of a visitor's events of a day."""
_WEIGHED = {
    "weighed_views": "toInt64(arraySum(r -> if(r.{kind} = 1, r.{weight}, 0), rows))",
    "weighed_events": "toInt64(arraySum(r -> if(r.{kind} < 3, r.{weight}, 0), rows))",
    "most_weight": "toInt64(arrayMax(r -> if(r.{kind} < 3, r.{weight}, 0), rows))",
}
_PAGES_OF_VISITS = ("entry_page", "exit_page")


@dataclass(frozen=True, slots=True)
class Returned:
    """Only those visitors of whom there is anything from `from_ms` on, and before `until_ms` (0: the end of the days).

    `is_news`: of each of them there is what is known now and, as something to take away (`sign` -1), what was known
    before `from_ms`. One reading of all events finds both.
    """

    from_ms: int
    until_ms: int = 0
    is_news: bool = False

    def sql(self, parameters: Parameters, site_id: int, until_ms: int) -> str:
        """The condition on `events`, whose days end before `until_ms`."""
        until_ms = self.until_ms or until_ms
        from_time, until_time = (
            f"fromUnixTimestamp64Milli({parameters.number(ms)})" for ms in (self.from_ms, until_ms)
        )
        return _visitors_of(f"time >= {from_time} AND time < {until_time}", self.from_ms, until_ms, site_id, parameters)


@dataclass
class Stitching:
    """One statement's `visits`. Ask it for scopes first, then for the SQL: it has what the scopes were asked for."""

    parameters: Parameters
    site_id: int
    calendar: SiteCalendar
    days: Sequence[date]
    keeps_strays: bool = False
    """Whether engagement that belongs to no visit is there as well, as visits of the number 0."""
    returned: Returned | None = None
    """Of an open day of which a part is condensed: whose rows are read."""
    filters: Sequence[Filter] = ()
    """What holds for every visit that counts, or for one of its events: where single events can tell so, nothing is
    stitched of visitors without one that does."""
    _extra: dict[str, str] = field(default_factory=dict)
    _attributes: list[str] = field(default_factory=list)
    _measures: dict[str, str] = field(default_factory=dict)

    def column(self, name: str) -> int:
        """Where a column of an event stands in a row."""
        names = list(_FIXED)
        if name in names:
            return names.index(name) + 1
        if name not in self._extra:
            if name.startswith("props "):
                self._extra[name] = f"props[{self.parameters.text(name.removeprefix('props '))}]"
            else:
                self._extra[name] = _OPTIONAL.get(name) or _OF_VISITS[name]
        return len(names) + list(self._extra).index(name) + 1

    def attribute(self, name: str) -> str:
        """A visit's attribute, as a column of `visits`."""
        if name not in self._attributes:
            self._attributes.append(name)
            self.column("path" if name in _PAGES_OF_VISITS else name)
        return f"visits.{name}"

    def measure(self, name: str) -> str:
        """A fact of a visit's rows, as a column of `visits`: `views`, `engaged_ms`, `bounced`, or of `_WEIGHED`."""
        if name not in self._measures:
            kind = self.column("kind")
            if name == "views":
                text = f"toInt64(arrayCount(r -> r.{kind} = 1, rows))"
            elif name in _WEIGHED:
                text = _WEIGHED[name].format(kind=kind, weight=self.column("weight"))
            elif name == "engaged_ms":
                text = f"toInt64(arraySum(r -> r.{self.column('engaged_ms')}, rows))"
            else:
                views, engaged_ms = self.measure("views"), self.measure("engaged_ms")
                acted = f"arrayExists(r -> r.{kind} = 2 AND r.{self.column('interactive')} = 1, rows)"
                text = f"{views} < 2 AND {engaged_ms} < 10000 AND NOT {acted}"
            self._measures[name] = text
        return f"visit_{name}"

    def scope(self, row: str = "") -> Scope:
        """Of a visit, or of a row of it: `row` is its name in a lambda."""

        def of_row(name: str) -> str:
            return f"{row}.{self.column(name)}"

        def any_event(condition: Callable[[Scope], str]) -> str:
            # A letter more than the row that it stands in: lambdas may stand in one another.
            inner = f"{row or 'r'}o"
            return f"arrayExists({inner} -> {condition(self.scope(inner))}, visits.rows)"

        def any_earlier(condition: Callable[[Callable[[str], str]], str]) -> str:
            inner = f"{row}e"
            order = ", ".join(str(self.column(name)) for name in ORDER)
            keys = [f"({', '.join(f'{each}.{place}' for place in order.split(', '))})" for each in (inner, row)]
            text = condition(lambda name: f"{inner}.{self.column(name)}")
            return f"arrayExists({inner} -> {keys[0]} < {keys[1]} AND {text}, visits.rows)"

        return Scope(self.attribute, of_row if row else None, any_event, any_earlier)

    @property
    def is_news(self) -> bool:
        """Whether visits have a `sign`."""
        return self.returned is not None and self.returned.is_news

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of `visits` that tell people apart."""
        return ("day_ms", "visitor_id", *(("sign",) if self.is_news else ()))

    def _known(self) -> str:
        """What visits are made of: everybody's rows of a day, for news also those of before."""
        if not self.is_news:
            return "people"
        assert self.returned is not None
        cut_ms, ms = self.parameters.number(self.returned.from_ms), self.column("ms")
        return fill(sql_text("stitched_news"), cut_ms=cut_ms, ms=str(ms)).strip()

    def sql(self) -> str:
        """The common table expressions up to `visits`."""
        starts_ms = day_starts(self.calendar, every_day(self.days))
        until_ms = self.calendar.start_ms(self.days[-1].fromordinal(self.days[-1].toordinal() + 1))
        # Before anything else, or the times of the whole day are compared first: twice the work, measured.
        these_visitors = self._these_visitors(starts_ms[0], until_ms)
        columns = ""
        for name in self._attributes:
            if name == "entry_page":
                value = f"arrayFirst(r -> r.{self.column('kind')} = 1, rows).{self.column('path')}"
            elif name == "exit_page":
                value = f"arrayLast(r -> r.{self.column('kind')} = 1, rows).{self.column('path')}"
            else:
                value = f"rows[1].{self.column(name)}"
            columns += f", {value} AS {name}"
        for name, value in self._measures.items():
            columns += f", {value} AS visit_{name}"
        # Time and kind in one number. What is equal then is told apart only where it matters which event is the first.
        order = f"r.{self.column('ms')} * 4 + r.{self.column('kind')}"
        if self._attributes or "rank" in self._extra:
            order = f"({order}, r.{self.column('rank')})"
        place = {name: str(self.column(name)) for name in _FIXED}
        kept = "arrayDistinct(numbers)" if self.keeps_strays else "arrayFilter(n -> n > 0, arrayDistinct(numbers))"
        return fill(
            sql_text("stitched_visits"),
            **place,
            fields=", ".join((*_FIXED.values(), *self._extra.values())),
            order=order,
            columns=columns,
            keys=", ".join(self.keys),
            known=self._known(),
            numbers_kept=kept,
            day_starts=self.parameters.numbers(starts_ms),
            these_days=these_days(self.calendar, self.days, "time", self.parameters),
            these_visitors=these_visitors,
            site_id=self.parameters.bind(self.site_id, "UInt32"),
            from_ms=self.parameters.number(starts_ms[0]),
            until_ms=self.parameters.number(until_ms),
            **_hours(starts_ms[0], until_ms, self.parameters),
        )

    def _these_visitors(self, from_ms: int, until_ms: int) -> str:
        """`PREWHERE …`, or nothing when everybody's events are read."""
        if self.returned is not None:
            # Few people: to look for those that fulfil something would take longer than to stitch them all, measured.
            return "PREWHERE " + self.returned.sql(self.parameters, self.site_id, until_ms)
        scope = Scope(lambda column: _OF_VISITS[column], lambda column: _OPTIONAL[column])
        chosen = []
        for level in (Level.VISIT, Level.EVENT):
            if asked := [each for each in self.filters if _levels_of(each) == {level}]:
                fulfils = " AND ".join(condition(each, scope, self.parameters) for each in asked)
                chosen.append(_visitors_of(fulfils, from_ms, until_ms, self.site_id, self.parameters))
        return f"PREWHERE {' AND '.join(chosen)}" if chosen else ""


def _visitors_of(fulfils: str, from_ms: int, until_ms: int, site_id: int, parameters: Parameters) -> str:
    """The condition on `events` that there is one of the visitor, in the hours of this time, that fulfils something."""
    site = parameters.bind(site_id, "UInt32")
    hours = _hours(from_ms, until_ms, parameters)
    return fill(sql_text("visitors_of"), fulfils=fulfils, site_id=site, **hours).strip()


def _hours(from_ms: int, until_ms: int, parameters: Parameters) -> dict[str, str]:
    """The hours that a time touches: `events` are sorted by them."""
    return {
        "from_hour_s": parameters.number(from_ms // HOUR_MS * 3600),
        "until_hour_s": parameters.number(-(-until_ms // HOUR_MS) * 3600),
    }


def _levels_of(filter_: Filter) -> set[Level | None]:
    """What the comparisons of a filter are about: of a visit what it has from its first event, of an event where it
    happened. All of one level are fulfilled by a single event, or not at all. None: one that does not tell, or that
    denies something, which leaves hardly anybody out.
    """
    match filter_:
        case Every(filters) | Either(filters):
            return set().union(*map(_levels_of, filters))
        case Leaf(operator, dimension) if not operator.is_negative:
            if dimension.level is Level.VISIT and dimension.column and dimension.column not in _PAGES_OF_VISITS:
                return {Level.VISIT}
            if dimension.level is Level.EVENT and dimension.column in ("path", "hostname"):
                return {Level.EVENT}
    return {None}


def these_days(calendar: SiteCalendar, days: Sequence[date], time: str, parameters: Parameters) -> str:
    """Whether an instant is on one of these days; `1` when there are no gaps between them."""
    if len(every_day(days)) == len(days):
        return "1"
    starts = parameters.numbers(day_starts(calendar, every_day(days)))
    wanted = parameters.numbers([calendar.start_ms(day) for day in days])
    return f"roundDown(toUnixTimestamp64Milli({time}), {starts}) IN {wanted}"
