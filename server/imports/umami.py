"""Umami's exports: events, with the sessions and the event data that belong to them, as CSV or JSON, alone or in a zip.

| table | known by its columns | used for |
|---|---|---|
| events (`website_event`) | `created_at`, `url_path` | page views, custom events, vitals |
| sessions (`session`) | `browser`, `os`, `device`, no `url_path` | what an event does not say of its visitor |
| event data (`event_data`) | `data_key` or `event_key` | props |

Column names are those of Umami's tables or of its API (`urlPath` is `url_path`). Umami Cloud's export has everything in
one table of events. Umami's own "Export" button gives totals of a range without days, which cannot be put on days:
those files are named in the report as such.

Umami knows browser, system, device and country itself, and visitors by a session that lasts a month; here a visitor
lives for a local day, so the session's id is hashed for each day anew.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from server.imports.csv_rows import CsvRows, delimiter_of, split_row
from server.imports.errors import ImportRefused
from server.imports.json_objects import JsonObjects
from server.imports.lines import Lines
from server.imports.members import Member
from server.imports.past_events import Known, PastEvent
from server.imports.reading import Part, Position, done_before
from server.imports.report import ImportReport
from server.imports.their_names import browser_of, country_of, device_of, or_nothing, system_of

EVENTS, SESSIONS, EVENT_DATA, TOTALS = "events", "sessions", "event data", "totals"

WHAT = {
    EVENTS: "Umami events",
    SESSIONS: "Umami sessions",
    EVENT_DATA: "Umami event data",
}
NO_DAYS = "totals of a range without days; export the events instead (Umami Cloud's data export, or the tables)"

# The kinds of `event_type`. Links and pixels are no pages.
PAGE_VIEW, CUSTOM_EVENT, PERFORMANCE = 1, 2, 5
METRICS = ("lcp", "inp", "cls", "fcp", "ttfb")

COLUMNS = frozenset(
    (
        "website_id",
        "session_id",
        "visit_id",
        "event_id",
        "hostname",
        "browser",
        "os",
        "device",
        "screen",
        "language",
        "country",
        "region",
        "subdivision1",
        "subdivision2",
        "city",
        "url_path",
        "url_query",
        "utm_source",
        "utm_medium",
        "utm_campaign",
        "utm_content",
        "utm_term",
        "referrer_path",
        "referrer_query",
        "referrer_domain",
        "page_title",
        "gclid",
        "fbclid",
        "msclkid",
        "ttclid",
        "li_fat_id",
        "twclid",
        "event_type",
        "event_name",
        "tag",
        "distinct_id",
        "created_at",
        "job_id",
        "website_event_id",
        "data_key",
        "event_key",
        "string_value",
        "number_value",
        "date_value",
        "data_type",
    )
)
_TOTALS = frozenset(("x", "y", "name", "value", "count"))

_SESSION_FIELDS = ("hostname", "browser", "os", "device", "screen", "language", "country")
_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_SCREEN = re.compile(r"(\d{1,5})x(\d{1,5})")
# Commits of the lookup: sessions come by the million.
_LOOKUP_ROWS = 10_000


class Row(NamedTuple):
    """One row or object of a table, with the names of Umami's columns; `values` empty when it is none."""

    number: int
    values: Mapping[str, str]
    end_bytes: int
    end_number: int
    table: str
    problem: str
    section: str = ""
    is_guessed: bool = False


@dataclass
class _Place:
    """How a member is read."""

    is_json: bool
    delimiter: str = ","
    header: tuple[str, ...] = ()
    table: str = EVENTS


def is_of_export(member: Member) -> bool:
    """Whether a file is one of Umami's."""
    place = _look(member)
    if place is None or not place.is_json:
        return place is not None
    with member.open() as stream:
        first = next(iter(JsonObjects(stream)), None)
    return first is not None and bool(_table_of({_snake(name): "1" for name in first.values}, first.section))


