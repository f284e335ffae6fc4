"""An import that is killed anywhere and taken again counts every line once: after each part, within each part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from server.imports import rows
from server.imports.run import ImportRun, NotRunning
from server.sink import Sink
from tests.server.imports.desk import Desk, Stopped, zipped
from tests.server.imports.test_access_logs import BOT, PHONE, line
from tests.server.imports.test_plausible import EXPORT

# Two logs of twenty lines: bots, wrong lines and page views of two visitors, in parts of seven.
PART_LINES = 7
COLUMNS = "toString(time), path, toString(browser), country"


def logs(salt: str) -> bytes:
    """A zip that is another file for another salt, with the same lines."""

    def content(name: str) -> str:
        made = []
        for minute in range(20):
            kind = minute % 5
            if kind == 3:
                made.append("not a line of a log\n")
            elif kind == 4:
                made.append(line(minute, "/", agent=BOT))
            else:
                made.append(
                    line(minute * 90, f"/{name}/{minute}", agent=PHONE if kind else BOT.replace("Googlebot", "X"))
                )
        return "".join(made)

    return zipped({"one.log": content("one"), "two.log": content("two"), f"{salt}.log": line(1, "/last")})


def stored(desk: Desk, import_id: int) -> tuple[Any, ...]:
    """What there is of an import."""
    events = desk.connection.select(
        f"SELECT {COLUMNS} FROM events WHERE import_id = %(id)s ORDER BY ALL", {"id": import_id}
    )
    ledger = desk.connection.select(
        "SELECT toString(hour), toString(outcome), sum(count) FROM ledger WHERE import_id = %(id)s "
        "GROUP BY ALL ORDER BY ALL",
        {"id": import_id},
    )
    row, saved = desk.saved(import_id)
    report = saved.report
    counts = (report.taken, report.left_out, report.malformed, report.outcomes, len(report.problems))
    return events, ledger, row.state, row.rows, counts


def test_killed_between_any_two_parts(desk: Desk) -> None:
    whole = desk.send("logs.zip", logs("whole"))
    desk.carry_out(whole, part_lines=PART_LINES)
    expected = stored(desk, whole)
    assert len(expected[0]) == 17
    assert expected[2:4] == ("done", 17)
    for stop_after in (1, 2, 3, 5):
        import_id = desk.send("logs.zip", logs(f"stop{stop_after}"))
        attempts = 0
        while desk.saved(import_id)[0].state != "done":
            attempts += 1
            try:
                # Each attempt ends after its first parts; the parts stay those of the first attempt.
                desk.carry_out(import_id, stop_after=stop_after, part_lines=PART_LINES if attempts == 1 else 1_000)
            except Stopped:
                assert desk.saved(import_id)[0].state == "running"
        assert attempts > 1
        assert stored(desk, import_id) == expected
    assert desk.audit().ok


@pytest.mark.parametrize("what", ["before events", "after events", "after counts", "before saving"])
def test_killed_within_a_part(desk: Desk, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    whole = desk.send("logs.zip", logs("whole"))
    desk.carry_out(whole, part_lines=PART_LINES)
    expected = stored(desk, whole)
    for fails_at in (1, 2, 4):
        import_id = desk.send("logs.zip", logs(f"{what}{fails_at}"))
        with monkeypatch.context() as patched:
            match what:
                case "before saving":
                    patched.setattr(ImportRun, "save", failing(ImportRun.save, fails_at, is_after=False))
                case "after counts":
                    patched.setattr(Sink, "store", failing(Sink.store, fails_at, is_after=True))
                case _:
                    is_after = what == "after events"
                    patched.setattr(Sink, "_insert", failing(Sink._insert, fails_at, is_after=is_after))
            with pytest.raises(Stopped):
                desk.carry_out(import_id, part_lines=PART_LINES)
        desk.carry_out(import_id, part_lines=PART_LINES)
        assert stored(desk, import_id) == expected
    assert desk.audit().ok


def failing(function: Callable[..., Any], fails_at: int, *, is_after: bool) -> Callable[..., Any]:
    """The function, killed at one of its calls: before it does anything, or after it has done everything."""
    calls = 0

    def called(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == fails_at and not is_after:
            raise Stopped
        result = function(*arguments, **named)
        if calls == fails_at:
            raise Stopped
        return result

    return called


@pytest.mark.parametrize("stop_after", [3, 12])
def test_figures_begin_again(desk: Desk, monkeypatch: pytest.MonkeyPatch, stop_after: int) -> None:
    monkeypatch.setattr("server.imports.stored_figures.CHUNK_ROWS", 1)
    whole = desk.send("a.zip", zipped(EXPORT))
    desk.carry_out(whole)
    expected = desk.figures(whole)
    rows_of = desk.saved(whole)[1].report
    with_more = {**EXPORT, "note.txt": "another file"}
    desk.connection.command(f"DELETE FROM daily WHERE version = {whole}", lightweight_deletes_sync=2)
    import_id = desk.send("b.zip", zipped(with_more))
    # Otherwise its days would be those of another import.
    monkeypatch.setattr("server.imports.figure_run.figure_versions", lambda session, site_id: [])
    with pytest.raises(Stopped):
        desk.carry_out(import_id, stop_after=stop_after)
    desk.carry_out(import_id)
    assert desk.figures(import_id) == expected
    report = desk.saved(import_id)[1].report
    assert (report.taken, report.left_out, report.malformed) == (rows_of.taken, rows_of.left_out, rows_of.malformed)
    assert [file.name for file in report.files if not file.what] == ["note.txt"]


def test_a_run_that_is_over_stores_nothing(desk: Desk) -> None:
    import_id = desk.send("logs.zip", logs("x"))
    desk.carry_out(import_id)
    before = stored(desk, import_id)
    desk.carry_out(import_id)
    with pytest.raises(NotRunning):
        desk.carry_out(import_id, part_lines=3)
    assert stored(desk, import_id) == before
    assert not rows.begin(desk.services.engine, import_id)
