"""A real nginx on a free loopback port, one worker, with the `server` body that a test or benchmark gives it, and what
stands beside it.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from server.loopback_port import free_port
from tests.services import program
from tests.services.redis import wait_for_port

CONFIG = """daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {beside}
  server {{ listen 127.0.0.1:{port}; {body} }}
}}
"""


class Nginx(NamedTuple):
    """A running nginx, which is one process in the foreground."""

    port: int
    pid: int


@contextlib.contextmanager
def running_nginx(folder: Path, body: str = "location / { return 204; }", beside: str = "") -> Iterator[Nginx]:
    """An nginx that lives inside the `with`, and listens."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, body=body, beside=beside))
    child = subprocess.Popen(
        [str(program("nginx")), "-p", str(folder), "-c", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, child)
        yield Nginx(port, child.pid)
    finally:
        child.terminate()
        child.wait(10)
