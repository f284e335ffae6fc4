"""Plausible's CSV export: a zip of files `imported_….csv`, or one of them alone.

| file | counted as |
|---|---|
| `imported_visitors` | the day as a whole |
| `imported_sources` | source, channel, referrer, the five utm values |
| `imported_pages` | page: visitors, page views, time on it, scroll depth |
| `imported_entry_pages`, `imported_exit_pages` | the visits that began or ended there |
| `imported_locations` | country |
| `imported_devices`, `imported_browsers`, `imported_operating_systems` | device; browser; operating system; versions |
| `imported_custom_events` | custom events by name |

A file is known by its name or, renamed, by its columns. Values of several rows of a day (versions, cities) are added
up, so their visitors are at most a little more than there were. Plausible counts durations in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from server.imports.channels import ChannelFinder
from server.imports.errors import ImportRefused
from server.imports.figure_files import FigureDays, Header, Tell, count_of, day_of, header_of, read_rows
from server.imports.figures import TOTAL, FigureTable
from server.imports.members import Member
from server.imports.reading import done_before
from server.imports.report import ImportReport
from server.imports.their_names import browser_of, country_of, device_of, or_nothing, system_of

PREFIX = "imported_"
DATE = "date"

_VISITS = {"visitors": "visitors", "visits": "visits", "bounces": "bounces", "pageviews": "pageviews"}
_OF_VIEWS: Sequence[str] = ("visitors", "visits", "pageviews", "events")
_UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")


@dataclass(frozen=True)
class _Table:
    """A kind of file. `own`: the columns that only it has; `counts`: their columns and ours."""

    what: str
    own: frozenset[str]
    counts: Mapping[str, str] = field(default_factory=lambda: _VISITS)


TABLES: Mapping[str, _Table] = {
    "sources": _Table("sources", frozenset(("source",))),
    "pages": _Table(
        "pages", frozenset(("page",)), {"visitors": "visitors", "pageviews": "pageviews", "visits": "visits"}
    ),
    "entry_pages": _Table("entry pages", frozenset(("entry_page",)), {**_VISITS, "entrances": "visits"}),
    "exit_pages": _Table("exit pages", frozenset(("exit_page",)), {**_VISITS, "exits": "visits"}),
    "locations": _Table("countries", frozenset(("country",))),
    "devices": _Table("devices", frozenset(("device",))),
    "browsers": _Table("browsers", frozenset(("browser",))),
    "operating_systems": _Table("operating systems", frozenset(("operating_system",))),
    "custom_events": _Table(
        "custom events", frozenset(("name", "events")), {"visitors": "visitors", "events": "events"}
    ),
    "visitors": _Table("days", frozenset(("visitors", "pageviews", "visits"))),
}

COLUMNS = frozenset((DATE, "visit_duration", "referrer", "hostname", *_UTM, *_VISITS)).union(
    *(table.own for table in TABLES.values())
)


def is_of_export(member: Member) -> bool:
    """Whether a file is one of Plausible's."""
    header = header_of(member, COLUMNS, DATE) if member.name.lower().endswith(".csv") else None
    if header is None:
        return False
    return member.name.startswith(PREFIX) or (_table_of(member.name, header) is not None and header.lines == 1)


