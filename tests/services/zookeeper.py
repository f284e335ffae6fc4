"""A ZooKeeper on a free loopback port, from Debian's package, its data in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from server.loopback_port import free_port
from tests.services import program
from tests.services.redis import wait_for_port

CONFIG = """tickTime=2000
dataDir={folder}/data
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
"""

# A Java program's own idea of a quarter of the machine is no share of a test's.
HEAP = "-Xmx128m"


@contextlib.contextmanager
def running_zookeeper(folder: Path) -> Iterator[int]:
    """The port of one that lives inside the `with`."""
    port = free_port()
    (folder / "data").mkdir(parents=True)
    config = folder / "zoo.cfg"
    config.write_text(CONFIG.format(folder=folder, port=port))
    environment = {**os.environ, "ZOO_LOG_DIR": str(folder), "JVMFLAGS": HEAP}
    with (folder / "output").open("wb") as output:
        child = subprocess.Popen(
            [str(program("zkServer.sh")), "start-foreground", str(config)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for_port(port, child)
        yield port
    finally:
        child.kill()
        child.wait(10)
