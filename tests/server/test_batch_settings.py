"""Batch settings from a mounted file: what a ConfigMap gives is read, what is wrong changes nothing and says why."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from server.batch_settings import BatchSettingsError, BatchSettingsWatcher, parse_batch_settings
from server.config import BatchSettings, Durability
from server.metrics import BATCH_SETTINGS_INVALID

BASE = BatchSettings(batch_max_rows=1000)


@pytest.mark.parametrize(
    "content",
    [
        b"batch_max_rows: 50\ndurability: power\n",
        b'---\n# tuned\nbatch_max_rows: "50"   # rows\n\nDURABILITY: power',
        b'{"batch_max_rows": 50, "durability": "power"}',
    ],
)
def test_lines_and_json_are_read_on_top_of_the_environment(content: bytes) -> None:
    settings = parse_batch_settings(content, BASE)
    assert (settings.batch_max_rows, settings.durability) == (50, Durability.POWER)
    assert settings.batch_max_age_ms == BASE.batch_max_age_ms


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"batch_max_rows: many", "batch_max_rows=many is not allowed: expected a whole number"),
        (b"batch_max_rows: 0", "batch_max_rows=0 is not allowed"),
        (b"batch_max_lines: 5", "batch_max_lines is not a batch setting"),
        (b"batch_max_rows 5", "line 1 is not `name: value`"),
        (b"batch_max_rows: 5\nbatch_max_rows: 6", "a second time"),
        (b'{"batch_max_rows": 5', "not valid JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * 70_000, "more than"),
    ],
)
def test_a_wrong_file_says_why_in_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(BatchSettingsError) as error:
        parse_batch_settings(content, BASE)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_file_keeps_the_old_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "batch.yaml"
    seen: list[BatchSettings] = []
    watcher = BatchSettingsWatcher(path, BASE, seen.append)

    def look(content: str | None) -> float:
        if content is not None:
            replacement = tmp_path / "next"
            replacement.write_text(content)
            replacement.replace(path)  # as a ConfigMap's link is swapped
        watcher.check()
        return float(BATCH_SETTINGS_INVALID._value.get())

    with caplog.at_level(logging.INFO):
        assert look(None) == 1, "a missing file is told"
        assert look("batch_max_rows: 7") == 0
        assert look("batch_max_rows: seven") == 1
        assert look(None) == 1
        assert look("batch_max_rows: 8\nbatch_max_age_ms: 200") == 0
    assert [(settings.batch_max_rows, settings.batch_max_age_ms) for settings in seen] == [(7, 1000), (8, 200)]
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 2, "each wrong content is told once"
