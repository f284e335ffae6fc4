"""A ClickHouse that serves HTTP beside its native protocol, for peers that speak HTTP to it:
`python -m bench.peers.clickhouse_child --home DIR --port N --http-port M --library|--binary PATH`.

The same engine with the same configuration as `server.embedded_child` starts it with, plus one port. It ends with the
process that started it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
from pathlib import Path

from server.embedded_child import BINARY_LOGGER, CONFIG, PR_SET_PDEATHSIG, SERVE_QUERY


def main() -> None:
    """Become the server; never returns."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--home", type=Path, required=True)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--http-port", type=int, required=True)
    engine = arguments.add_mutually_exclusive_group(required=True)
    engine.add_argument("--library", type=Path)
    engine.add_argument("--binary", type=Path)
    options = arguments.parse_args()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    data, config = options.home / "data", options.home / "config.xml"
    data.mkdir(exist_ok=True)
    http = f"<http_port>{options.http_port}</http_port>"
    logger = BINARY_LOGGER if options.library is None else ""
    text = CONFIG.format(logger=logger, data=data, port=options.port, config=config)
    config.write_text(text.replace("<tcp_port>", f"{http}<tcp_port>"))
    if options.library is None:
        os.execv(options.binary, [str(options.binary), "server", f"--config-file={config}"])  # noqa: S606 - its pid is ours
    run = ctypes.CDLL(str(options.library)).chdb_query_cmdline
    run.restype = ctypes.c_void_p
    command = [
        "clickhouse",
        f"--config-file={config}",
        "--listen_host=127.0.0.1",
        f"--tcp_port={options.port}",
        f"--http_port={options.http_port}",
        f"--path={data}",
        f"--query=SYSTEM START LISTEN HTTP; {SERVE_QUERY}",
    ]
    run(len(command), (ctypes.c_char_p * len(command))(*(argument.encode() for argument in command)))
    raise SystemExit("the server returned")


if __name__ == "__main__":
    main()
