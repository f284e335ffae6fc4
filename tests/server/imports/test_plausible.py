"""Plausible's export: exact figures of each file, what is left out, what is wrong with which row."""

from __future__ import annotations

from datetime import date, timedelta

from server.app_database import reading
from server.clock import now_ms
from server.imports.rows import figure_versions
from tests.server.imports.desk import Desk, csv, zipped

D1 = str(date.today() - timedelta(days=40))
D2 = str(date.today() - timedelta(days=39))
RANGE = f"{D1.replace('-', '')}_{D2.replace('-', '')}"

VISITORS = csv("date,visitors,pageviews,bounces,visits,visit_duration", f"{D1},5,12,2,6,340", f"{D2},3,4,1,3,60")
EXPORT: dict[str, str | bytes] = {
    f"imported_visitors_{RANGE}.csv": VISITORS,
    f"imported_sources_{RANGE}.csv": csv(
        "date,source,referrer,utm_source,utm_medium,utm_campaign,utm_content,utm_term,pageviews,visitors,visits,"
        "visit_duration,bounces",
        f'"{D1}","Google","",,,,,,7,3,3,200,1',
        f'"{D1}","Google","google.com","google","cpc","spring, early",,,2,1,1,40,0',
        f"{D1},,,,,,,,3,1,2,100,1",
        f"{D2},Hacker News,news.ycombinator.com/item,,,,,,4,3,3,60,1",
    ),
    f"imported_pages_{RANGE}.csv": csv(
        "date,hostname,page,visits,visitors,pageviews,total_scroll_depth,total_scroll_depth_visits,"
        "total_time_on_page,total_time_on_page_visits",
        f"{D1},shop.example,/,5,4,8,210,3,90,4",
        f"{D1},shop.example,/a?b,2,2,4,\\N,\\N,\\N,\\N",
    ),
    f"imported_entry_pages_{RANGE}.csv": csv(
        "date,entry_page,visitors,entrances,visit_duration,bounces,pageviews", f"{D1},/,5,6,340,2,12"
    ),
    f"imported_exit_pages_{RANGE}.csv": csv(
        "date,exit_page,visitors,visit_duration,exits,bounces,pageviews", f"{D1},/a,5,340,6,2,12"
    ),
    f"imported_locations_{RANGE}.csv": csv(
        "date,country,region,city,visitors,visits,visit_duration,bounces,pageviews",
        f"{D1},DE,DE-BE,2950159,2,2,100,1,4",
        f"{D1},DE,DE-HH,2911298,1,2,40,0,3",
    ),
    f"imported_devices_{RANGE}.csv": csv(
        "date,device,visitors,visits,visit_duration,bounces,pageviews",
        f"{D1},Desktop,4,4,300,1,9",
        f"{D1},Mobile,1,2,40,1,3",
    ),
    f"imported_browsers_{RANGE}.csv": csv(
        "date,browser,browser_version,visitors,visits,visit_duration,bounces,pageviews",
        f"{D1},Chrome,130.0,3,3,200,1,8",
        f"{D1},Microsoft Edge,131.0,2,3,140,1,4",
    ),
    f"imported_operating_systems_{RANGE}.csv": csv(
        "date,operating_system,operating_system_version,visitors,visits,visit_duration,bounces,pageviews",
        f"{D1},Mac,10.15,5,6,340,2,12",
    ),
    f"imported_custom_events_{RANGE}.csv": csv(
        "date,name,link_url,path,visitors,events",
        f"{D1},Signup,,,2,3",
        f"{D1},Outbound Link: Click,https://a.example,,1,1",
    ),
}


