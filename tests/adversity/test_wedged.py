"""A wedged event loop and a wedged flusher are seen from outside within half a minute, at default limits."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.services.footfall import FootfallServer
from tests.services.waiting import wait_until

WEDGES = Path(__file__).with_name("wedges")

# What an operator is promised.
SEEN_WITHIN_S = 30.0


def healthz(port: int, timeout_s: float = 20.0, path: str = "/healthz") -> tuple[int, list[str]]:
    """Status and problems; raises TimeoutError when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()).get("problems", [])
    finally:
        connection.close()


def public_answer(port: int) -> int | None:
    """The status from a process whose loop runs; connections to the other one wait for ever."""
    for _ in range(20):
        try:
            return healthz(port, timeout_s=0.5)[0]
        except TimeoutError:
            continue
    return None


@pytest.mark.slow
def test_a_wedged_loop_and_a_wedged_flusher_fail_health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(WEDGES))
    server = FootfallServer(tmp_path / "data", processes="2")
    try:
        server.start()
        wait_until(lambda: "ClickHouse is ready" in server.log_path.read_text())
        # Hits are taken as soon as one of the two has started.
        wait_until(lambda: healthz(server.internal_port, path="/readyz") == (200, []))
        assert healthz(server.internal_port) == (200, [])
        began_s = time.monotonic()
        for process in server.collect_processes():
            wedge = signal.SIGUSR1 if "--slot=0" in process.cmdline() else signal.SIGUSR2
            os.kill(process.pid, wedge)
        problems: list[str] = []
        seen_s: dict[str, float] = {}
        while len(seen_s) < 2:
            assert time.monotonic() - began_s < SEEN_WITHIN_S, f"only {problems} after {SEEN_WITHIN_S} s"
            status, problems = healthz(server.internal_port)
            assert (status == 503) == bool(problems)
            for wedged in ("process 0: silent for", "process 1: the flusher has not moved"):
                if any(problem.startswith(wedged) for problem in problems):
                    seen_s.setdefault(wedged, time.monotonic() - began_s)
            time.sleep(0.1)
        print({wedged: round(seconds, 1) for wedged, seconds in seen_s.items()})
        assert public_answer(server.port) == 503
    finally:
        server.kill()
