"""Access logs: page views at their own times, by the site's rules; gzip and several logs; what is left out."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from server.app_database import writing
from server.imports.errors import KindUnknown
from server.models import Site
from tests.server.imports.desk import Desk, zipped

BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
    "Mobile/15E148 Safari/604.1"
)
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
DAY = (datetime.now(UTC) - timedelta(days=50)).replace(hour=0, minute=0, second=0, microsecond=0)


def line(
    minutes: int,
    target: str,
    *,
    address: str = "84.160.1.2",
    agent: str = BROWSER,
    referrer: str = "-",
    method: str = "GET",
    status: int = 200,
) -> str:
    """One line of a log in combined format."""
    at = DAY + timedelta(minutes=minutes)
    return (
        f'{address} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "{method} {target} HTTP/1.1" {status} 512 '
        f'"{referrer}" "{agent}"\n'
    )


LOG = (
    line(60, "/", referrer="https://www.google.com/")
    + line(61, "/shop?utm_source=letter&utm_medium=email&secret=1", address="90.0.0.9", agent=PHONE)
    + line(62, "/shop/mug")
    + line(63, "/style.css")
    + line(64, "/gone", status=404)
    + line(65, "/form", method="POST")
    + line(66, "/", agent=BOT)
    + "this is no log line\n"
    + "\n"
    # 23:30 in UTC is the next day in Berlin: the same visitor has another id there.
    + line(23 * 60 + 30, "/late")
)


def test_page_views_are_stored_at_their_own_times(desk: Desk) -> None:
    row, report = desk.bring("access.log", LOG.encode())
    assert (row.kind, row.state, row.rows) == ("access_log", "done", 4)
    assert report.left_out == {
        "images, styles, scripts and other files": 1,
        "answers that were no page (errors, redirects)": 1,
        "requests other than GET": 1,
        "empty lines": 1,
    }
    assert [(problem.number, problem.file) for problem in report.problems] == [(8, "access.log")]
    assert report.outcomes == {"accepted": 4, "bot": 1}
    stored = desk.events("time, path, referrer_source, utm_source, country, browser, os, device, hostname, import_id")
    at = [DAY + timedelta(minutes=minutes) for minutes in (60, 61, 62, 23 * 60 + 30)]
    assert [each[0] for each in stored] == at
    assert [each[1] for each in stored] == ["/", "/shop", "/shop/mug", "/late"]
    assert [each[2] for each in stored] == ["Google", "letter", "", ""]
    assert stored[0][4:] == ("DE", "Chrome", "Windows", "desktop", "shop.example", row.import_id)
    assert stored[1][5:8] == ("Mobile Safari", "iOS", "mobile")
    (first, phone, second, late) = (visitor for (visitor,) in desk.events("visitor_id"))
    assert first == second != phone
    assert late not in (first, phone), "a visitor lived for longer than a local day"
    assert desk.outcomes() == {"accepted": 4, "bot": 1}
    assert desk.audit().ok
    days = {str((DAY + timedelta(days=number)).date()) for number in (0, 1)}
    assert (row.first_day, row.last_day) == (min(days), max(days))
    assert desk.dirty_days() == days


def test_compressed_logs_and_several_in_a_zip(desk: Desk) -> None:
    row, report = desk.bring("access.log.gz", gzip.compress(LOG.encode()))
    assert (row.rows, [file.name for file in report.files]) == (4, ["access.log"])
    other = line(10, "/a") + line(11, "/b")
    files: dict[str, str | bytes] = {"logs/one.log": other, "logs/two.log.gz": gzip.compress(line(12, "/c").encode())}
    row, report = desk.bring("logs.zip", zipped(files))
    assert (row.rows, [file.name for file in report.files]) == (3, ["one.log", "two.log"])
    assert {path for _, path in desk.events() if path in ("/a", "/b", "/c")} == {"/a", "/b", "/c"}


def test_the_sites_rules_hold(desk: Desk) -> None:
    with writing(desk.services.engine) as session:
        session.execute(
            update(Site).values(blocked_paths=["/shop/**"], blocked_networks=["90.0.0.0/8"], blocked_countries=["US"])
        )
    lines = line(1, "/") + line(2, "/shop/mug") + line(3, "/", address="90.0.0.9") + line(4, "/", address="73.16.0.1")
    row, report = desk.bring("access.log", lines.encode())
    assert report.outcomes == {"accepted": 1, "blocked_path": 1, "blocked_network": 1, "blocked_country": 1}
    assert desk.outcomes() == report.outcomes
    assert row.rows == 1


def test_lines_in_other_encodings_and_endings_are_read(desk: Desk) -> None:
    windows = line(1, "/").replace("\n", "\r\n").encode() + line(2, "/caf\u00e9").encode("cp1252")
    row, report = desk.bring("access.log", windows)
    assert (row.rows, report.guessed_lines, report.malformed.total()) == (2, 1, 0)


def test_what_is_no_log_is_refused_before_anything_is_kept(desk: Desk) -> None:
    for content in (b"hello\n" * 50, b"\x00\x01\x02" * 1000, b"{}", b"a,b\n1,2\n"):
        with pytest.raises(KindUnknown, match="Plausible"):
            desk.send("notes.txt", content)
    assert list(desk.services.settings.data_dir.glob("imports/*")) == []
