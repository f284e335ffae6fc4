"""`footfall demo` as it is called: on the embedded store, twice, its days closed, the law of accounting kept."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner, Result
from sqlalchemy import func, select

from server.app_database import open_app_database, reading
from server.cli import program
from server.config import load_settings
from server.models import ClosedDay


def call(data_dir: Path, *arguments: str) -> Result:
    """A command that ends well."""
    result = CliRunner().invoke(program, list(arguments), env={"FOOTFALL_DATA_DIR": str(data_dir)})
    assert result.exit_code == 0, result.output
    return result


def test_the_demo_is_filled_closed_and_found_again(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    first = call(data_dir, "demo", "--no-serve", "--scale", "0.01").output
    address = re.search(r"http://localhost:8000/share/[\w-]{22}", first)
    assert address, first
    assert re.search(r"demo\.example: [\d,]{5,} new events, 36[56] days closed", first)
    second = call(data_dir, "demo", "--no-serve").output
    assert address[0] in second
    assert "0 days closed" in second
    engine = open_app_database(load_settings(data_dir=data_dir))
    with reading(engine) as session:
        dirty = session.execute(select(func.count()).select_from(ClosedDay).where(ClosedDay.is_dirty)).scalar()
    engine.dispose()
    assert dirty == 0
    assert "OK " in call(data_dir, "audit").output.splitlines()[-1]
