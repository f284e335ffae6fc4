"""Every metric: which sums it is made of, and what it says.

The store answers with sums of whole numbers, the *components*: those of closed and open days add up exactly. What a
reader sees is a component or a quotient of two, computed here from the merged sums, exactly, rounded half up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from fractions import Fraction


class Family(Enum):
    """Which rows a metric counts."""

    EVENTS = auto()
    """Views and custom events that match."""
    VISITS = auto()
    """Visits that match: of which an event matches."""
    PAGES = auto()
    """Pages of visits, with engaged time and scroll depth."""
    REVENUE = auto()
    """Matching events with revenue, of one currency."""
    VITALS = auto()
    """Page loads, and what the browser measured of them."""


class Kind(Enum):
    """What a value looks like in an answer."""

    WHOLE = "int"
    DECIMAL = "float"
    MONEY = "revenue"
    SHARES = "rating"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: `numerator`, or `numerator` * `factor` / (`denominator` * `divisor`) rounded to `digits`.

    Both are components. A quotient of nothing is 0, or null with `is_null_when_empty`.
    """

    name: str
    family: Family
    kind: Kind
    summary: str
    numerator: str
    denominator: str = ""
    factor: int = 1
    divisor: int = 1
    digits: int = 0
    is_null_when_empty: bool = False

    @property
    def components(self) -> tuple[str, ...]:
        """The sums it is made of."""
        return (self.numerator, self.denominator) if self.denominator else (self.numerator,)

    @property
    def order_sql(self) -> str:
        """SQL over the merged components that sorts as the value does."""
        if not self.denominator:
            return self.numerator
        empty = "NULL" if self.is_null_when_empty else "0"
        return f"if({self.denominator} = 0, {empty}, {self.numerator} / {self.denominator})"

    def value(self, sums: Mapping[str, int]) -> int | float | None:
        """What a reader sees."""
        top = sums[self.numerator]
        if not self.denominator:
            return top
        bottom = sums[self.denominator]
        if not bottom:
            return None if self.is_null_when_empty else 0
        exact = rounded(Fraction(top * self.factor, bottom * self.divisor), self.digits)
        return exact if self.digits else int(exact)


def rounded(quotient: Fraction, digits: int) -> float:
    """An exact quotient, half up."""
    power = 10**digits
    scaled = quotient * power
    return float((2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator) / power)


EVENTS, VISITS, PAGES, REVENUE = Family.EVENTS, Family.VISITS, Family.PAGES, Family.REVENUE
WHOLE, DECIMAL, MONEY = Kind.WHOLE, Kind.DECIMAL, Kind.MONEY

_TABLE = (
    Metric("visitors", EVENTS, WHOLE, "distinct visitors of each day, added up over days", "visitors"),
    Metric("visits", VISITS, WHOLE, "visits", "visits"),
    Metric("pageviews", EVENTS, WHOLE, "page views", "pageviews"),
    Metric("events", EVENTS, WHOLE, "page views and custom events; with a goal its conversions", "events"),
    Metric("views_per_visit", VISITS, DECIMAL, "page views / visits", "visit_views", "session_visits", digits=2),
    Metric(
        "bounce_rate",
        VISITS,
        WHOLE,
        "percent of visits with under two views, no interactive event, under 10 s engaged",
        "bounces",
        "session_visits",
        factor=100,
    ),
    Metric(
        "visit_duration", VISITS, WHOLE, "mean engaged seconds of a visit", "engaged_ms", "session_visits", divisor=1000
    ),
    Metric(
        "time_on_page",
        PAGES,
        WHOLE,
        "mean engaged seconds on a page, per visit that viewed it",
        "page_engaged_ms",
        "page_visits",
        divisor=1000,
        is_null_when_empty=True,
    ),
    Metric(
        "scroll_depth",
        PAGES,
        WHOLE,
        "mean of the deepest scroll of each visit on a page, in percent",
        "scroll_percent",
        "scrolled_pages",
        is_null_when_empty=True,
    ),
    Metric(
        "percentage",
        EVENTS,
        DECIMAL,
        "percent of the range's visitors",
        "visitors",
        "total_visitors",
        factor=100,
        digits=1,
    ),
    Metric(
        "conversion_rate",
        EVENTS,
        DECIMAL,
        "percent of the range's visitors who reached the goal",
        "visitors",
        "total_visitors",
        factor=100,
        digits=2,
    ),
    Metric(
        "group_conversion_rate",
        EVENTS,
        DECIMAL,
        "percent of the group's visitors who reached the goal",
        "visitors",
        "group_visitors",
        factor=100,
        digits=2,
    ),
    Metric(
        "exit_rate",
        VISITS,
        DECIMAL,
        "percent of a page's views that ended a visit",
        "visits",
        "group_pageviews",
        factor=100,
        digits=1,
        is_null_when_empty=True,
    ),
    Metric("total_revenue", REVENUE, MONEY, "revenue of the goal", "revenue_micros"),
    Metric("average_revenue", REVENUE, MONEY, "mean revenue of a conversion", "revenue_micros", "revenue_events"),
)

