"""CSV files of Google Analytics 4: reports and explorations with a column Date, one or several in a zip.

Each file has days and, often, one or two dimensions; what is in which file is up to whoever exports. The file with
days alone gives the day's totals. Without one they are added up from the first file that has sessions, which counts a
user of two countries twice; the report says so. Columns that say nothing to us (key events, revenue) are passed over.

Lines before the header (`# ---`, who exported what) and rows of totals are left out. Column names are the English ones;
Google writes them in the language of whoever exports, and a file in another one is told by its days
(`foreign_columns`).
Rates and averages are turned back into numbers of sessions; a visit that was not engaged is a bounce, as both mean.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from server.imports.channels import ChannelFinder
from server.imports.csv_rows import DELIMITERS, split_row
from server.imports.errors import ImportRefused
from server.imports.figure_files import (
    MAX_LINES_BEFORE_HEADER,
    FigureDays,
    FigureProblem,
    Header,
    Tell,
    count_of,
    day_of,
    header_of,
    number_of,
    read_rows,
)
from server.imports.figures import TOTAL, FigureTable
from server.imports.lines import Lines
from server.imports.members import Member
from server.imports.reading import done_before
from server.imports.report import ImportReport
from server.imports.their_names import browser_of, country_of, device_of, or_nothing, system_of
from server.queries.dimensions import CHANNEL_NAMES

DATE = "date"

VISITORS = ("active users", "total users", "users")
VISITS = ("sessions",)
VIEWS = ("views", "screen page views", "pageviews", "screen views")
EVENTS = ("event count",)
ENGAGED_VISITS = ("engaged sessions",)
BOUNCE_RATE = ("bounce rate",)
ENGAGEMENT_RATE = ("engagement rate",)
ENGAGED_S = ("user engagement",)
ENGAGED_S_PER_VISIT = ("average engagement time per session", "average session duration")

DIMENSIONS: Mapping[str, str] = {
    "session source": "referrer_source",
    "source": "referrer_source",
    "session source / medium": "source_medium",
    "source / medium": "source_medium",
    "session medium": "utm_medium",
    "session campaign": "utm_campaign",
    "campaign": "utm_campaign",
    "session manual term": "utm_term",
    "session manual ad content": "utm_content",
    "session default channel group": "channel",
    "session primary channel group (default channel group)": "channel",
    "default channel group": "channel",
    "page path": "path",
    "page path and screen class": "path",
    "page path + query string": "path",
    "landing page": "entry_page",
    "landing page + query string": "entry_page",
    "country": "country",
    "device category": "device",
    "browser": "browser",
    "operating system": "os",
    "event name": "event_name",
}

KNOWN = frozenset(
    (
        DATE,
        *VISITORS,
        *VISITS,
        *VIEWS,
        *EVENTS,
        *ENGAGED_VISITS,
        *BOUNCE_RATE,
        *ENGAGEMENT_RATE,
        *ENGAGED_S,
        *ENGAGED_S_PER_VISIT,
        *DIMENSIONS,
    )
)
_MEASURES = frozenset((*VISITORS, *VISITS, *VIEWS, *EVENTS))

# What Google sends by itself: views are counted as such, the others are no events of the site's.
_AUTOMATIC = frozenset(("page_view", "session_start", "first_visit", "user_engagement", "scroll"))

_CHANNELS = {shown.lower(): stored for stored, shown in CHANNEL_NAMES.items()} | {
    "unassigned": "direct",
    "ai assistant": "ai_assistant",
}

DAY_DIGITS = 8

_TOTAL_ROWS = ("", "grand total", "total", "totals")


def is_of_export(member: Member) -> bool:
    """Whether a file is one of Google's."""
    header = header_of(member, KNOWN, DATE)
    if header is None:
        return False
    return bool(frozenset(header.columns) & _MEASURES)


