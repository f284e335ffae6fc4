"""Random traffic of a site: raw events as dictionaries, with strategies for hypothesis, and how they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from clickhouse_driver import Client
from hypothesis import strategies as st

from server.clickhouse_url import ClickHouseAddress
from server.queries.goals import GoalRule
from server.queries.periods import HOUR_MS, SiteCalendar

Event = dict[str, Any]

# Zone → the days on which its clocks change, or whose length is odd.
ZONES: dict[str, tuple[date, ...]] = {
    "Asia/Kathmandu": (date(2026, 3, 10),),
    "Pacific/Chatham": (date(2026, 4, 5), date(2026, 9, 27)),
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
}

# Short lists meet often; some values are awkward in SQL.
PATHS = ("/", "/blog/a", "/blog/b", '/it\'s \\ "odd"\n?')
NAMES = ("Signup", "Order", "Order ß'\\")
SOURCES = ("", "Google", "O'Reilly")
COUNTRIES = ("", "EE", "NP")
BROWSERS = ("Firefox", "Chrome")
VITALS = {"lcp_ms": (0.0, 900.0, 2500.0, 2600.5, 4100.0), "cls": (0.0, 0.05, 0.1, 0.3)}

GOALS = (
    GoalRule(1, "Signup", "event", "Signup"),
    GoalRule(2, "Any order", "event", "Order*", currency="EUR"),
    GoalRule(3, "Read the blog", "page", "/blog/**"),
    GoalRule(4, "Scrolled a", "scroll", "/blog/a", scroll_percent=50),
    GoalRule(5, "Dollar order", "event", "Order", currency="USD"),
)

_EMPTY: Event = {
    "time_ms": 0,
    "kind": "pageview",
    "visitor_id": 0,
    "load_id": 0,
    "event_name": "",
    "hostname": "a.test",
    "path": "/",
    "referrer_source": "",
    "referrer": "",
    "channel": "direct",
    "utm_source": "",
    "utm_medium": "",
    "utm_campaign": "",
    "utm_term": "",
    "utm_content": "",
    "click_id": "",
    "country": "",
    "language": "",
    "browser": "Firefox",
    "browser_version": "",
    "os": "",
    "os_version": "",
    "device": "desktop",
    "screen_width_px": 0,
    "engaged_ms": 0,
    "scroll_depth_percent": 255,
    "interactive": 0,
    "sequence": 0,
    "revenue_micros": 0,
    "revenue_currency": "",
    "props": {},
    "metrics": {},
    "sample_weight": 1,
}


def event(**fields: Any) -> Event:
    """An event with these fields; a view of `/` otherwise."""
    unknown = fields.keys() - _EMPTY.keys()
    assert not unknown, unknown
    return {**_EMPTY, "props": {}, "metrics": {}, **fields}


@st.composite
def traffic(draw: st.DrawFn, calendar: SiteCalendar, days: Sequence[date], most: int = 24) -> list[Event]:
    """Events of a few visitors on these days, and just beside them."""
    starts = [calendar.start_ms(day) for day in days]
    end_ms = calendar.start_ms(date.fromordinal(days[-1].toordinal() + 1))
    near = st.one_of(
        st.sampled_from([*starts, end_ms]).flatmap(lambda at: st.integers(at - 40 * 60_000, at + 40 * 60_000)),
        st.integers(starts[0], end_ms - 1),
    )
    events: list[Event] = []
    for number in range(draw(st.integers(1, 5))):
        visitor = draw(st.integers(1, 3))
        at_ms = draw(near)
        weight = draw(st.sampled_from((1, 1, 3)))
        facts = {
            "referrer_source": draw(st.sampled_from(SOURCES)),
            "country": draw(st.sampled_from(COUNTRIES)),
            "browser": draw(st.sampled_from(BROWSERS)),
            "channel": draw(st.sampled_from(("direct", "organic_search"))),
            "device": draw(st.sampled_from(("desktop", "mobile", "unknown"))),
            "screen_width_px": draw(st.sampled_from((0, 400, 2000))),
            "utm_campaign": draw(st.sampled_from(("", "spring"))),
        }
        for _ in range(draw(st.integers(1, most // 4))):
            # 30 minutes to the millisecond is the border between two visits.
            at_ms += draw(st.sampled_from((0, 5_000, 20 * 60_000, 30 * 60_000, 30 * 60_000 + 1, 45 * 60_000)))
            events.append(draw(_one(visitor, at_ms, len(events) + 1, weight, facts)))
        if draw(st.booleans()):
            events += draw(_vitals(visitor, at_ms, 1_000 + number, weight, facts))
    return events


@st.composite
def _one(draw: st.DrawFn, visitor: int, at_ms: int, load: int, weight: int, facts: Event) -> Event:
    kind = draw(st.sampled_from(("pageview", "pageview", "custom", "engagement")))
    fields: Event = {
        **facts,
        "time_ms": at_ms,
        "kind": kind,
        "visitor_id": visitor,
        "load_id": load,
        "path": draw(st.sampled_from(PATHS)),
        "hostname": draw(st.sampled_from(("a.test", "b.test"))),
        "sample_weight": weight,
    }
    if kind == "custom":
        fields["event_name"] = draw(st.sampled_from(NAMES))
        fields["interactive"] = draw(st.integers(0, 1))
        fields["revenue_currency"] = draw(st.sampled_from(("", "EUR", "USD")))
        fields["revenue_micros"] = 1_500_000 * draw(st.integers(-1, 4)) if fields["revenue_currency"] else 0
        fields["props"] = draw(st.sampled_from(({}, {"plan": "pro"}, {"plan": "it's\\"}, {"other": "x"})))
    if kind == "engagement":
        fields["engaged_ms"] = draw(st.sampled_from((0, 4_000, 9_999, 10_000)))
        fields["scroll_depth_percent"] = draw(st.sampled_from((0, 40, 50, 100, 255)))
    return event(**fields)


@st.composite
def _vitals(draw: st.DrawFn, visitor: int, at_ms: int, load: int, weight: int, facts: Event) -> list[Event]:
    """Reports of one page load, each later one with newer values."""
    path = draw(st.sampled_from(PATHS))
    found = []
    for sequence in range(draw(st.integers(1, 3))):
        metrics = {name: draw(st.sampled_from(values)) for name, values in VITALS.items() if draw(st.booleans())}
        if metrics:
            found.append(
                event(
                    **facts,
                    time_ms=at_ms + sequence,
                    kind="vitals",
                    visitor_id=visitor,
                    load_id=load,
                    path=path,
                    sequence=sequence,
                    metrics=metrics,
                    sample_weight=weight,
                )
            )
    return found


def store(address: ClickHouseAddress, site_id: int, events: Sequence[Event]) -> None:
    """Insert the events of a site."""
    host, port = address.hosts[0]
    with Client(host=host, port=port, database=address.database, settings={"async_insert": 0}) as client:
        store_with(client, site_id, events)


def store_with(client: Client, site_id: int, events: Sequence[Event]) -> None:
    """Insert the events of a site over an open connection."""
    if not events:
        return
    rows = [
        {
            **{name: value for name, value in each.items() if name != "time_ms"},
            "site_id": site_id,
            "time": datetime.fromtimestamp(each["time_ms"] / 1000, UTC),
            "hour": datetime.fromtimestamp(each["time_ms"] // HOUR_MS * 3600, UTC),
        }
        for each in events
    ]
    client.execute(f"INSERT INTO events ({', '.join(rows[0])}) VALUES", rows)
