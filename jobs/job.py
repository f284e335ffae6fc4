"""What a job is, when it is due, and into how many pieces it is cut.

Due times are in UTC throughout: each exists once and none is skipped, so daylight saving time is no concern here. Times
are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from jobs.context import JobContext

# healthchecks.io's characters for a check's name in a URL; also what fits a metric's label and a command line.
_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_SHARD = re.compile(r"(\d{1,4})/(\d{1,4})")


class JobRefused(ValueError):
    """A line of the job table is wrong. A programming error, raised when the table is imported."""


class ShardRefused(ValueError):
    """A piece was asked for that the job does not have. `str()` says which there are."""


class CatchUp(Enum):
    """What becomes of due times at which nobody could run the job."""

    EACH = "each"
    """One run for each of them, in order: what the job does belongs to its due time."""
    LATEST = "latest"
    """One run stands for all of them: the others are recorded as covered."""


@dataclass(frozen=True)
class Shard:
    """A piece of a job: `index` counts from 0. Each piece has its own state, lock and runs."""

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        """As the app database and the command line have it: 0/1 is a job in one piece."""
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The piece that `i/n` names. Raises `ShardRefused`."""
        match = _SHARD.fullmatch(text)
        if match is None or int(match[1]) >= int(match[2]):
            raise ShardRefused(f"{text!r} is no piece: expected i/n with i from 0 to n-1")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class Job:
    """One line of the job table.

    `schedule`: a cron expression of five fields. `function` gets a `JobContext` and returns how many rows it handled;
    it must be safe to run again for the same due time, whole or after it was killed halfway. `deadline_s`: how long one
    run may take. `monitor`: the check's name at the monitor, empty for none. `late_after_s`: how long after its due
    time a run may start. `shards`: the pieces it is cut into. `attempts`: runs of one due time before it is given up.
    Raises `JobRefused`.
    """

    name: str
    schedule: str
    function: Callable[[JobContext], int]
    deadline_s: int
    monitor: str
    catch_up: CatchUp
    late_after_s: int
    shards: int = 1
    attempts: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only when it is due."""
        if not _NAME.fullmatch(self.name) or (self.monitor and not _NAME.fullmatch(self.monitor)):
            raise JobRefused(f"job {self.name!r}: names are 1 to 64 of a-z, 0-9, - and _")
        if min(self.deadline_s, self.late_after_s, self.shards, self.attempts) < 1:
            raise JobRefused(f"job {self.name!r}: limits are at least 1")
        if len(self.schedule.split()) != 5:
            raise JobRefused(f"job {self.name!r}: {self.schedule!r} does not have five fields")
        try:
            next(CronSim(self.schedule, datetime(2026, 1, 1, tzinfo=UTC)))
        except (CronSimError, StopIteration) as error:
            raise JobRefused(f"job {self.name!r}: {self.schedule!r} is no schedule: {error}") from error

    def pieces(self) -> list[Shard]:
        """All its pieces."""
        return [Shard(index, self.shards) for index in range(self.shards)]

    def piece(self, text: str) -> Shard:
        """The piece that `i/n` names. Raises `ShardRefused` when the job is not cut like that."""
        shard = Shard.parse(text)
        if shard.count != self.shards:
            cut = "runs in one piece" if self.shards == 1 else f"is cut into {self.shards} pieces"
            raise ShardRefused(f"{self.name} {cut}: {text} is none of it")
        return shard

    def due_after(self, at_ms: int) -> int:
        """The first due time after this one."""
        return _ms(next(CronSim(self.schedule, _utc(at_ms))))

    def latest_due(self, now_ms: int) -> int:
        """The last due time up to and including now."""
        # CronSim goes back from the time it is given, which it leaves out.
        return _ms(next(CronSim(self.schedule, _utc(now_ms - now_ms % 1000 + 1000), reverse=True)))

    def is_due_at(self, at_ms: int) -> bool:
        """Whether this is one of its due times."""
        return self.latest_due(at_ms) == at_ms

    def due_between(self, after_ms: int, until_ms: int) -> Iterator[int]:
        """The due times after the first time, up to and including the second, ascending."""
        due_ms = self.due_after(after_ms)
        while due_ms <= until_ms:
            yield due_ms
            due_ms = self.due_after(due_ms)


def shown_time(at_ms: int) -> str:
    """A time as people and logs read it: to the second, in UTC."""
    return f"{_utc(at_ms):%Y-%m-%dT%H:%M:%SZ}"


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000