def foreign_columns(member: Member) -> Sequence[str]:
    """The names in the header of what looks like one of Google's in another language; none otherwise.

    A header has text in each column, and the row behind it has a day as Google writes it, eight digits, and a number.
    """
    with member.open() as stream:
        header: list[str] = []
        for line in Lines(stream):
            if line.number > MAX_LINES_BEFORE_HEADER or line.is_too_long:
                break
            if not line.text.strip() or line.text.startswith("#"):
                continue
            delimiter = max(DELIMITERS, key=line.text.count)
            values = [value.strip() for value in split_row(line.text, delimiter)[0]]
            if len(values) == len(header) > 1 and _has_day_and_number(values):
                return header
            header = values if all(values) and not any(value.isdecimal() for value in values) else []
    return []


def _has_day_and_number(values: Sequence[str]) -> bool:
    days = 0
    for value in values:
        with contextlib.suppress(FigureProblem):
            days += len(value) == DAY_DIGITS and bool(day_of(value))
    return days == 1 and any(value.isdecimal() and len(value) != DAY_DIGITS for value in values)


class GoogleAnalytics:
    """See the module."""

    def __init__(self, members: Sequence[Member], days: FigureDays, channels: ChannelFinder) -> None:
        self._members = members
        self._days = days
        self._channels = channels

    def read(self, table: FigureTable, report: ImportReport, tell: Tell) -> None:
        """Count all files. Raises `ImportRefused` when none has days, and what `tell` raises."""
        known = [(index, header_of(member, KNOWN, DATE)) for index, member in enumerate(self._members)]
        usable = [(index, header) for index, header in known if header and set(header.columns) & _MEASURES]
        if not usable:
            raise ImportRefused("no file has a column Date and one of Sessions, Views, Active users")
        totals = self._totals_file(usable, report)
        for index, header in known:
            member = self._members[index]
            if (index, header) not in usable or header is None:
                report.note_file(member.name, note="no figures of days: a column Date is needed")
                continue
            report.note_file(member.name, ", ".join(_dimensions(header)) or "days")
            before = done_before(self._members, index)

            def take(values: Mapping[str, str], header: Header = header, is_totals: bool = index == totals) -> str:
                return self._take(values, _dimensions(header), is_totals, table, report)

            def told(done_bytes: int, before: int = before) -> None:
                tell(before + done_bytes)

            read_rows(member, header, report, take, told)

    @staticmethod
    def _totals_file(usable: Sequence[tuple[int, Header]], report: ImportReport) -> int:
        alone = [index for index, header in usable if not _dimensions(header)]
        if alone:
            return alone[0]
        counted = [
            (index, header)
            for index, header in usable
            if "event name" not in header.columns and set(header.columns) & frozenset((*VISITS, *VISITORS))
        ]
        if not counted:
            raise ImportRefused(
                "no file has sessions or users: export a report with Date, Active users, Sessions and Views alone"
            )
        index, header = counted[0]
        report.note(
            f"No file has days alone, so the days' totals are added up from {', '.join(_dimensions(header))}: somebody "
            "who counts for two values is in them twice. A report of Date, Active users, Sessions and Views avoids it."
        )
        return index

    def _take(
        self,
        values: Mapping[str, str],
        dimensions: Sequence[str],
        is_totals: bool,
        table: FigureTable,
        report: ImportReport,
    ) -> str:
        if values[DATE].strip().lower() in _TOTAL_ROWS:
            return "rows of totals"
        day = day_of(values[DATE])
        counts = _counts(values)
        if reason := self._days.left_out(day):
            return reason
        report.saw_day(day)
        if is_totals:
            table.add(day, TOTAL, "", counts)
            viewed = {name: counts[name] for name in ("visitors", "visits", "pageviews")}
            table.add(day, "event_name", "pageview", {**viewed, "events": counts["pageviews"]})
        for column in dimensions:
            for dimension, value in self._values(DIMENSIONS[column], values[column]):
                if dimension == "event_name":
                    events = count_of(values, EVENTS[0])
                    table.add(day, dimension, value, {"visitors": counts["visitors"], "events": events})
                    table.add(day, TOTAL, "", {"events": events})
                elif dimension == "path":
                    of_page = {"page_visits": counts["visits"], "page_engaged_ms": counts["engaged_ms"]}
                    names = ("visitors", "visits", "pageviews", "events")
                    table.add(day, dimension, value, {**{name: counts[name] for name in names}, **of_page})
                else:
                    table.add(day, dimension, value, counts)
        return ""

    def _values(self, dimension: str, text: str) -> list[tuple[str, str]]:
        """(dimension, value) as they are stored."""
        given = or_nothing(text)
        match dimension:
            case "source_medium":
                source, _, medium = given.partition(" / ")
                source, medium = _source(source), or_nothing(medium)
                channel = self._channels.channel_of(source, "", "" if medium == "organic" else medium, "")
                tagged = "" if medium in ("organic", "referral") else medium
                return [("referrer_source", source), ("channel", channel), ("utm_medium", tagged)]
            case "referrer_source":
                return [(dimension, _source(given))]
            case "utm_medium":
                return [(dimension, "" if given in ("organic", "referral") else given)]
            case "utm_campaign":
                return [(dimension, "" if given in ("(direct)", "(organic)", "(referral)") else given)]
            case "channel":
                if given and given.lower() not in _CHANNELS:
                    raise FigureProblem(f"{given[:40]!r} is no default channel group")
                return [(dimension, _CHANNELS.get(given.lower(), "direct"))]
            case "path" | "entry_page":
                path = given.partition("?")[0]
                return [(dimension, path if path.startswith("/") or not path else f"/{path}")]
            case "country":
                return [(dimension, country_of(given))]
            case "device":
                return [(dimension, device_of(given) or "unknown")]
            case "browser":
                return [(dimension, browser_of(given))]
            case "os":
                system, version = system_of(given)
                return [(dimension, system), ("os_version", version)] if version else [(dimension, system)]
            case _:
                return [] if given in _AUTOMATIC else [(dimension, given)]


