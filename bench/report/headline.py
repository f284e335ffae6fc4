"""README's table of headlines, out of the newest records: what, figure, the command that reproduces the row.

The table stands between two comments in README, so that a test can hold it against the records and a command can
renew it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.recorded import ROOT, Point, newest, read_records

BEGIN = "<!-- headline: python -m bench report --headline --write -->"
END = "<!-- /headline -->"

# More runnable processes than this, and a figure was not taken on a quiet machine.
BUSY = 1.5


@dataclass(frozen=True)
class Row:
    """A row of the table. `figure` is a format of `ours`, `theirs` and `ratio`."""

    result: str
    what: str
    figure: str


# In the order of README. A result without a record has no row.
ROWS = (
    Row("front_vs_nginx", "hits per CPU second, on disk, against nginx `return 204`", "{ratio} × ({ours})"),
    Row("front_vs_tornado", "the same against a stock Tornado handler", "{ratio} ×"),
    Row("front_rss_mib", "memory of a collect process at full load", "{ours} MiB"),
    Row("record_us", "a hit's bytes to its record", "{ours} µs"),
    Row("agents_cold_vs_ua_parser", "user agents against ua-parser's Rust resolver", "{ratio} ×"),
    Row("encode_vs_clickhouse_driver", "segment to block against clickhouse-driver, from ready columns", "{ratio} ×"),
    Row("encode_framed_vs_clickhouse_driver", "the same, compressed", "{ratio} ×"),
    Row("store_vs_insert_select", "rows stored against the server's own INSERT SELECT", "{ratio} × ({ours}/s)"),
    Row("bytes_per_page_view", "bytes on disk per page view", "{ours}"),
    Row("load_p99_ms", "an answer at 70 % of the maximum, open loop, p99", "{ours} ms"),
    Row("load_user_us", "a hit from its bytes to its row, user CPU of all processes", "{ours} µs"),
    Row("peers_uvicorn", "hits per CPU second, on disk, against uvicorn, which stores nothing", "{ratio} ×"),
    Row("peers_granian_rsgi", "the same against Granian", "{ratio} ×"),
    Row("peers_insert_each", "hits per CPU second, stored, against an INSERT for each", "{ratio} ×"),
    Row("freshness_p99_ms", "from the answer until it can be asked for, p99", "{ours} ms"),
    Row("backup_restore_s", "restoring a backup", "{ours} s"),
)


def rounded(value: float | None) -> str:
    """Three digits; thousands with commas."""
    if value is None:
        return "–"
    return f"{float(f'{value:.3g}'):,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def headline(points: Sequence[Point], rows: Sequence[Row] = ROWS) -> str:
    """The table in Markdown, of the newest record of each row's result."""
    found = newest(points)
    lines = ["| what | figure | reproduce | measured |", "|---|---|---|---|"]
    for row in rows:
        point = found.get(row.result)
        if point is None or (point.ratio is None and "{ratio}" in row.figure):
            continue  # not measured, or against nobody: the peer was not to be had
        figure = row.figure.format(ours=rounded(point.ours), theirs=rounded(point.theirs), ratio=rounded(point.ratio))
        # What was measured beside other work says so: ratios to a peer in other processes suffer most.
        busy = f", load {point.load:.0f}" if point.load is not None and point.load >= BUSY else ""
        lines.append(
            f"| {row.what} | {figure} | `python -m bench {point.suite}` | {point.date}, {point.machine}{busy} |"
        )
    return "\n".join(lines)


def table_in(text: str) -> str | None:
    """The table that a document shows; None when it has no place for one."""
    found = re.search(rf"{re.escape(BEGIN)}\n(.*?)\n?{re.escape(END)}", text, re.DOTALL)
    return found[1].strip("\n") if found else None


def with_table(text: str, table: str) -> str:
    """The document with this table. ValueError when it has no place for one."""
    if table_in(text) is None:
        raise ValueError(f"there is no place for the table: write {BEGIN} and {END} on lines of their own")
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def is_current(readme: Path = ROOT / "README.md") -> bool:
    """Whether README shows what the records say. For a test."""
    return table_in(readme.read_text()) == headline(read_records())
