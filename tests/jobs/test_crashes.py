"""The runner under crashes: a model of several processes on one app database, killed at any statement.

What `finish` and `check` hold: each due run happens once, or again after a crash; none is missed; runs of one piece
never overlap while leases are honoured; what is late is told once; jobs that catch up with their latest due time end
covered. Due times are in UTC, so there is no hour that comes twice or never: daylight saving time plays no part.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import Engine

from server.app_database import open_app_database
from server.config import Settings, load_settings
from server.models import Base, JobRun, JobState
from tests.jobs.simulation import LIMITS, Process, World, check, finish

TABLES = [Base.metadata.tables[model.__tablename__] for model in (JobState, JobRun)]

# Machines that run the jobs; each starts another process when its own has died.
MACHINES = 2

machines = st.integers(0, MACHINES - 1)


class CrashingRunners(RuleBasedStateMachine):
    """Processes that move, stand still and die while time passes."""

    app_database_url: ClassVar[str] = ""

    @initialize(plans=st.lists(st.sampled_from(["ok", "long", "fail"]), max_size=40))
    def begin(self, plans: list[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="footfall-jobs-"))
        self.settings = load_settings(data_dir=self.folder, app_database_url=self.app_database_url)
        self.engine: Engine = open_app_database(self.settings)
        Base.metadata.drop_all(self.engine, TABLES)
        Base.metadata.create_all(self.engine, TABLES)
        self.world = World(self.settings, lambda: open_app_database(self.settings), plans=plans)
        self.running = [self.world.start_process() for _ in range(MACHINES)]
        # The first look makes the jobs known.
        self.running[0].turn()
        self.world.clock.advance(310)

    def on(self, machine: int) -> Process:
        if self.running[machine].has_ended:
            self.running[machine] = self.world.start_process()
        return self.running[machine]

    @rule(machine=machines, steps=st.integers(1, 15))
    def move(self, machine: int, steps: int) -> None:
        self.on(machine).step(steps)

    @rule(machine=machines)
    def complete(self, machine: int) -> None:
        self.on(machine).turn()

    @rule(machine=machines, points=st.integers(0, 60))
    def complete_or_die(self, machine: int, points: int) -> None:
        process = self.on(machine)
        process.kill_after(points)
        process.turn()

    @rule(machine=machines, seconds=st.sampled_from([30, LIMITS.lease_ms // 1000 + 1, 200]))
    def stand_still_in_a_run(self, machine: int, seconds: int) -> None:
        """Go on into a job's function if there is one to run, and stay there while time passes."""
        process = self.on(machine)
        process.step()
        while not (process.is_idle or process.has_ended or process.is_in_a_run):
            process.step()
        self.world.clock.advance(seconds)

    @rule(machine=machines, seconds=st.sampled_from([LIMITS.lease_ms // 1000, 100]))
    def be_overtaken(self, machine: int, seconds: int) -> None:
        """Stand still in a run for longer than its lease, while the other machine goes on; then go on as well."""
        self.stand_still_in_a_run(machine, seconds)
        self.complete(1 - machine)
        self.complete(machine)

    @rule(order=st.lists(machines, min_size=8, max_size=60), seconds=st.sampled_from([0, 61, 310]))
    def race(self, order: list[int], seconds: int) -> None:
        """All machines at once, in any order of their points."""
        self.world.clock.advance(seconds)
        for machine in order:
            self.on(machine).step()

    @rule(machine=machines)
    def die(self, machine: int) -> None:
        self.on(machine).kill()

    @rule(seconds=st.sampled_from([1, 45, LIMITS.lease_ms // 1000 + 1, 130, 300, 700]))
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @rule(seconds=st.sampled_from([45, 100, 250]), machine=machines)
    def wait_and_complete(self, seconds: int, machine: int) -> None:
        self.world.clock.advance(seconds)
        self.on(machine).turn()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            finish(self.world)
            check(self.world, self.engine)
        finally:
            for process in self.world.alive():
                process.kill()
            self.engine.dispose()
            shutil.rmtree(self.folder, ignore_errors=True)


def run_model(app_database_url: str, examples: int) -> None:
    model = type("Model", (CrashingRunners,), {"app_database_url": app_database_url})
    # An example is a few hundred transactions, and the machine may be busy.
    calm = settings(
        max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(model, settings=calm)


def test_crashes_on_sqlite() -> None:
    run_model("", examples=20)


def test_crashes_on_postgresql(postgresql_settings: Settings) -> None:
    run_model(postgresql_settings.app_database_url, examples=4)
