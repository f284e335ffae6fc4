"""The disaster drill: every data folder of an installation is lost, and what people see is the same after a restore.

Everything is done by the commands that an operator has: `footfall demo` fills and closes a year with today open,
`footfall backup …` makes, checks and restores. Prints how long the recovery took.
"""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
from click.testing import CliRunner, Result
from sqlalchemy import select

from server.app_database import open_app_database, reading
from server.backups.key import new_key
from server.cli import program
from server.clock import now_ms
from server.config import load_settings
from server.models import Site
from server.queries.engine import StatsEngine
from server.queries.event_reader import EventReader
from server.queries.parsing import parse_query
from server.store import open_store

WHOLE = ["2025-01-01", "2027-12-31"]
QUESTIONS: tuple[dict[str, Any], ...] = (
    {"metrics": ["visitors", "visits", "pageviews", "bounce_rate", "visit_duration"], "date_range": WHOLE},
    {"metrics": ["visitors"], "dimensions": ["time:month"], "date_range": WHOLE},
    *(
        {"metrics": ["visitors", "pageviews"], "dimensions": [dimension], "date_range": WHOLE}
        for dimension in ("event:page", "visit:source", "visit:country", "visit:browser")
    ),
    {"metrics": ["visitors"], "date_range": WHOLE, "filters": [["is", "visit:country", ["DE"]]]},
)


def answers(data_dir: Path, at_ms: int) -> list[bytes]:
    """What the API's engine says at this moment, as bytes."""
    settings = load_settings(data_dir=data_dir)
    engine = open_app_database(settings)
    try:
        with open_store(settings) as store, closing(EventReader(store.addresses[0])) as reader:
            stats = StatsEngine(engine, reader)
            with reading(engine) as session:
                site = session.execute(select(Site).where(Site.domain == "demo.example")).scalar_one()
            said = []
            for question in QUESTIONS:
                query = parse_query(question, stats.site_facts(site, at_ms))
                said.append(orjson.dumps(stats.document(query, question, at_ms)))
            return said
    finally:
        engine.dispose()


def test_a_lost_installation_is_restored_with_the_same_dashboards(tmp_path: Path) -> None:
    lost, fresh = tmp_path / "lost", tmp_path / "fresh"
    environment = {"FOOTFALL_BACKUP_TARGET": str(tmp_path / "backups"), "FOOTFALL_BACKUP_KEY": new_key()}

    def call(data_dir: Path, *arguments: str, **more: str) -> Result:
        return CliRunner().invoke(program, arguments, env={**environment, "FOOTFALL_DATA_DIR": str(data_dir), **more})

    def done(result: Result) -> str:
        assert result.exit_code == 0, result.output
        return result.output

    done(call(lost, "demo", "--no-serve", "--scale", "0.01"))
    at_ms = now_ms()
    before = answers(lost, at_ms)
    assert "copied" in done(call(lost, "backup", "create"))
    assert "OK " in done(call(lost, "backup", "verify"))

    refused = call(fresh, "backup", "restore", FOOTFALL_BACKUP_KEY=new_key())
    assert refused.exit_code == 1
    assert "encrypted with another key" in refused.output
    refused = call(lost, "backup", "restore")
    assert refused.exit_code == 1
    assert "--replace" in refused.output

    shutil.rmtree(lost)
    shutil.rmtree(fresh, ignore_errors=True)
    began_s = time.monotonic()
    assert "restored" in done(call(fresh, "backup", "restore"))
    print(f"recovered in {time.monotonic() - began_s:.1f} s")
    assert answers(fresh, at_ms) == before
    assert "OK " in done(call(fresh, "audit")).splitlines()[-1]
    assert "1 backups" in done(call(fresh, "backup", "list"))