def test_each_file_is_counted_exactly(desk: Desk) -> None:
    row, report = desk.bring("shop.example.zip", zipped(EXPORT))
    assert (row.kind, row.state, row.first_day, row.last_day) == ("plausible", "done", D1, D2)
    assert (report.taken, report.left_out.total(), report.malformed.total()) == (19, 0, 0)
    figures = desk.figures(row.import_id)
    of = {(dimension, value): counts for (day, dimension, value), counts in figures.items() if day == D1}
    assert of["total", ""] == {
        "visitors": 5, "visits": 6, "pageviews": 12, "events": 16, "visit_views": 12, "bounces": 2,
        "engaged_ms": 340_000,
    }  # fmt: skip
    assert figures[D2, "total", ""]["visitors"] == 3
    google = {
        "visitors": 4,
        "visits": 4,
        "pageviews": 9,
        "events": 9,
        "visit_views": 9,
        "bounces": 1,
        "engaged_ms": 240_000,
    }
    assert of["referrer_source", "Google"] == google
    assert of["referrer_source", ""]["visits"] == 2
    assert {value: counts["visits"] for (dimension, value), counts in of.items() if dimension == "channel"} == {
        "organic_search": 3, "paid_search": 1, "direct": 2
    }  # fmt: skip
    assert figures[D2, "channel", "organic_social"]["visitors"] == 3
    assert of["utm_campaign", "spring, early"]["visits"] == 1
    assert of["referrer", "google.com"]["visits"] == 1
    assert of["path", "/"] == {
        "visitors": 4, "visits": 5, "pageviews": 8, "events": 8, "page_engaged_ms": 90_000, "page_visits": 4,
        "scroll_percent": 210, "scrolled_pages": 3,
    }  # fmt: skip
    assert of["path", "/a?b"] == {"visitors": 2, "visits": 2, "pageviews": 4, "events": 4}
    assert of["entry_page", "/"]["visits"] == 6
    assert of["exit_page", "/a"]["visits"] == 6
    assert of["country", "DE"]["visits"] == 4
    assert (of["device", "desktop"]["visitors"], of["device", "mobile"]["visits"]) == (4, 2)
    assert of["browser", "Edge"]["visits"] == 3
    assert of["browser_version", "131.0"]["visits"] == 3
    assert (of["os", "Mac OS X"]["visits"], of["os_version", "10.15"]["visits"]) == (6, 6)
    assert of["event_name", "Signup"] == {"visitors": 2, "visits": 2, "events": 3}
    assert of["event_name", "pageview"] == {"visitors": 5, "visits": 6, "pageviews": 12, "events": 12}


def test_rows_that_are_wrong_are_named_and_the_others_kept(desk: Desk) -> None:
    lines = csv(
        "date,visitors,pageviews,bounces,visits,visit_duration",
        f"{D1},5,12,2,6,340",
        "yesterday,1,1,1,1,1",
        f"{D1},many,1,1,1,1",
        f"{D2},-3,1,1,1,1",
        f"{D2},1,1",
        f"{D2},3,4,1,3,60",
    )
    row, report = desk.bring("imported_visitors.csv", lines.encode())
    assert row.state == "done"
    assert [(problem.number, problem.reason) for problem in report.problems] == [
        (3, "'yesterday' is no date, such as 2026-11-25"),
        (4, "visitors is 'many', which is no number"),
        (5, "visitors is -3; numbers from 0 to 10,000,000,000,000 are taken"),
        (6, "it has 3 columns, the header has 6"),
    ]
    assert (
        sum(counts.get("visitors", 0) for key, counts in desk.figures(row.import_id).items() if key[1] == "total") == 8
    )


def test_days_with_hits_of_their_own_and_of_other_imports_are_left_out(desk: Desk) -> None:
    desk.connection.select(
        "INSERT INTO events (site_id, hour, time, kind) SELECT 1, toStartOfHour(t), t, 'pageview' "
        "FROM (SELECT toDateTime64(%(day)s, 3, 'Europe/Berlin') AS t)",
        {"day": f"{D2} 00:30:00"},
    )
    first, report = desk.bring("imported_visitors.csv", VISITORS.encode())
    assert report.left_out == {f"of days from {D2} on, which have hits of their own": 1}
    assert {key[0] for key in desk.figures(first.import_id)} == {D1}
    again, report = desk.bring(
        "imported_visitors_2.csv", VISITORS.replace(",340", ",341").encode(), takes_live_days=True
    )
    assert report.left_out == {"of days of which another import has figures: remove that one first": 1}
    assert {key[0] for key in desk.figures(again.import_id)} == {D2}


def test_what_the_plan_does_not_keep_and_the_future_are_left_out(desk: Desk) -> None:
    tomorrow = date.today() + timedelta(days=3)
    lines = csv(
        "date,visitors,pageviews,bounces,visits,visit_duration",
        "2019-01-01,1,1,1,1,1",
        f"{tomorrow},1,1,1,1,1",
        f"{D1},1,1,1,1,1",
    )
    row, report = desk.bring("imported_visitors.csv", lines.encode())
    assert (row.rows, report.left_out.total(), row.first_day) == (1, 2, D1)


def test_an_export_without_its_days_is_refused(desk: Desk) -> None:
    files = {name: content for name, content in EXPORT.items() if "visitors_" not in name}
    row, _ = desk.bring("shop.zip", zipped(files))
    assert row.state == "failed"
    assert desk.saved(row.import_id)[1].error.startswith("imported_visitors….csv is missing")
    assert desk.figures(row.import_id) == {}


def test_figures_are_readers_only_when_all_are_there(desk: Desk) -> None:
    import_id = desk.send("shop.zip", zipped(EXPORT))
    with reading(desk.services.engine) as session:
        assert figure_versions(session, desk.site.site_id) == []
    desk.carry_out(import_id)
    with reading(desk.services.engine) as session:
        assert figure_versions(session, desk.site.site_id) == [import_id]
    assert desk.saved(import_id)[0].ended_at_ms <= now_ms()  # type: ignore[operator]
    assert not desk.path(import_id).exists(), "the file was kept"