METRICS: Mapping[str, Metric] = {each.name: each for each in _TABLE}
"""Every metric but those of vitals."""

SESSION_METRICS = frozenset(("bounce_rate", "views_per_visit", "visit_duration"))
"""What is a fact about whole visits, and therefore cannot be grouped by facts about single events."""

PAGE_METRICS = frozenset(("time_on_page", "scroll_depth"))
GOAL_METRICS = frozenset(("conversion_rate", "group_conversion_rate"))
REVENUE_METRICS = frozenset(("total_revenue", "average_revenue"))


@dataclass(frozen=True, slots=True)
class Vital:
    """Something that the browser measures of a page load. `key` is its name in `events.metrics`.

    `good` and `poor` are the bounds of its rating: at most `good` is good, more than `poor` is poor. None: unrated.
    """

    name: str
    key: str
    summary: str
    good: float | None = None
    poor: float | None = None


# The bounds are those of web.dev/articles/vitals, for the value as it is, not as it is shown.
VITALS: tuple[Vital, ...] = (
    Vital("lcp", "lcp_ms", "Largest Contentful Paint", 2_500, 4_000),
    Vital("inp", "inp_ms", "Interaction to Next Paint", 200, 500),
    Vital("cls", "cls", "Cumulative Layout Shift", 0.1, 0.25),
    Vital("fcp", "fcp_ms", "First Contentful Paint", 1_800, 3_000),
    Vital("ttfb", "ttfb_ms", "Time to First Byte", 800, 1_800),
    Vital("dns", "dns_ms", "name lookup"),
    Vital("connect", "connect_ms", "TCP connect"),
    Vital("tls", "tls_ms", "TLS handshake"),
    Vital("download", "download_ms", "download of the document"),
    Vital("dom_interactive", "dom_interactive_ms", "until the document was parsed"),
    Vital("dom_content_loaded", "dom_content_loaded_ms", "until DOMContentLoaded"),
    Vital("load", "load_ms", "until the load event"),
    Vital("transfer", "transfer_bytes", "bytes over the network"),
)

_VITALS = {name: vital for vital in VITALS for name in (vital.name, vital.key)}


class Figure(Enum):
    """What is asked about a vital."""

    PERCENTILE = "p"
    SAMPLES = "samples"
    RATING = "rating"


@dataclass(frozen=True, slots=True)
class VitalMetric:
    """A figure of one vital: a percentile (`percent` 1 to 99), the number of loads, or the shares of its rating."""

    name: str
    vital: Vital
    figure: Figure
    percent: int = 0

    @property
    def family(self) -> Family:
        """Always vitals."""
        return Family.VITALS


AnyMetric = Metric | VitalMetric

_VITAL_NAME = re.compile(r"(?:p([1-9][0-9]?)|(samples|rating))_([a-z_]+)")


def find_metric(name: str) -> AnyMetric | None:
    """The metric of this name: `visitors`, `p75_lcp_ms`, `samples_ttfb_ms`, `rating_cls`."""
    known = METRICS.get(name)
    if known is not None:
        return known
    match = _VITAL_NAME.fullmatch(name)
    if match is None or match[3] not in _VITALS:
        return None
    vital = _VITALS[match[3]]
    if match[1]:
        return VitalMetric(name, vital, Figure.PERCENTILE, int(match[1]))
    figure = Figure(match[2])
    return None if figure is Figure.RATING and vital.good is None else VitalMetric(name, vital, figure)


def vital_metric_forms() -> tuple[str, ...]:
    """How the names of vitals' metrics are made, for texts that say what is allowed."""
    keys = "|".join(vital.key for vital in VITALS)
    rated = "|".join(vital.name for vital in VITALS if vital.good is not None)
    return (f"p1..p99_({keys})", f"samples_({keys})", f"rating_({rated})")
