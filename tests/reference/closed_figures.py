"""The naive twin of closing: what the closed tables must say of a site's days, counted event by event."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from server.queries.periods import Interval, SiteCalendar, TimeRange, buckets
from server.queries.vital_buckets import bucket_of
from tests.reference.answers import KINDS, Event, Visit, local_day, screen_class, scroll, stitch

Figures = dict[tuple[date, str, str, str], Counter[str]]
"""(day, dimension, value, currency) → component → number; what is 0 may be missing."""

OTHER = "(other)"
OF_FIRST_EVENT = (
    "browser",
    "browser_version",
    "os",
    "os_version",
    "device",
    "channel",
    "referrer_source",
    "referrer",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "click_id",
    "country",
    "language",
)
OF_LOAD = (
    "browser",
    "browser_version",
    "os",
    "os_version",
    "device",
    "country",
    "language",
    "hostname",
)


def day_of(event: Event, calendar: SiteCalendar) -> date:
    """The site-local day of an event."""
    return local_day(calendar, event["time_ms"])


def has_one_weight(events: Iterable[Event]) -> bool:
    """Whether these events of a day may be closed at all."""
    return len({event["sample_weight"] for event in events}) < 2


def daily_figures(events: Sequence[Event], calendar: SiteCalendar, least_events: int, most_values: int) -> Figures:
    """All of `daily`."""
    found: Figures = defaultdict(Counter)
    people: dict[tuple[date, str, str, str], set[int]] = defaultdict(set)
    weights: dict[date, int] = {}
    for visit in stitch(events, calendar):
        weights[visit.day] = visit.weight
        for dimension, value, currency, figures, is_present in _facts(visit):
            key = (visit.day, dimension, value, currency)
            found[key].update(figures)
            if is_present:
                people[key].add(visit.visitor_id)
    for key, visitors in people.items():
        found[key]["visitors"] = len(visitors)
    counted = Counter(day_of(event, calendar) for event in events if KINDS[event["kind"]] < 3)
    kept = {key: sums for key, sums in found.items() if key[1] == "total" or counted[key[0]] >= least_events}
    weighed = {
        key: Counter({name: number * weights[key[0]] for name, number in sums.items()}) for key, sums in kept.items()
    }
    return _with_others(weighed, most_values)


def _with_others(figures: Figures, most_values: int) -> Figures:
    of_dimension: dict[tuple[date, str], list[tuple[date, str, str, str]]] = defaultdict(list)
    for key in figures:
        of_dimension[key[:2]].append(key)
    found: Figures = defaultdict(Counter)
    for keys in of_dimension.values():
        ranked = sorted(
            keys, key=lambda key: (-figures[key]["visitors"], -figures[key]["pageviews"], key[2].encode(), key[3])
        )
        for place, key in enumerate(ranked):
            day, dimension, value, currency = key
            found[day, dimension, value if place < most_values else OTHER, currency].update(figures[key])
    return found


def _facts(visit: Visit) -> Iterable[tuple[str, str, str, Counter[str], bool]]:
    """(dimension, value, currency, figures without a weight, whether the visitor counts)."""
    pages = _pages(visit)
    of_pages: Counter[str] = Counter()
    for figures in pages.values():
        of_pages.update(
            {name: number for name, number in figures.items() if name not in ("pageviews", "events", "visits")}
        )
    if visit.number == 0:
        yield "total", "", "", of_pages, False
        for path, figures in pages.items():
            yield "path", path, "", figures, False
        return
    custom = [event for event in visit.events if event["kind"] == "custom"]
    views = len(visit.views)
    whole = Counter(
        visits=1,
        pageviews=views,
        events=views + len(custom),
        visit_views=views,
        bounces=int(visit.is_bounce),
        engaged_ms=visit.engaged_ms,
    )
    yield "total", "", "", whole + of_pages, True
    for dimension, value in attributes(visit).items():
        yield dimension, value, "", whole, True
    for path, figures in pages.items():
        yield "path", path, "", figures, figures["events"] > 0
    if views:
        yield "event_name", "pageview", "", Counter(visits=1, pageviews=views, events=views), True
    for name, times in Counter(event["event_name"] for event in custom).items():
        yield "event_name", name, "", Counter(visits=1, events=times), True
    for event in custom:
        if event["revenue_currency"]:
            money = Counter(revenue_micros=event["revenue_micros"], revenue_events=1)
            yield "revenue", event["event_name"], event["revenue_currency"], money, False


def attributes(visit: Visit) -> dict[str, str]:
    """What a visit is grouped by."""
    first = visit.events[0]
    return {
        **{name: str(first[name]) for name in OF_FIRST_EVENT},
        "screen_class": screen_class(first["screen_width_px"]),
        "visit_hostname": str(first["hostname"]),
        "entry_page": str(visit.views[0]["path"]) if visit.views else "",
        "exit_page": str(visit.views[-1]["path"]) if visit.views else "",
    }


def _pages(visit: Visit) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for path in dict.fromkeys(event["path"] for event in visit.events):
        here = [event for event in visit.events if event["path"] == path]
        views = sum(event["kind"] == "pageview" for event in here)
        counted = sum(KINDS[event["kind"]] < 3 for event in here)
        deepest = max(scroll(event) for event in here) if visit.number else -1
        found[path] = Counter(
            visits=int(counted > 0),
            pageviews=views,
            events=counted,
            page_engaged_ms=sum(event["engaged_ms"] for event in here if event["kind"] == "engagement"),
            page_visits=int(views > 0),
            scroll_percent=max(deepest, 0),
            scrolled_pages=int(deepest >= 0),
        )
    return found


def hourly_figures(
    events: Sequence[Event], calendar: SiteCalendar, least_events: int
) -> dict[tuple[date, int], Counter[str]]:
    """All of `hourly`: (day, when the hour begins) → component → number."""
    counted = Counter(day_of(event, calendar) for event in events if KINDS[event["kind"]] < 3)
    found: dict[tuple[date, int], Counter[str]] = defaultdict(Counter)
    people: dict[tuple[date, int], set[int]] = defaultdict(set)
    weights: dict[date, int] = {}
    for event in events:
        day = day_of(event, calendar)
        if KINDS[event["kind"]] < 3:
            key = (day, _hour(calendar, day, event["time_ms"]))
            found[key].update(pageviews=int(event["kind"] == "pageview"), events=1)
            people[key].add(event["visitor_id"])
            weights[day] = event["sample_weight"]
    for visit in stitch(events, calendar):
        if visit.number:
            views = len(visit.views)
            found[visit.day, _hour(calendar, visit.day, visit.started_ms)].update(
                visits=1, visit_views=views, bounces=int(visit.is_bounce), engaged_ms=visit.engaged_ms
            )
    for key, visitors in people.items():
        found[key]["visitors"] = len(visitors)
    return {
        key: Counter({name: number * weights[key[0]] for name, number in sums.items()})
        for key, sums in found.items()
        if counted[key[0]] >= least_events
    }


def _hour(calendar: SiteCalendar, day: date, at_ms: int) -> int:
    starts = buckets(TimeRange.of_days(calendar, day, day), Interval.HOUR).starts_ms
    return max(start for start in starts if start <= at_ms)


def vital_rows(events: Sequence[Event], calendar: SiteCalendar, keys: Sequence[str]) -> Counter[tuple[Any, ...]]:
    """All of `vitals`, each row with how often it is there: (day, page, attributes, weight, last buckets)."""
    loads: dict[tuple[Any, ...], list[Event]] = defaultdict(list)
    for event in events:
        if KINDS[event["kind"]] > 3:
            own = (event["time_ms"], event["visitor_id"])
            loads[(day_of(event, calendar), event["load_id"] or own)].append(event)
    found: Counter[tuple[Any, ...]] = Counter()
    for (day, _), reports in loads.items():
        reports.sort(key=lambda event: (event["sequence"], event["time_ms"]))
        last = {name: value for report in reports for name, value in report["metrics"].items() if name in keys}
        if last:
            first = reports[0]
            known = (*(str(first[name]) for name in OF_LOAD), screen_class(first["screen_width_px"]))
            buckets_ = tuple(bucket_of(last[key]) + 1 if key in last else 0 for key in keys)
            found[day, first["path"], known, max(report["sample_weight"] for report in reports), buckets_] += 1
    return found
