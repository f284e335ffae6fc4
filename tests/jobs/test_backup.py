"""The job `backup` on the fake clock: what it makes, what goes, what happens when it fails, waits, or is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from jobs import backup
from jobs.context import JobContext
from jobs.job import CatchUp
from jobs.schedule import JOBS
from server.alerts import AlertKind
from server.app_database import reading, writing
from server.backups.folder_target import FolderTarget
from server.backups.key import load_key, new_key
from server.backups.manifest import backup_ids, load_manifest, new_backup_id
from server.backups.register import BEAT_LIFE_MS, begin
from server.backups.verification import verify
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.clock import DAY_MS, now_ms
from server.config import Settings
from server.migrate import SchemaForm, migrate
from server.models import Backup
from server.sites import add_site
from tests.jobs.one_job import World, go
from tests.services.clickhouse import fresh_database, shared_clickhouse

(JOB,) = [job for job in JOBS if job.name == "backup"]
KEEP_DAYS = 3
ROW = "INSERT INTO events (site_id, hour, time) VALUES (1, '2026-09-05 00:00:00', '2026-09-05 00:00:00')"


class Killed(BaseException):
    """A process that ends at this step."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseAddress]:
    """A migrated database with a row."""
    with shared_clickhouse(tmp_path_factory.mktemp("clickhouse")) as server, fresh_database(server) as address:
        migrate(address, SchemaForm())
        with closing(BlockConnection(address)) as connection:
            connection.command(ROW)
        yield address


def nothing(done: int, total: int, what: str) -> None:
    """Progress that nobody looks at."""


class BackedUp:
    """An installation, the job, and the place of its backups."""

    def __init__(self, settings: Settings, engine: Engine, address: ClickHouseAddress, folder: Path) -> None:
        given = {
            "backup_target": str(folder),
            "backup_key": new_key(),
            "backup_keep_days": KEEP_DAYS,
            "clickhouse_url": str(address),
        }
        self.settings = settings.model_copy(update=given)
        self.engine = engine
        add_site(engine, "a.test", "UTC")
        self.world = World(self.settings, engine)
        # The files have the time of this machine.
        self.world.clock.now_ms = now_ms()
        self.world.catch_up = CatchUp.LATEST
        self.world.function = self._run
        self.world.runner().tick()
        self.interrupt: Callable[[str], None] = lambda what: None

    @property
    def target(self) -> FolderTarget:
        return FolderTarget.of(self.settings)

    def run(self, days: float = 1) -> list[str]:
        """The job at its next due time; how its runs ended."""
        self.world.clock.advance(days * DAY_MS / 1000)
        return [str(result.outcome) for result in go(self.world.runner(deadline_s=JOB.deadline_s))]

    def _run(self, context: JobContext) -> int:
        progress = context.progress

        def observed(rows: int, message: str = "") -> None:
            progress(rows, message)
            self.interrupt(message)

        context.progress = observed  # type: ignore[method-assign]
        return backup.run(context, pause=self.world.clock.advance)

    def there(self) -> list[str]:
        """The backups; each of them is whole."""
        found = backup_ids(self.target)
        for each in found:
            manifest = load_manifest(self.target, load_key(self.settings), each)
            found_now = verify(self.target, load_key(self.settings), manifest, nothing, is_quick=True)
            assert found_now.problems == []
        return found

    def states(self) -> list[str]:
        """How the backups stand in the register, oldest first."""
        with reading(self.engine) as session:
            return list(session.execute(select(Backup.state).order_by(Backup.started_at_ms)).scalars())


@pytest.fixture
def backed_up(sqlite_settings: Settings, app: Engine, address: ClickHouseAddress, tmp_path: Path) -> BackedUp:
    return BackedUp(sqlite_settings, app, address, tmp_path / "backups")


def test_a_backup_a_day_and_those_that_are_over_go(backed_up: BackedUp) -> None:
    assert JOB.due_after(JOB.due_after(0)) - JOB.due_after(0) == DAY_MS
    for day in range(1, KEEP_DAYS + 3):
        assert backed_up.run() == ["succeeded"]
        assert len(backed_up.there()) == min(day, KEEP_DAYS)
    assert {run.rows for run in backed_up.world.runs()} == {0, 1}, "one run stands for the due times before it"
    assert backed_up.states() == ["removed"] * 2 + ["complete"] * KEEP_DAYS
    # What only they referred to goes as well: an app database for each that is kept, one partition, and what is young.
    assert len(list(backed_up.target.stored("objects"))) == KEEP_DAYS + 1
    # The newest stays however old it is.
    assert backed_up.run(100) == ["succeeded"]
    assert len(backed_up.there()) == 1


def test_without_a_place_nothing_is_made(backed_up: BackedUp, tmp_path: Path) -> None:
    backed_up.world.settings = backed_up.settings.model_copy(update={"backup_target": ""})
    assert backed_up.run() == ["succeeded"]
    assert backed_up.world.runs()[-1].rows == 0
    assert backed_up.states() == []
    assert not (tmp_path / "backups").exists()


def test_what_fails_is_tried_again_and_then_told(backed_up: BackedUp, tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("a file in the folder's place")
    assert backed_up.run() == ["failed"]
    for _ in range(2):
        backed_up.world.clock.advance(3600)
        backed_up.run(0)
    (alert,) = [each for each in backed_up.world.alerts.raised if each.kind is AlertKind.JOB_FAILED]
    assert "TargetUnavailable" in alert.detail + alert.summary
    errors = {run.error for run in backed_up.world.runs() if run.outcome == "failed"}
    assert all("cannot be used" in error for error in errors)
    assert not any(backed_up.settings.backup_key in text for text in (*errors, alert.summary, alert.detail))
    (tmp_path / "backups").unlink()
    assert backed_up.run() == ["succeeded"]
    assert len(backed_up.there()) == 1


def test_it_waits_for_a_backup_that_an_operator_makes(backed_up: BackedUp) -> None:
    begin(backed_up.engine, backed_up.settings, new_backup_id(1), backed_up.world.clock.now_ms + DAY_MS)
    began_ms = backed_up.world.clock.now_ms + DAY_MS
    waited: list[str] = []
    backed_up.interrupt = waited.append
    assert backed_up.run() == ["succeeded"]
    assert waited.count("another backup is being made") > 10
    assert backed_up.world.clock.now_ms > began_ms + BEAT_LIFE_MS, "nothing was heard of it any more"
    assert backed_up.states() == ["failed", "complete"]


def test_a_job_that_is_killed_at_any_step_makes_its_backup_all_the_same(backed_up: BackedUp) -> None:
    """As SIGKILL leaves it: the register says that it is being made. Each due time ends with a backup."""
    steps = 0
    while True:
        left = steps

        def kill(what: str) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                raise Killed

        backed_up.interrupt = kill
        before = backed_up.there()
        try:
            assert backed_up.run() == ["succeeded"]
        except Killed:
            with writing(backed_up.engine) as session:
                session.execute(update(Backup).where(Backup.state == "failed").values(state="running"))
            # Half of one does not exist; killed while it removed others, the new one does.
            assert len({*backed_up.there()} - {*before}) == (backed_up.states()[-1] == "complete")
            backed_up.interrupt = lambda what: None
            backed_up.world.clock.advance(backed_up.world.limits.lease_ms / 1000 + 1)
            assert backed_up.run(0) == ["succeeded"]
            steps += 1
            assert backed_up.there()[-1] not in before
            continue
        break
    assert steps > 3
    assert backed_up.world.alerts.keys(AlertKind.JOB_FAILED) == []
