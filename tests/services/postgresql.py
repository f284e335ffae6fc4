"""A real PostgreSQL on a free loopback port, its data in the test's temporary folder."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from server.loopback_port import free_port
from tests.services import program
from tests.services.redis import wait_for_port

# PostgreSQL refuses to run as root; Debian's package makes this user.
SERVICE_USER = "postgres"


@contextlib.contextmanager
def running_postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL with one empty database, `footfall`, that lives inside the `with`."""
    initdb, postgres, psql = program("initdb"), program("postgres"), program("initdb").with_name("psql")
    if not psql.exists():
        found = shutil.which("psql")
        assert found is not None, "psql is not installed"
        psql = Path(found)
    # Not pytest's folder: its parents are closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="footfall-postgresql-"))
    user = pwd.getpwnam(SERVICE_USER) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    os.chown(folder, user.pw_uid, user.pw_gid)
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C"}
    port = free_port()
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, "env": environment}
    try:
        initialise = [str(initdb), "-D", str(data), "-U", "footfall", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initialise, check=True, **quiet, **as_user)  # type: ignore[call-overload]
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-c", "fsync=off"]
        child: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
            [str(postgres), "-D", str(data), *options], **quiet, **as_user
        )
        try:
            wait_for_port(port, child)
            create = [str(psql), "-h", "127.0.0.1", "-p", str(port), "-U", "footfall", "postgres"]
            for _ in range(50):
                done = subprocess.run([*create, "-c", "CREATE DATABASE footfall"], check=False, **quiet)  # type: ignore[call-overload]
                if done.returncode == 0:
                    break
            yield f"postgresql://footfall@127.0.0.1:{port}/footfall"
        finally:
            child.send_signal(signal.SIGINT)  # "fast" shutdown
            child.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
