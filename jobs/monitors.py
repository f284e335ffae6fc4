"""Tells a monitor in healthchecks.io's shape that a run started, succeeded or failed, and makes the checks there.

The monitor raises the alarm when nothing is heard: that covers what no alert of ours can, a Footfall that is down.

| when | request (https://healthchecks.io/docs/http_api/) |
|---|---|
| a run starts | POST `<ping url>/<check>/start?rid=<uuid>` |
| it succeeded | POST `<ping url>/<check>?rid=<uuid>` |
| its due time was given up | POST `<ping url>/<check>/fail?rid=<uuid>` |

A failed run that is tried again is not reported: when the retries take too long, the check's grace time is over. Runs
by hand are not reported either.

Invariants: the ping URL is a secret and in no log line; a monitor that is away costs a run at most `REPORT_WAIT_S` per
report and never makes it fail.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import urllib3

from jobs import metrics
from jobs.job import Job, Shard
from jobs.state import Run
from server.config import PREFIX, SettingError, Settings

log = logging.getLogger(__name__)

# At level debug urllib3 writes the path of each request: the ping key is in it.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)

# One report: two attempts of this each.
REPORT_TIMEOUT_S = 1.5
REPORT_ATTEMPTS = 2

# A name server that does not answer is not covered by those timeouts.
REPORT_WAIT_S = 4.0

# Making checks is a command that a person waits for.
API_TIMEOUT_S = 10.0

# healthchecks.io keeps 100 KB of a body; a line is enough.
MAX_BODY_CHARS = 1000

# Its limits for the grace time.
SHORTEST_GRACE_S = 60
LONGEST_GRACE_S = 365 * 24 * 3600


class MonitorRefused(Exception):
    """The monitor's API did not take a check: it is away, or refuses the key or the check. `str()` says which."""


def check_name(job: Job, shard: Shard) -> str:
    """The name of the check of one piece of a job."""
    return job.monitor if shard.count == 1 else f"{job.monitor}-{shard.index}"


class Ping:
    """The reports of one run."""

    def __init__(self, http: urllib3.PoolManager, url: str) -> None:
        self._http = http
        self._url = url
        self._run_id = str(uuid.uuid4())

    def started(self) -> None:
        """The run begins."""
        self._report("/start", "")

    def succeeded(self, rows: int) -> None:
        """The run is done."""
        self._report("", f"{rows} rows")

    def failed(self, reason: str) -> None:
        """The due time is given up."""
        self._report("/fail", reason)

    def _report(self, ending: str, body: str) -> None:
        if not self._url:
            return
        # A thread of its own: looking a name up cannot be given a timeout.
        sending = threading.Thread(target=self._send, args=(ending, body), name="monitor-report", daemon=True)
        sending.start()
        sending.join(REPORT_WAIT_S)

    def _send(self, ending: str, body: str) -> None:
        url = f"{self._url}{ending}?rid={self._run_id}"
        problem = ""
        for _ in range(REPORT_ATTEMPTS):
            try:
                answer = self._http.request(
                    "POST", url, body=body[:MAX_BODY_CHARS].encode(), redirect=False, preload_content=False
                )
                answer.close()
            except urllib3.exceptions.HTTPError as error:
                problem = type(error).__name__
                continue
            if answer.status < 300:
                return
            problem = f"status {answer.status}"
            if answer.status < 500:
                break
        metrics.MONITOR_FAILURES.inc()
        log.warning("the monitor did not take a report", extra={"report": ending or "/success", "reason": problem})


class Monitors:
    """Reports of all runs of this process. For any thread."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.monitor_ping_url
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=REPORT_TIMEOUT_S), retries=False, headers={"User-Agent": "footfall"}
        )

    def ping_of(self, job: Job, run: Run) -> Ping:
        """The reports of a run; they go nowhere when there is no monitor, or the run was begun by hand."""
        is_reported = self._url and job.monitor and not run.is_manual
        return Ping(self._http, f"{self._url}/{check_name(job, run.shard)}" if is_reported else "")


@dataclass(frozen=True)
class Check:
    """A check as it was made or found."""

    name: str
    job: Job
    is_new: bool


def make_checks(settings: Settings, jobs: Sequence[Job]) -> list[Check]:
    """Create a check for each piece of each job, or bring it up to date (https://healthchecks.io/docs/api/).

    Raises `SettingError` without a key, `MonitorRefused` when the API does not do as asked.
    """
    if not settings.monitor_api_key:
        raise SettingError(f"{PREFIX}MONITOR_API_KEY", "", "a key that may write, to make checks with")
    api = _Api(settings)
    known = {str(check.get("slug")) for check in api.request("GET", None).get("checks", [])}
    made = []
    for job in jobs:
        for shard in job.pieces() if job.monitor else []:
            name = check_name(job, shard)
            check = {
                "name": name,
                "slug": name,
                "tags": "footfall",
                "schedule": job.schedule,
                "tz": "UTC",
                "grace": min(max(job.late_after_s + job.deadline_s, SHORTEST_GRACE_S), LONGEST_GRACE_S),
                "unique": ["slug"],
            }
            if name not in known:
                # Without this a new check tells nobody; who is told by an old one is the operator's choice.
                check["channels"] = "*"
            api.request("POST", check)
            made.append(Check(name, job, is_new=name not in known))
    return made


class _Api:
    def __init__(self, settings: Settings) -> None:
        self._url = f"{settings.monitor_api_url}/api/v3/checks/"
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=API_TIMEOUT_S),
            retries=False,
            headers={"X-Api-Key": settings.monitor_api_key, "User-Agent": "footfall"},
        )

    def request(self, method: str, document: dict[str, Any] | None) -> dict[str, Any]:
        """The API's JSON answer."""
        body = None if document is None else orjson.dumps(document)
        try:
            answer = self._http.request(method, self._url, body=body, redirect=False)
            if answer.status in (401, 403):
                raise MonitorRefused(f"the monitor's API refuses the key, or another check (status {answer.status})")
            if answer.status >= 300:
                raise MonitorRefused(f"the monitor's API answered with status {answer.status}")
            found = orjson.loads(answer.data)
        except urllib3.exceptions.HTTPError as error:
            raise MonitorRefused(f"the monitor's API does not answer: {type(error).__name__}") from error
        except orjson.JSONDecodeError as error:
            raise MonitorRefused("the monitor's API did not answer with JSON") from error
        if not isinstance(found, dict):
            raise MonitorRefused("the monitor's API did not answer as documented")
        return found