class Plausible:
    """See the module."""

    def __init__(self, members: Sequence[Member], days: FigureDays, channels: ChannelFinder) -> None:
        self._members = members
        self._days = days
        self._channels = channels

    def read(self, table: FigureTable, report: ImportReport, tell: Tell) -> None:
        """Count all files. Raises `ImportRefused` without `imported_visitors`, and what `tell` raises."""
        known = [(index, *self._known(member)) for index, member in enumerate(self._members)]
        if not any(kind == "visitors" for _, kind, _ in known):
            raise ImportRefused(
                "imported_visitors….csv is missing, which says how many visitors each day had: upload the whole zip "
                "as Plausible sent it"
            )
        for index, kind, header in known:
            member = self._members[index]
            if kind is None or header is None:
                report.note_file(member.name, note="not a file of Plausible's export")
                continue
            report.note_file(member.name, TABLES[kind].what)
            before = done_before(self._members, index)

            def take(values: Mapping[str, str], kind: str = kind) -> str:
                return self._take(kind, values, table, report)

            def told(done_bytes: int, before: int = before) -> None:
                tell(before + done_bytes)

            read_rows(member, header, report, take, told)

    @staticmethod
    def _known(member: Member) -> tuple[str | None, Header | None]:
        header = header_of(member, COLUMNS, DATE)
        return (None, None) if header is None else (_table_of(member.name, header), header)

    def _take(self, kind: str, values: Mapping[str, str], table: FigureTable, report: ImportReport) -> str:
        day = day_of(values[DATE])
        counts = {ours: count_of(values, theirs) for theirs, ours in TABLES[kind].counts.items() if theirs in values}
        engaged_ms = count_of(values, "visit_duration") * 1000
        of_pages = self._time_and_scroll(values) if kind == "pages" else {}
        if reason := self._days.left_out(day):
            return reason
        report.saw_day(day)
        if kind == "custom_events":
            table.add(day, TOTAL, "", {"events": counts["events"]})
            table.add(day, "event_name", values["name"], counts)
            return ""
        # Their views of a visit are views whose visit has the attribute, which is the same.
        counts["events"] = counts.get("pageviews", 0)
        if kind == "pages":
            table.add(day, "path", values["page"], {"page_visits": counts.get("visits", 0), **counts, **of_pages})
            return ""
        counts |= {"visit_views": counts.get("pageviews", 0), "engaged_ms": engaged_ms}
        if kind == "visitors":
            table.add(day, "event_name", "pageview", {name: counts[name] for name in _OF_VIEWS if name in counts})
        for dimension, value in self._values(kind, values):
            table.add(day, dimension, value, counts)
        return ""

    @staticmethod
    def _time_and_scroll(values: Mapping[str, str]) -> dict[str, int]:
        """Of a page. Older exports have the time alone, and no scroll depth."""
        seconds = count_of(values, "total_time_on_page" if "total_time_on_page" in values else "time_on_page")
        found = {
            "page_engaged_ms": seconds * 1000,
            "scroll_percent": count_of(values, "total_scroll_depth"),
            "scrolled_pages": count_of(values, "total_scroll_depth_visits"),
        }
        if "total_time_on_page_visits" in values:
            found["page_visits"] = count_of(values, "total_time_on_page_visits")
        return found

    def _values(self, kind: str, values: Mapping[str, str]) -> list[tuple[str, str]]:
        """(dimension, value) of a row, as they are stored."""
        match kind:
            case "visitors":
                return [(TOTAL, "")]
            case "sources":
                source, referrer = or_nothing(values["source"]), or_nothing(values.get("referrer", ""))
                source = "" if source == "Direct / None" else source
                utm = {name: or_nothing(values.get(name, "")) for name in _UTM}
                # A referrer tells more than the name that was made of it.
                named = utm["utm_source"] or ("" if referrer else source)
                channel = self._channels.channel_of(named, referrer, utm["utm_medium"], utm["utm_campaign"])
                return [("referrer_source", source), ("channel", channel), ("referrer", referrer), *utm.items()]
            case "entry_pages":
                return [("entry_page", values["entry_page"])]
            case "exit_pages":
                return [("exit_page", values["exit_page"])]
            case "locations":
                return [("country", country_of(or_nothing(values["country"])))]
            case "devices":
                return [("device", device_of(values["device"]) or "unknown")]
            case "browsers":
                browser = browser_of(or_nothing(values["browser"]))
                return [("browser", browser), ("browser_version", or_nothing(values.get("browser_version", "")))]
            case _:
                system, version = system_of(or_nothing(values["operating_system"]))
                given = or_nothing(values.get("operating_system_version", ""))
                return [("os", system), ("os_version", version or given)]


def _table_of(name: str, header: Header) -> str | None:
    """Which kind of file it is: by its name, if its columns are those of that kind, else by its columns."""
    columns = frozenset(header.columns)
    plain = name.lower().removesuffix(".csv")
    if plain.startswith(PREFIX):
        for kind, table in TABLES.items():
            rest = plain.removeprefix(PREFIX + kind)
            if plain.startswith(PREFIX + kind) and (not rest or rest[1:].replace("_", "").isdecimal()):
                return kind if table.own <= columns else None
        return None
    fitting = [
        kind
        for kind, table in TABLES.items()
        if table.own <= columns and "visitors" in columns and columns <= COLUMNS | frozenset(_OTHERS)
    ]
    return fitting[0] if fitting else None


_OTHERS = (
    "region",
    "city",
    "entrances",
    "exits",
    "exit_rate",
    "time_on_page",
    "total_time_on_page",
    "total_time_on_page_visits",
    "total_scroll_depth",
    "total_scroll_depth_visits",
    "browser_version",
    "operating_system_version",
    "link_url",
    "path",
)
