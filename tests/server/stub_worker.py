"""A stand-in for the worker process, without an import of ours: reports as often as its file of orders says.

The file named by STUB_WORKER_ORDERS holds one word: `report`, `hang` (say nothing more), `stall` (report that it is not
live), `end` (exit at once) or `stay` (report, and take no notice of SIGTERM).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


def main() -> int:
    """Until SIGTERM, or until the parent is gone."""
    arguments = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:])
    assert arguments["slot"] == "worker"
    assert "listen-fd" not in arguments
    control = socket.socket(fileno=int(arguments["control-fd"]))
    orders = Path(os.environ["STUB_WORKER_ORDERS"])
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    if orders.read_text() == "end":
        return 3
    control.sendall(b'{"type":"ready"}\n')
    family: list[object] = ["footfall_stub", "", "gauge", [["footfall_stub", {}, float(os.getpid())]]]
    report = {"type": "report", "live": [], "ready": ["no database"], "families": [family]}
    while True:
        order = orders.read_text()
        if stopped and order != "stay":
            return 0
        if order in ("report", "stay", "stall"):
            live = ["stalled"] if order == "stall" else []
            control.sendall(json.dumps({**report, "live": live}).encode() + b"\n")
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
