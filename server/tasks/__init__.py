"""The task queue: work that outlives a request, with retries, progress and cancelling.

The row in `tasks` is the truth; Huey carries hints that a row has something to do, in Redis or in a file. So a task
survives the worker that is killed, the Redis that is restarted and the message that is lost: it is done at least once,
and its end is recorded once.

    @task("import.run", attempts=5, first_delay_s=10, deadline_s=3600)
    def run_import(run: TaskRun, *, import_id: int) -> None: ...

    with writing(engine) as session:
        queue.enqueue(session, "import.run", arguments={"import_id": 7}, unique_key="import 7")

| module | what |
|---|---|
| `kinds` | the table of kinds, and `@task` |
| `rows` | every change of a row, as one statement |
| `queue` | `TaskQueue`: enqueue, cancel, sweep, purge |
| `broker`, `messages`, `consumer` | Huey: where messages are, what they are, who reads them |
| `run`, `runner`, `leases` | one attempt: what the function sees, how it is carried out, who holds it |
| `worker` | `Worker`: the threads of a process |
| `status` | a task as pages show it |
"""

from __future__ import annotations

from server.tasks.kinds import (
    JSON,
    KINDS,
    ArgumentsRefused,
    DuplicateTaskKind,
    GivenUp,
    TaskKind,
    UnknownTaskKind,
    task,
)
from server.tasks.limits import TaskLimits
from server.tasks.queue import Cancelled, TaskQueue
from server.tasks.rows import TaskState, UniqueKeyContested
from server.tasks.run import (
    CheckpointRefused,
    DeadlineExceeded,
    LeaseLost,
    TaskCancelled,
    TaskFailed,
    TaskRun,
    WorkerStopping,
)
from server.tasks.status import TaskStatus, task_status
from server.tasks.worker import Worker

__all__ = [
    "JSON",
    "KINDS",
    "ArgumentsRefused",
    "Cancelled",
    "CheckpointRefused",
    "DeadlineExceeded",
    "DuplicateTaskKind",
    "GivenUp",
    "LeaseLost",
    "TaskCancelled",
    "TaskFailed",
    "TaskKind",
    "TaskLimits",
    "TaskQueue",
    "TaskRun",
    "TaskState",
    "TaskStatus",
    "UniqueKeyContested",
    "UnknownTaskKind",
    "Worker",
    "WorkerStopping",
    "task",
    "task_status",
]
