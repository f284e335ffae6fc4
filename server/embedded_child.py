"""The embedded ClickHouse's own process: `python -m server.embedded_child`, started by `server.embedded` only.

It takes the lock of its home folder for as long as it lives, so at most one server ever opens one data folder, writes
`address.json`, and then becomes (libchdb) or starts (a `clickhouse` binary) the server. Standard input is a pipe whose
other end the parent holds: when that end closes, for whatever reason the parent ended, the server ends too.

| file in the home folder | what |
|---|---|
| `lock` | flock'd by this process; free means nobody serves |
| `address.json` | `{"pid", "port"}` of the holder; stale when the lock is free |
| `config.xml` | settings of the server, rewritten at each start |
| `data/` | ClickHouse's files |
| `clickhouse.log` | standard output and error of the server |

Exit status: 75 another process holds the lock, 70 the server cannot run, 0 the parent is gone.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

EXIT_IN_USE = 75
"""EX_TEMPFAIL: the folder is served by another process; use that one."""
EXIT_CANNOT_RUN = 70
"""EX_SOFTWARE: the library or binary refused to start or returned."""
TERMINATE_TIMEOUT_S = 10.0
"""A `clickhouse` binary finishes its running INSERTs on SIGTERM; later than this it is killed, which loses nothing
that was acknowledged."""
PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that the kernel sends when the thread that started us ends."""

CONFIG = """<clickhouse>
  {logger}
  <path>{data}/</path>
  <tmp_path>{data}/tmp/</tmp_path>
  <listen_host>127.0.0.1</listen_host>
  <tcp_port>{port}</tcp_port>
  <!-- A laptop's share: half the memory, and small caches instead of the 5 GiB that a server machine gets. -->
  <max_server_memory_usage_to_ram_ratio>0.5</max_server_memory_usage_to_ram_ratio>
  <mark_cache_size>134217728</mark_cache_size>
  <uncompressed_cache_size>67108864</uncompressed_cache_size>
  <user_directories><users_xml><path>{config}</path></users_xml></user_directories>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users><default><password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
    <access_management>0</access_management></default></users>
</clickhouse>
"""

BINARY_LOGGER = "<logger><level>warning</level><console>1</console></logger>"
"""libchdb ignores the level and logs every query, so it gets no logger; what it writes when it aborts comes anyway."""

SERVE_QUERY = (
    "SYSTEM START LISTEN TCP; "
    "SELECT sleepEachRow(3) FROM system.numbers FORMAT Null "
    "SETTINGS function_sleep_max_microseconds_per_block = 100000000000, max_block_size = 1"
)
"""Opens the native port and then never ends, which keeps `chdb_query_cmdline` from returning."""


def main() -> int:
    """Take the lock, publish the address, serve until the parent is gone."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--home", type=Path, required=True)
    arguments.add_argument("--port", type=int, required=True)
    engine = arguments.add_mutually_exclusive_group(required=True)
    engine.add_argument("--library", type=Path)
    engine.add_argument("--binary", type=Path)
    options = arguments.parse_args()
    home: Path = options.home
    lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return EXIT_IN_USE
    data = home / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    config = home / "config.xml"
    log = BINARY_LOGGER if options.library is None else ""
    config.write_text(CONFIG.format(logger=log, data=data, port=options.port, config=config))
    _publish(home, options.port)
    if options.library is not None:
        return _serve_library(options.library, config, data, options.port)
    return _serve_binary(options.binary, config)


def _publish(home: Path, port: int) -> None:
    temporary = home / "address.json.new"
    temporary.write_text(json.dumps({"pid": os.getpid(), "port": port}))
    temporary.replace(home / "address.json")


def _serve_library(library: Path, config: Path, data: Path, port: int) -> int:
    """Run libchdb in this process. It has no orderly end: what it acknowledged is on disk at any moment."""
    threading.Thread(target=_exit_with_parent, name="parent-watch", daemon=True).start()
    try:
        run = ctypes.CDLL(str(library)).chdb_query_cmdline
    except (OSError, AttributeError) as error:
        print(f"cannot load {library}: {error}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    run.restype = ctypes.c_void_p
    command = [
        "clickhouse",
        f"--config-file={config}",
        "--listen_host=127.0.0.1",
        f"--tcp_port={port}",
        f"--path={data}",
        f"--query={SERVE_QUERY}",
    ]
    run(len(command), (ctypes.c_char_p * len(command))(*(argument.encode() for argument in command)))
    print("the server returned", file=sys.stderr)
    return EXIT_CANNOT_RUN


def _exit_with_parent() -> None:
    os.read(0, 1)
    os._exit(0)


def _serve_binary(binary: Path, config: Path) -> int:
    """Run `clickhouse server` as our child, tied to this process by the kernel and ended in order by the pipe."""
    server = subprocess.Popen(
        [str(binary), "server", f"--config-file={config}"], stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent
    )

    def stop_with_parent() -> None:
        os.read(0, 1)
        server.terminate()
        try:
            server.wait(TERMINATE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.kill()
        os._exit(0)

    threading.Thread(target=stop_with_parent, name="parent-watch", daemon=True).start()
    server.wait()
    print(f"the server ended with status {server.returncode}", file=sys.stderr)
    return EXIT_CANNOT_RUN


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