class Umami:
    """See the module. `folder`: where the lookup of sessions and event data may be, for as long as this lives."""

    def __init__(self, members: Sequence[Member], domain: str, folder: Path) -> None:
        self._members = members
        self._domain = domain
        self._folder = folder
        self._places = [_look(member) for member in members]
        self._lookup: _Lookup | None = None
        self._website: str | None = None

    def close(self) -> None:
        """Forget the lookup."""
        if self._lookup is not None:
            self._lookup.close()

    def parts(self, position: Position, report: ImportReport, part_lines: int) -> Iterator[Part]:
        """The parts from a position on. Raises `ImportRefused` when there are no events."""
        self._name_files(report)
        if not any(place is not None and (place.is_json or place.table == EVENTS) for place in self._places):
            raise ImportRefused("there are no Umami events in it: see what its files were taken for")
        is_beginning = position == Position()
        self._read_lookup(report if is_beginning else ImportReport())
        while position.member < len(self._members):
            member = self._members[position.member]
            before = done_before(self._members, position.member)
            events: list[PastEvent] = []
            taken = 0
            for row, done_bytes, encoding in self._rows(position, (EVENTS,)):
                event = self._event(row, member.name, report)
                if event is not None:
                    events.append(event)
                taken += 1
                if taken == part_lines:
                    position = position.moved(row.end_bytes, row.end_number, encoding, row.section)
                    yield Part(events, position, before + done_bytes)
                    events, taken = [], 0
            position = position.next_member()
            yield Part(events, position, before + member.packed_bytes)

    def _name_files(self, report: ImportReport) -> None:
        for member, place in zip(self._members, self._places, strict=True):
            if place is None:
                report.note_file(member.name, note="not a table of Umami's")
            elif place.table == TOTALS:
                report.note_file(member.name, note=NO_DAYS)
            else:
                report.note_file(member.name, "Umami JSON" if place.is_json else WHAT[place.table])

    # -- rows ----------------------------------------------------------------------------------------------------

    def _rows(self, position: Position, tables: Sequence[str]) -> Iterator[tuple[Row, int, str]]:
        """The rows of these tables in a member, with how many of its packed bytes are done, and its encoding."""
        place = self._places[position.member]
        if place is None or not (place.is_json or place.table in tables):
            return
        member = self._members[position.member]
        with member.open(position.offset_bytes) as stream:
            if place.is_json:
                objects = JsonObjects(
                    stream,
                    offset_bytes=position.offset_bytes,
                    number=position.number,
                    section=position.section,
                )
                for each in objects:
                    values = {_snake(name): _text(value) for name, value in each.values.items()}
                    table = _table_of(values, each.section)
                    end = (each.end_bytes, each.end_number)
                    if table in tables or (not table and EVENTS in tables):
                        problem = each.problem or ("" if table else "it has no column of a table of Umami's")
                        row = Row(each.number, values, *end, table, problem, each.section)
                        yield row, stream.packed_done_bytes, ""
                return
            lines = Lines(
                stream, offset_bytes=position.offset_bytes, number=position.number, encoding=position.encoding
            )
            rows = CsvRows(lines, place.delimiter, len(place.header))
            for index, found in enumerate(rows):
                if index == 0 and position.offset_bytes == 0:
                    continue  # the header
                values = dict(zip(place.header, map(or_nothing_at_all, found.values), strict=False))
                end = (found.end_bytes, found.end_number)
                row = Row(found.number, values, *end, place.table, found.problem, is_guessed=found.is_guessed)
                yield row, stream.packed_done_bytes, lines.encoding

    def _read_lookup(self, report: ImportReport) -> None:
        """Sessions and event data, before the events that need them."""
        for index, member in enumerate(self._members):
            for row, _, _ in self._rows(Position(index), (SESSIONS, EVENT_DATA)):
                if row.problem:
                    report.name_problem(member.name, row.number, row.problem)
                    continue
                if self._lookup is None:
                    self._lookup = _Lookup(self._folder)
                if row.table == SESSIONS:
                    self._lookup.keep_session(row.values)
                else:
                    self._lookup.keep_data(row.values)
                report.taken += 1

    # -- events --------------------------------------------------------------------------------------------------

    def _event(self, row: Row, name: str, report: ImportReport) -> PastEvent | None:
        report.guessed_lines += row.is_guessed
        problem = row.problem or self._problem(row.values)
        if problem:
            report.name_problem(name, row.number, problem)
            return None
        values = row.values if self._lookup is None else self._lookup.completed(row.values)
        website = values.get("website_id", "")
        if website and self._website is None:
            self._website = self._first_website()
        if website and website != self._website:
            report.left_out["events of another website in the same export"] += 1
            return None
        entry = self._entry(values)
        if entry is None:
            report.left_out["links and pixels"] += 1
            return None
        report.taken += 1
        time_ms = time_of(values["created_at"])
        assert time_ms is not None, "rows without a time are a problem"
        return PastEvent(row.number, time_ms, entry, _known(values))

    def _first_website(self) -> str:
        """An export of a whole account has several: the first one is taken."""
        for index in range(len(self._members)):
            for row, _, _ in self._rows(Position(index), (EVENTS,)):
                if row.values.get("website_id"):
                    return row.values["website_id"]
        return ""

    def _problem(self, values: Mapping[str, str]) -> str:
        if not values.get("created_at"):
            return "it has no created_at"
        if time_of(values["created_at"]) is None:
            return "created_at is no time"
        if not values.get("session_id"):
            return "it has no session_id"
        kind = values.get("event_type", "")
        return f"event_type {kind[:20]!r} is no number" if kind and not kind.isdecimal() else ""

    def _entry(self, values: Mapping[str, str]) -> dict[str, Any] | None:
        """The event as an entry of a server batch; None for a kind that is no page's."""
        kind = int(values.get("event_type") or (CUSTOM_EVENT if values.get("event_name") else PAGE_VIEW))
        host = values.get("hostname") or self._domain
        path = values.get("url_path", "")
        query = values.get("url_query", "").removeprefix("?")
        url = f"https://{host}{path if path.startswith('/') else '/' + path}"
        entry: dict[str, Any] = {
            "u": f"{url}?{query}" if query else url,
            "r": _referrer(values),
            "lg": values.get("language", ""),
        }
        screen = _SCREEN.fullmatch(values.get("screen", ""))
        if screen:
            entry |= {"sw": min(int(screen[1]), 65_535), "sh": min(int(screen[2]), 65_535)}
        match kind:
            case 1:
                entry["n"] = "pageview"
            case 2:
                entry |= {"n": values.get("event_name") or "event", "p": self._props(values)}
            case 5:
                metrics = {name: float(values[name]) for name in METRICS if _is_number(values.get(name, ""))}
                entry |= {"n": "vitals", "w": metrics}
            case _:
                return None
        return entry

    def _props(self, values: Mapping[str, str]) -> dict[str, str]:
        props = self._lookup.data(values.get("event_id", "")) if self._lookup is not None else {}
        return {**props, "tag": values["tag"]} if values.get("tag") else props


