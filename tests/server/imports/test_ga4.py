"""Google Analytics 4: reports with days, alone and with dimensions; rates turned back; no file of days."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from server.imports.errors import ColumnsForeign, KindUnknown
from server.imports.kinds import ImportKind, kind_of
from server.imports.members import open_members
from tests.server.imports.desk import Desk, csv, zipped

FIRST = date.today() - timedelta(days=60)
D1, D2 = f"{FIRST:%Y%m%d}", f"{FIRST + timedelta(days=1):%Y%m%d}"
DAY1 = str(FIRST)

COMMENTS = "# ----------------------------------------\n# Shop - GA4\n# ----------------------------------------\n\n"
DAYS = COMMENTS + csv(
    "Date,Active users,Sessions,Engaged sessions,Views,User engagement,Event count,Total revenue",
    f"{D1},50,60,45,130,3600,400,0",
    f"{D2},40,44,30,90,2000,300,0",
    ",90,104,75,220,5600,700,0",
)
COUNTRIES = csv(
    "Date,Country,Active users,Sessions,Bounce rate,Views", f"{D1},Germany,30,36,0.25,80", f"{D1},(not set),1,1,1,1"
)
SOURCES = csv(
    "Date,Session source / medium,Active users,Sessions,Engaged sessions,Views",
    f"{D1},google / organic,20,24,20,60",
    f"{D1},google / cpc,5,6,5,10",
    f"{D1},(direct) / (none),20,25,15,50",
)
PAGES = csv("Date,Page path and screen class,Views,Active users", f"{D1},/mug,44,20", f"{D1},/,86,48")
NAMES = csv("Date,Event name,Event count,Active users", f"{D1},page_view,130,50", f"{D1},purchase,7,6")


def test_reports_in_a_zip_are_counted_exactly(desk: Desk) -> None:
    files: dict[str, str | bytes] = {
        "days.csv": DAYS, "countries.csv": COUNTRIES, "sources.csv": SOURCES, "pages.csv": PAGES, "names.csv": NAMES
    }  # fmt: skip
    row, report = desk.bring("ga4.zip", zipped(files))
    assert (row.kind, row.state, row.first_day) == ("ga4", "done", DAY1)
    assert report.left_out == {"rows of totals": 1}
    assert report.malformed.total() == 0
    of = {
        (dimension, value): counts
        for (day, dimension, value), counts in desk.figures(row.import_id).items()
        if day == DAY1
    }
    assert of["total", ""] == {
        "visitors": 50, "visits": 60, "pageviews": 130, "events": 137, "visit_views": 130, "bounces": 15,
        "engaged_ms": 3_600_000,
    }  # fmt: skip
    assert of["country", "DE"]["bounces"] == 9
    assert of["country", ""]["visits"] == 1
    assert of["referrer_source", "Google"]["visits"] == 30
    assert of["referrer_source", ""]["visits"] == 25
    assert {value: counts["visits"] for (dimension, value), counts in of.items() if dimension == "channel"} == {
        "organic_search": 24, "paid_search": 6, "direct": 25
    }  # fmt: skip
    assert of["path", "/mug"] == {"visitors": 20, "visits": 20, "pageviews": 44, "events": 44}
    assert of["event_name", "purchase"] == {"visitors": 6, "visits": 6, "events": 7}
    assert ("event_name", "page_view") not in of


def test_without_a_file_of_days_they_are_added_up_and_that_is_said(desk: Desk) -> None:
    row, report = desk.bring("sources.csv", SOURCES.encode())
    assert row.state == "done"
    assert desk.figures(row.import_id)[DAY1, "total", ""]["visits"] == 55
    assert "session source / medium" in report.notes[0]


def test_tabs_and_utf16_as_google_ads_writes_them(desk: Desk) -> None:
    text = csv("Date\tSessions\tActive users\tViews", f"{D1}\t1\t1\t2").encode("utf-16")
    row, _ = desk.bring("report.csv", text)
    assert desk.figures(row.import_id)[DAY1, "total", ""] == {
        "visitors": 1, "visits": 1, "pageviews": 2, "events": 2, "visit_views": 2
    }  # fmt: skip


def test_wrong_rates_and_channels_are_named(desk: Desk) -> None:
    lines = csv(
        "Date,Session default channel group,Sessions,Active users,Views,Bounce rate",
        f"{D1},Organic Search,10,9,20,40",
        f"{D1},Carrier Pigeon,1,1,1,0",
        f"{D1},Direct,1,1,1,140",
    )
    row, report = desk.bring("channels.csv", lines.encode())
    assert [problem.number for problem in report.problems] == [3, 4]
    assert desk.figures(row.import_id)[DAY1, "channel", "organic_search"]["bounces"] == 4


def kind_of_file(folder: Path, content: str | bytes) -> ImportKind:
    path = folder / "file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with open_members(path, "a.csv" if isinstance(content, str) else "a.zip") as opened:
        return kind_of(opened.members)


GERMAN = csv("Datum;Aktive Nutzer;Sitzungen;Aufrufe", f"{D1};50;60;130", f"{D2};40;44;90")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (COMMENTS + GERMAN, "“Datum”, “Aktive Nutzer”, “Sitzungen”, “Aufrufe”"),
        (csv("Pays,Date,Utilisateurs actifs", f'"France",{D1},3'), "“Pays”, “Date”, “Utilisateurs actifs”"),
        (zipped({"a.txt": "hello", "b.csv": csv("日付\tセッション", f"{D1}\t7")}), "“日付”, “セッション”"),
    ],
)
def test_columns_of_another_language_are_named_with_the_english_ones(
    tmp_path: Path, content: str | bytes, named: str
) -> None:
    with pytest.raises(ColumnsForeign) as refused:
        kind_of_file(tmp_path, content)
    assert f"its columns are named {named}. The English names are taken: Date, with Active users" in str(refused.value)
    assert "My preferences" in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        csv("Name;Menge", "Tasse;20260101"),
        csv("Datum;Sitzungen", "2026-01-01;7"),
        csv("Datum;Sitzungen", "20269901;7"),
        csv("1;2", f"{D1};7"),
        "Datum\n" + D1,
        "",
    ],
)
def test_other_tables_are_not_taken_for_googles(tmp_path: Path, content: str) -> None:
    with pytest.raises(KindUnknown, match="nothing in it tells"):
        kind_of_file(tmp_path, content)
