"""Records are written and read back; the report draws them; README's table is theirs."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import recorded
from bench.__main__ import main as bench_main
from bench.harness import Budget, Result
from bench.recorded import Point, read_records, versions, write_record
from bench.report.charts import Mark, chart, tick_step
from bench.report.headline import BEGIN, END, Row, headline, is_current, table_in, with_table
from bench.report.page import page
from bench.report.text import lines, sparkline

ONE, OTHER = "2 × A CPU", "8 × <Another> CPU"
POINTS = [
    Point(
        "front_vs_nginx", "2026-11-20", ONE, 60_000, 100_000, 0.6, "hits/CPU s", "≥ 0.7", False, "front", "aaaa", 0.2
    ),
    Point("front_vs_nginx", "2026-11-23", OTHER, 90_000, 120_000, 0.75, "hits/CPU s", "≥ 0.7", True, "front", "bbbb"),
    Point("front_vs_nginx", "2026-11-30", ONE, 80_000, 100_000, 0.8, "hits/CPU s", "≥ 0.7", True, "front", "cccc"),
    Point(
        "record_us",
        "2026-11-30",
        ONE,
        1.862,
        None,
        None,
        "us",
        "≤ 1.5",
        False,
        "record",
        load=9.6,
        versions={"rustc": "1.97"},
    ),
]


def test_a_record_is_read_back_and_the_later_result_of_a_day_stays(tmp_path: Path) -> None:
    first = Result("a", 2.0, 1.0, 2.0, "rows/s", Budget(1.5, "at_least"), rounds=((2.0, 1.0),))
    other = Result("b", 7.0, None, None, "us")
    path = write_record({"encode": [first], "record": [other]}, load=1.26, folder=tmp_path)
    assert write_record({"encode": [Result("a", 3.0, 1.0, 3.0, "rows/s")]}, load=0.1, folder=tmp_path) == path
    by_name = {point.name: point for point in read_records(tmp_path)}
    assert (by_name["a"].ratio, by_name["a"].suite, by_name["a"].load) == (3.0, "encode", 0.1)
    assert (by_name["b"].ours, by_name["b"].ratio, by_name["b"].load) == (7.0, None, 1.3)
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?", by_name["a"].commit)
    kept = json.loads(path.read_text())
    assert kept["machine"].keys() == {"cpu", "cpus", "memory_gib", "kernel", "python"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("option", ["--quick", "--any-build"])
def test_results_that_mean_nothing_are_not_kept(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_main(["record", "--record", option])
    assert "not worth keeping" in capsys.readouterr().err


def test_versions_name_what_matters() -> None:
    found = versions()
    assert {"python", "rustc", "uvloop", "tornado", "clickhouse-driver", "lz4"} <= found.keys()
    assert all(re.match(r"\d", version) for version in found.values()), found


def test_a_program_that_is_absent_has_no_version() -> None:
    assert recorded.printed(["no-such-program", "-v"], "(.*)") == ""


def test_a_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match=r"x\.json is no record"):
        read_records(tmp_path)
    assert bench_main(["report", "--folder", str(tmp_path)]) == 2


def test_what_is_committed_can_be_read() -> None:
    points = read_records()
    assert all(point.suite for point in points)
    assert headline(points).count("\n") >= 1


@pytest.mark.parametrize(("budget", "bound"), [("≥ 0.7", 0.7), ("≤ 150", 150.0), ("≤ 1e+06", 1e6), ("", None)])
def test_the_bound_of_a_budget(budget: str, bound: float | None) -> None:
    assert Point("x", "2026-11-30", ONE, 1, None, None, "us", budget).bound == bound


def test_the_terminal_form_tells_verdict_and_history() -> None:
    text = "\n".join(lines(POINTS))
    assert "0.8 × (80,000 against 100,000 hits/CPU s)  budget ≥ 0.7 kept  ▁█ since 2026-11-20" in text
    assert "1.862 us  budget ≤ 1.5 MISSED" in text
    assert "nothing is recorded yet" in "\n".join(lines([]))


def test_a_sparkline_of_one_height_is_flat() -> None:
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert sparkline([0.0, 1.0, 2.0]) == "▁▅█"


class Balanced(HTMLParser):
    """Elements that are open; attributes that fetch."""

    OPTIONAL_ENDS = frozenset({"meta", "th", "td", "line", "circle", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetching: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.fetching += [name for name, _ in attributes if name in ("src", "href", "style") or name.startswith("on")]
        if tag not in self.OPTIONAL_ENDS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.OPTIONAL_ENDS:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing() -> None:
    text = page(POINTS)
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert parser.fetching == []
    assert "<script" not in text
    assert "prefers-color-scheme: dark" in text
    assert "8 × &lt;Another&gt; CPU" in text
    assert "<Another>" not in text
    assert text.count("<svg") == 3, "ratio and absolute of a comparison, absolute of a figure"
    assert text.count('<text class="budget"') == 2
    assert "Nothing is recorded yet" in page([])


def test_a_chart_puts_dates_and_values_in_proportion() -> None:
    marks = [Mark("2026-11-20", 0.0, "a"), Mark("2026-11-25", 50.0, "b"), Mark("2026-11-30", 100.0, "<c>")]
    drawn = ET.fromstring(chart("x", {0: marks}, bound=50.0))  # noqa: S314  # our own text
    places = [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in drawn.iter("circle")]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    ticks = [each.text for each in drawn.iter("text") if each.attrib.get("text-anchor") == "end"]
    assert ticks[:3] == ["0", "50", "100"]
    (budget,) = [each for each in drawn.iter("line") if each.attrib["class"] == "budget"]
    assert float(budget.attrib["y1"]) == pytest.approx(y1, abs=0.1)
    assert [each.text for each in drawn.iter("title")] == ["a", "b", "<c>"]


@pytest.mark.parametrize(
    ("top", "step"), [(0.756, 0.2), (41_000, 10_000), (162, 50), (1.0, 0.2), (4.9, 1.0), (0.004, 0.001)]
)
def test_ticks_are_round_numbers(top: float, step: float) -> None:
    assert tick_step(top) == pytest.approx(step)


def test_one_date_stands_in_the_middle() -> None:
    drawn = ET.fromstring(chart("x", {0: [Mark("2026-11-30", 2.0, "a")]}, bound=None))  # noqa: S314  # our own text
    (circle,) = drawn.iter("circle")
    assert 200 < float(circle.attrib["cx"]) < 400


def test_the_headline_takes_the_newest_and_says_how_to_reproduce_it() -> None:
    rows = (
        Row("front_vs_nginx", "against nginx", "{ratio} × ({ours} against {theirs})"),
        Row("record_us", "hit to record", "{ours} µs"),
        Row("not_measured", "?", "{ours}"),
    )
    assert headline(POINTS, rows).splitlines()[2:] == [
        f"| against nginx | 0.8 × (80,000 against 100,000) | `python -m bench front` | 2026-11-30, {ONE} |",
        f"| hit to record | 1.86 µs | `python -m bench record` | 2026-11-30, {ONE}, load 10 |",
    ]


def test_the_table_of_a_document_is_found_and_renewed(tmp_path: Path) -> None:
    document = f"before\n{BEGIN}\n{END}\nafter\n"
    assert table_in(document) == ""
    renewed = with_table(document, headline(read_records()))
    assert table_in(renewed) == headline(read_records())
    assert with_table(renewed, "x") == f"before\n{BEGIN}\nx\n{END}\nafter\n"
    (tmp_path / "README.md").write_text(renewed)
    assert is_current(tmp_path / "README.md")
    (tmp_path / "README.md").write_text(document)
    assert not is_current(tmp_path / "README.md")
    with pytest.raises(ValueError, match="no place for the table"):
        with_table("nothing", "x")


def test_readme_shows_what_the_records_say() -> None:
    assert is_current(), "python -m bench report --headline --write"


def test_the_command_writes_each_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_record({"record": [Result("record_us", 1.5, None, None, "us")]}, load=0, folder=tmp_path)
    folder = ["--folder", str(tmp_path)]
    assert bench_main(["report", *folder]) == 0
    assert "1.5 us" in capsys.readouterr().out
    assert bench_main(["report", *folder, "--headline"]) == 0
    assert "| 1.5 µs |" in capsys.readouterr().out
    assert bench_main(["report", *folder, "--html", str(tmp_path / "report.html")]) == 0
    assert "<svg" in (tmp_path / "report.html").read_text()