def _dimensions(header: Header) -> list[str]:
    return [column for column in header.columns if column in DIMENSIONS]


def _counts(values: Mapping[str, str]) -> dict[str, int]:
    visits = _first(values, VISITS)
    views = round(_first(values, VIEWS))
    if _has(values, ENGAGED_VISITS):
        bounces = visits - _first(values, ENGAGED_VISITS)
    elif _has(values, BOUNCE_RATE):
        bounces = visits * _share(_first(values, BOUNCE_RATE))
    elif _has(values, ENGAGEMENT_RATE):
        bounces = visits * (1 - _share(_first(values, ENGAGEMENT_RATE)))
    else:
        bounces = 0
    engaged_s = _first(values, ENGAGED_S) if _has(values, ENGAGED_S) else visits * _first(values, ENGAGED_S_PER_VISIT)
    return {
        "visitors": round(_first(values, VISITORS)),
        "visits": round(visits),
        "pageviews": views,
        "events": views,
        "visit_views": views,
        "bounces": max(0, round(bounces)),
        "engaged_ms": round(engaged_s * 1000),
    }


def _has(values: Mapping[str, str], columns: Sequence[str]) -> bool:
    return any(column in values for column in columns)


def _first(values: Mapping[str, str], columns: Sequence[str]) -> float:
    return next((number_of(values, column) for column in columns if column in values), 0.0)


def _share(rate: float) -> float:
    """Rates are exported as 0.42, by some reports as 42."""
    if rate > 100:
        raise FigureProblem(f"a rate is {rate:g}; 0 to 1 is taken, or 0 to 100")
    return rate if rate <= 1 else rate / 100


def _source(text: str) -> str:
    """`(direct)` is nobody; a known name is written as ours."""
    lowered = text.lower()
    return "" if lowered in ("(direct)", "direct") else _SOURCES.get(lowered, text)


_SOURCES = {
    "google": "Google",
    "bing": "Bing",
    "duckduckgo": "DuckDuckGo",
    "yahoo": "Yahoo!",
    "baidu": "Baidu",
    "ecosia.org": "Ecosia",
    "facebook.com": "Facebook",
    "m.facebook.com": "Facebook",
    "l.facebook.com": "Facebook",
    "instagram.com": "Instagram",
    "l.instagram.com": "Instagram",
    "linkedin.com": "LinkedIn",
    "t.co": "Twitter",
    "reddit.com": "Reddit",
    "youtube.com": "YouTube",
    "news.ycombinator.com": "Hacker News",
    "github.com": "GitHub",
    "chatgpt.com": "ChatGPT",
}
