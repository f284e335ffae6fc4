"""stripe-mock on a free loopback port: Stripe's own double, which knows its specification and remembers nothing.

It answers every request that the specification allows with a sample, and refuses every other one: wrong parameters,
wrong types, wrong paths. `python -m tests.services --install stripe-mock` builds it.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from server.loopback_port import free_port
from tests.services import program
from tests.services.redis import wait_for_port


@contextlib.contextmanager
def running_stripe_mock(folder: Path) -> Iterator[str]:
    """The address of a stripe-mock that lives inside the `with`."""
    port = free_port()
    command = [str(program("stripe-mock")), "-http-addr", f"127.0.0.1:{port}"]
    with (folder / "stripe-mock.log").open("ab") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_for_port(port, child)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()
        child.wait(10)
