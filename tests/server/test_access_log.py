"""A log line is an entry or an error, an entry is a page view or has a reason not to be one.

The last test reads `../shared/corpora/access_log.gz` beside the checkout and is skipped where that folder is absent;
the same code runs on generated logs in every checkout.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.traffic import generate_hits
from bench.traffic.access_log import log_lines as generated_lines
from server.access_log import LineError, SkipReason, parse_line
from server.replay import log_lines, open_log

LINE = (
    '203.0.113.9 - frank [17/May/2015:10:05:03 +0200] "GET /blog/?a=b HTTP/1.1" 200 5120 '
    '"https://example.org/" "Mozilla/5.0"'
)
CORPUS = Path(__file__).resolve().parents[2] / ".." / "shared" / "corpora" / "access_log.gz"


def test_a_combined_line_gives_its_fields() -> None:
    entry = parse_line(LINE)
    assert (entry.address, entry.method, entry.target, entry.status) == ("203.0.113.9", "GET", "/blog/?a=b", 200)
    assert (entry.referrer, entry.agent, entry.time_ms) == ("https://example.org/", "Mozilla/5.0", 1_431_849_903_000)
    assert entry.skip_reason is None


def test_dashes_escapes_and_absolute_targets() -> None:
    line = '2001:db8::1 - - [17/May/2015:10:05:03 +0000] "GET http://h.example/x HTTP/1.1" 304 - "-" "a \\"b\\" \\x41"'
    entry = parse_line(line)
    assert (entry.address, entry.target, entry.referrer, entry.agent) == ("2001:db8::1", "/x", "", 'a "b" A')


def test_further_fields_after_the_agent_are_allowed() -> None:
    assert parse_line(LINE + ' "192.0.2.1" 0.004').agent == "Mozilla/5.0"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "combined format"),
        ("hello", "combined format"),
        (LINE[:-1], "combined format"),
        (LINE.replace("203.0.113.9", "host.example"), "client address"),
        (LINE.replace("17/May", "32/May"), "no such time"),
        (LINE.replace("GET /blog/?a=b HTTP/1.1", "\\x16\\x03\\x01"), "request line"),
        (LINE + "x" * 40_000, "longer than"),
    ],
)
def test_what_is_no_log_line_says_why(line: str, reason: str) -> None:
    with pytest.raises(LineError, match=reason):
        parse_line(line)


@pytest.mark.parametrize(
    ("method", "target", "status", "reason"),
    [
        ("GET", "/", 200, None),
        ("GET", "/index.html?x=1.png", 304, None),
        ("GET", "/docs/v1.2", 200, None),
        ("HEAD", "/", 200, SkipReason.METHOD),
        ("POST", "/login", 200, SkipReason.METHOD),
        ("GET", "/gone", 404, SkipReason.STATUS),
        ("GET", "/moved", 301, SkipReason.STATUS),
        ("GET", "/film", 206, SkipReason.STATUS),
        ("GET", "/style.css?v=3", 200, SkipReason.ASSET),
        ("GET", "/robots.txt", 200, SkipReason.ASSET),
    ],
)
def test_page_views_are_told_from_other_requests(
    method: str, target: str, status: int, reason: SkipReason | None
) -> None:
    line = LINE.replace("GET /blog/?a=b", f"{method} {target}").replace(" 200 5120", f" {status} 5120")
    assert parse_line(line).skip_reason is reason


def test_a_generated_log_parses_whole() -> None:
    hits = list(generate_hits(4_000, seed=11))
    lines = list(generated_lines(hits))
    reasons = Counter(parse_line(line).skip_reason for line in lines)
    assert reasons.total() == len(lines)
    assert set(reasons) == {None, SkipReason.ASSET, SkipReason.STATUS}
    assert {parse_line(line).agent for line in lines} <= {hit.agent.text for hit in hits}


@pytest.mark.skipif(not CORPUS.exists(), reason="../shared/corpora is not beside this checkout")
def test_a_real_log_has_one_torn_line() -> None:
    reasons: Counter[str] = Counter()
    with open_log(str(CORPUS)) as (file, _):
        for line in log_lines(file):
            try:
                reasons[parse_line(line).skip_reason or "page view"] += 1
            except LineError:
                reasons["malformed"] += 1
    assert reasons.total() == 10_000
    assert reasons["malformed"] == 1
    assert reasons["method"] == 48
