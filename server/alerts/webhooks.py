"""Alerts through webhooks: Slack's, and one that sends a text message. Each delivery is a task of its own.

Invariants:
- a webhook's URL is its password: no part of it is in a log line, an error or a row;
- no redirect is followed, so nothing is sent to another host than the operator named;
- a delivery that fails for good is logged and raises no further alert.

| answer | means |
|---|---|
| 2xx | delivered |
| 4xx, but 408 and 429 | refused for good: the webhook is gone or the message wrong |
| anything else, or none | tried again |
"""

from __future__ import annotations

import logging

import orjson
import urllib3

from server.tasks import TaskFailed, TaskRun, task

# At level debug urllib3 writes the path of each request.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0

# A quarter of an hour's outage of Slack: 10, 20, 40 … 640 s, drawn. An alert that is older helps nobody.
ATTEMPTS = 8
FIRST_DELAY_S = 10.0
DEADLINE_S = 60.0

# Request Timeout and Too Many Requests.
_PASSING_4XX = frozenset((408, 429))

_POOL = urllib3.PoolManager(
    retries=False, timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=ANSWER_TIMEOUT_S), num_pools=4
)


class WebhookUnreachable(Exception):
    """No answer from a webhook, or one that asks to try again. The text names no address."""


def post_json(url: str, document: dict[str, str]) -> None:
    """POST a document. Raises `TaskFailed` when it is refused for good, `WebhookUnreachable` otherwise."""
    try:
        response = _POOL.request(
            "POST",
            url,
            body=orjson.dumps(document),
            headers={"Content-Type": "application/json", "User-Agent": "Footfall"},
            redirect=False,
            preload_content=False,
        )
    except urllib3.exceptions.HTTPError as error:
        # Its text holds the URL, and so would the chain of a traceback.
        raise WebhookUnreachable(type(error).__name__) from None
    # Nothing in the answer but its status matters, and it may be of any length.
    response.close()
    if 200 <= response.status < 300:
        return
    if 400 <= response.status < 500 and response.status not in _PASSING_4XX:
        raise TaskFailed(f"the webhook answered {response.status}")
    raise WebhookUnreachable(f"the webhook answered {response.status}")


@task("alert.slack", attempts=ATTEMPTS, first_delay_s=FIRST_DELAY_S, deadline_s=DEADLINE_S, alerts=False)
def send_to_slack(run: TaskRun, *, text: str) -> None:
    """Post a text to Slack's incoming webhook."""
    _send(run.services.settings.slack_webhook_url, text)


@task("alert.sms", attempts=ATTEMPTS, first_delay_s=FIRST_DELAY_S, deadline_s=DEADLINE_S, alerts=False)
def send_as_sms(run: TaskRun, *, text: str) -> None:
    """Post a text to the webhook that sends it as a text message."""
    _send(run.services.settings.sms_webhook_url, text)


def _send(url: str, text: str) -> None:
    # The setting may have been taken back since the alert.
    if url:
        post_json(url, {"text": text})
