"""Umami: events with sessions and event data, as CSV and JSON, what they say of themselves, what is no event."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from tests.server.imports.desk import Desk, csv, zipped

DAY = (datetime.now(UTC) - timedelta(days=30)).replace(hour=9, minute=0, second=0, microsecond=0)


def at(minutes: int) -> str:
    """A time as the database writes it."""
    return f"{DAY + timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S}"


EVENTS = csv(
    "website_id,session_id,visit_id,event_id,hostname,browser,os,device,screen,language,country,url_path,url_query,"
    "referrer_path,referrer_query,referrer_domain,page_title,event_type,event_name,created_at",
    "w1,s1,v1,e1,shop.example,chrome,Windows 10,laptop,1920x1080,de-DE,DE,/,"
    f'"utm_source=letter&utm_medium=email",,,,Home,1,,{at(0)}',
    f"w1,s1,v1,e2,shop.example,chrome,Windows 10,laptop,1920x1080,de-DE,DE,/mug,,,,,Mug,1,,{at(2)}",
    f"w1,s1,v1,e3,shop.example,chrome,Windows 10,laptop,1920x1080,de-DE,DE,/mug,,,,,Mug,2,Signup,{at(3)}",
    f"w1,s2,v2,e4,shop.example,ios,iOS,mobile,390x844,en-US,US,/,,/,,news.ycombinator.com,Home,1,,{at(1)}",
    f"w2,s9,v9,e9,other.example,chrome,Linux,desktop,800x600,en,US,/,,,,,X,1,,{at(1)}",
    "w1,s1,v1,e5,shop.example,chrome,Windows 10,laptop,1920x1080,de-DE,DE,/,,,,,Home,1,,not a time",
    "w1,s1",
)
DATA = csv(
    "website_id,session_id,event_id,data_key,string_value,number_value,date_value,data_type,created_at",
    f"w1,s1,e3,plan,premium,,,1,{at(3)}",
    f"w1,s1,e3,seats,,4,,2,{at(3)}",
)


def test_events_are_stored_as_the_export_knows_them(desk: Desk) -> None:
    files: dict[str, str | bytes] = {"website_event.csv": EVENTS, "event_data.csv": DATA}
    row, report = desk.bring("umami.zip", zipped(files))
    assert (row.kind, row.state, row.rows) == ("umami", "done", 4)
    assert report.left_out == {"events of another website in the same export": 1}
    assert [problem.number for problem in report.problems] == [7, 8]
    stored = desk.events(
        "formatDateTime(time, '%Y-%m-%d %H:%i:%S'), toString(kind), event_name, path, referrer_source, browser, os, "
        "device, country, language, screen_width_px, props"
    )
    assert stored == [
        (at(0), "pageview", "", "/", "letter", "Chrome", "Windows", "desktop", "DE", "de-DE", 1920, {}),
        (at(1), "pageview", "", "/", "Hacker News", "Mobile Safari", "iOS", "mobile", "US", "en-US", 390, {}),
        (at(2), "pageview", "", "/mug", "", "Chrome", "Windows", "desktop", "DE", "de-DE", 1920, {}),
        (at(3), "custom", "Signup", "/mug", "", "Chrome", "Windows", "desktop", "DE", "de-DE", 1920,
         {"plan": "premium", "seats": "4"}),
    ]  # fmt: skip
    visitors = [visitor for (visitor,) in desk.events("visitor_id")]
    assert visitors[0] == visitors[2] == visitors[3] != visitors[1]
    assert desk.outcomes() == {"accepted": 4}
    assert desk.audit().ok


def test_json_of_the_tables_gives_the_same(desk: Desk) -> None:
    objects = [
        {
            "websiteId": "w1",
            "sessionId": "s1",
            "urlPath": "/a",
            "eventType": 1,
            "createdAt": f"{at(0)}Z".replace(" ", "T"),
        },
        {"websiteId": "w1", "sessionId": "s1", "urlPath": "/b", "eventType": 1, "createdAt": "no time"},
        {
            "websiteId": "w1",
            "sessionId": "s2",
            "urlPath": "/c",
            "eventType": 1,
            "createdAt": f"{at(1)}Z".replace(" ", "T"),
        },
    ]
    sessions = [{"id": "s1", "browser": "firefox", "os": "Linux", "device": "desktop", "country": "CZ"}]
    whole = json.dumps({"events": objects, "sessions": sessions}).encode()
    row, report = desk.bring("umami.json", whole)
    assert (row.rows, report.malformed.total()) == (2, 1)
    assert desk.events("path, browser, country") == [("/a", "Firefox", "CZ"), ("/c", "", "")]


def test_totals_without_days_are_refused_with_what_to_do(desk: Desk) -> None:
    row, report = desk.bring("pages.csv", b"x,y\n/,10\n/mug,4\n")
    assert (row.kind, row.state) == ("umami", "failed")
    assert "totals of a range without days" in report.files[0].note
    assert desk.events() == []
