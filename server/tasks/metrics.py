"""What the task queue counts. Totals per kind and outcome; nothing about single tasks."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from server.metrics import REGISTRY

# From a mail to an import.
DURATION_BUCKETS_S = (0.1, 1, 10, 60, 600, 3600)

TASKS_ENQUEUED = Counter("footfall_tasks_enqueued", "Tasks queued by this process", ["kind"], registry=REGISTRY)
TASKS_DONE = Counter("footfall_tasks_done", "Attempts ended, by outcome", ["kind", "outcome"], registry=REGISTRY)
TASK_DURATION_S = Histogram(
    "footfall_task_duration_seconds", "How long attempts took", ["kind"], registry=REGISTRY, buckets=DURATION_BUCKETS_S
)
TASKS_RUNNING = Gauge("footfall_tasks_running", "Tasks that run in this process now", registry=REGISTRY)
TASKS_QUEUED = Gauge(
    "footfall_tasks_queued", "Tasks that wait or will be retried, in the whole installation", registry=REGISTRY
)
OLDEST_DUE_S = Gauge(
    "footfall_tasks_oldest_due_seconds", "How long the longest waiting due task has been due", registry=REGISTRY
)
LEASES_LOST = Counter("footfall_task_leases_lost", "Attempts whose task another worker took", registry=REGISTRY)
MESSAGES_SWEPT = Counter("footfall_task_messages_swept", "Messages sent by a sweep", registry=REGISTRY)
MESSAGES_REFUSED = Counter(
    "footfall_task_messages_refused", "Messages in the queue that are not ours", ["reason"], registry=REGISTRY
)
QUEUE_AWAY = Gauge(
    "footfall_task_queue_away",
    "1 while Redis, or the queue's file, is away: workers find due tasks in the app database",
    registry=REGISTRY,
)