class _Lookup:
    """Sessions and event data by their ids, in a file that has no name any more: it ends with the process."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.NamedTemporaryFile(dir=folder, suffix=".lookup")  # noqa: SIM115 - closed in `close`
        self._database = sqlite3.connect(self._file.name, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute("CREATE TABLE sessions (id TEXT PRIMARY KEY, fields TEXT) WITHOUT ROWID")
        self._database.execute("CREATE TABLE data (event TEXT, name TEXT, value TEXT, PRIMARY KEY (event, name))")
        self._writes = 0

    def keep_session(self, values: Mapping[str, str]) -> None:
        """What a session says of its visitor."""
        fields = {name: values[name] for name in _SESSION_FIELDS if values.get(name)}
        number = values.get("session_id") or values.get("id", "")
        self._write("INSERT OR REPLACE INTO sessions VALUES (?, ?)", (number, orjson.dumps(fields).decode()))

    def keep_data(self, values: Mapping[str, str]) -> None:
        """One value of an event's data."""
        event = values.get("website_event_id") or values.get("event_id", "")
        name = values.get("data_key") or values.get("event_key", "")
        texts = (values.get(column, "") for column in ("string_value", "number_value", "date_value"))
        self._write("INSERT OR REPLACE INTO data VALUES (?, ?, ?)", (event, name, next(filter(None, texts), "")))

    def completed(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """An event with what its session says besides."""
        found = self._database.execute("SELECT fields FROM sessions WHERE id = ?", (values["session_id"],)).fetchone()
        if found is None:
            return values
        return {**orjson.loads(found[0]), **{name: value for name, value in values.items() if value}}

    def data(self, event: str) -> dict[str, str]:
        """The data of an event."""
        return dict(self._database.execute("SELECT name, value FROM data WHERE event = ? ORDER BY name", (event,)))

    def close(self) -> None:
        """Give the file back."""
        with closing(self._file), closing(self._database):
            pass

    def _write(self, statement: str, values: tuple[str, ...]) -> None:
        self._database.execute(statement, values)
        self._writes += 1
        if self._writes % _LOOKUP_ROWS == 0:
            self._database.commit()


def _known(values: Mapping[str, str]) -> Known:
    device = device_of(values.get("device", ""))
    system, version = system_of(values.get("os", ""))
    strings = {
        "browser": browser_of(values.get("browser", ""), device),
        "os": system,
        "os_version": version,
        "country": country_of(values.get("country", "")),
    }
    return Known(values["session_id"], device, strings)


def _referrer(values: Mapping[str, str]) -> str:
    domain = values.get("referrer_domain", "")
    if not domain:
        return ""
    query = values.get("referrer_query", "").removeprefix("?")
    url = f"https://{domain}{values.get('referrer_path') or '/'}"
    return f"{url}?{query}" if query else url


def _look(member: Member) -> _Place | None:
    """How a member is read, by its beginning; None when nothing tells."""
    with member.open() as stream:
        lines = Lines(stream)
        first = next((line for line in lines if line.text.strip()), None)
    if first is None or first.is_too_long:
        # A JSON array may be one line of any length.
        return _Place(is_json=True) if first is not None and first.text.lstrip()[:1] in ("{", "[") else None
    if first.text.lstrip()[:1] in ("{", "["):
        return _Place(is_json=True)
    delimiter = delimiter_of(first.text, COLUMNS)
    names, _ = split_row(first.text, delimiter)
    header = tuple(_snake(name.strip()) for name in names)
    if not set(header) & COLUMNS:
        return _Place(is_json=False, header=header, table=TOTALS) if set(header) <= _TOTALS else None
    table = _table_of(dict.fromkeys(header, "1"))
    return _Place(is_json=False, delimiter=delimiter, header=header, table=table) if table else None


def _table_of(values: Mapping[str, str], section: str = "") -> str:
    """Which table a row is of; empty when it is of none."""
    if "url_path" in values or ("created_at" in values and "event_type" in values):
        return EVENTS
    if "data_key" in values or "event_key" in values:
        return EVENT_DATA
    if {"browser", "os", "device"} & values.keys() and ("session_id" in values or "id" in values):
        return SESSIONS
    return {"events": EVENTS, "sessions": SESSIONS, "event_data": EVENT_DATA}.get(section, "")


def time_of(text: str) -> int | None:
    """Milliseconds since 1970 UTC of ISO 8601, of SQL's form, or of seconds or milliseconds; None for anything else."""
    if text.isdecimal() and len(text) <= 13:
        return int(text) if len(text) > 10 else int(text) * 1000
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC"))
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def or_nothing_at_all(text: str) -> str:
    """A CSV value; what stands for NULL in dumps is nothing."""
    return or_nothing(text) if text in ("\\N", "NULL", "null") else text


def _snake(name: str) -> str:
    snake = _CAMEL.sub(lambda match: f"_{match[1].lower()}", name.strip().strip('"'))
    return snake.lower()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value)


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\d+(\.\d+)?", text))
