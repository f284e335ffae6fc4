"""wrk, sending ready-made requests one after the other on every connection, on a CPU of its own.

The requests stand in one file, each after its length in nine digits, so that the Lua side only slices strings. The
script has no `response` function: with one, wrk parses every header of every answer and the client becomes the
bottleneck. That each hit was taken is therefore asserted on the server's side (records in the spool) and by wrk's own
error counts.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LENGTH_DIGITS = 9

SCRIPT = """
local requests = {}
local file = assert(io.open(@REQUESTS@, "rb"))
while true do
  local length = file:read(@DIGITS@)
  if not length then break end
  requests[#requests + 1] = file:read(tonumber(length, 10))
end
file:close()

local position = 0

function request()
  position = position + 1
  if position > #requests then position = 1 end
  return requests[position]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"duration_us":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"p50_us":%d,"p99_us":%d}\\n',
    summary.requests, summary.duration, errors.connect, errors.read, errors.write, errors.status, errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


class LoadError(RuntimeError):
    """wrk could not run, or some requests were not answered well. The message carries wrk's own counts."""


@dataclass(frozen=True)
class Outcome:
    """What one run of wrk did. Every answer was below status 400, none was lost."""

    requests: int
    duration_s: float
    p50_ms: float
    p99_ms: float

    @property
    def requests_per_s(self) -> float:
        """Rate as the client saw it."""
        return self.requests / self.duration_s


def write_script(folder: Path, requests: Iterable[bytes]) -> Path:
    """Write the requests and the script that cycles through them; returns the script's path."""
    target = folder / "requests.bin"
    with target.open("wb") as file:
        for request in requests:
            file.write(f"{len(request):0{LENGTH_DIGITS}d}".encode() + request)
    script = folder / "requests.lua"
    script.write_text(SCRIPT.replace("@REQUESTS@", json.dumps(str(target))).replace("@DIGITS@", str(LENGTH_DIGITS)))
    return script


def run_wrk(
    program: Path, script: Path, *, port: int, seconds: int, cpu: int, connections: int = 64, timeout_s: int = 2
) -> Outcome:
    """One run against a loopback port. Any error, lost or refused request, and any answer that took longer than
    `timeout_s`, raises LoadError.
    """
    command = ["taskset", "-c", str(cpu), str(program), "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += [f"--timeout={timeout_s}s", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=False, timeout=seconds + 30
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or len(lines) != 1:
        raise LoadError(f"wrk failed ({done.returncode}): {done.stderr or done.stdout}")
    report = json.loads(lines[0])
    if any(report[name] for name in ("connect", "read", "write", "status", "timeout")):
        raise LoadError(f"some requests failed: {lines[0]}")
    return Outcome(report["requests"], report["duration_us"] / 1e6, report["p50_us"] / 1e3, report["p99_us"] / 1e3)
