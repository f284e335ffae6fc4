"""Makes `previous.tar.xz`: a data folder as the version of another checkout leaves it, killed with hits in its spool.

    cd CHECKOUT-OF-THE-OLDER-VERSION && .venv/bin/python THIS-FILE TARGET.tar.xz

30 hits are stored; 20 more lie in a sealed and in an open segment, taken while ClickHouse was away. It runs the other
checkout's code, so it uses nothing but what every version has: `serve`, hits over HTTP, and files.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

STORED, SPOOLED = 30, 20

# Written again at each start, or only of that process's life.
LEFT_OUT = ("clickhouse.log", "lock", "address.json", "config.xml", "status")
NOBODY = "clickhouse://127.0.0.1:1/footfall"
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"


def send(port: int, first: int, count: int) -> None:
    """Page views of paths that tell them apart; each must be taken."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    for number in range(first, first + count):
        body = json.dumps({"n": "pageview", "u": f"http://localhost/upgrade/{number}", "d": "localhost"})
        connection.request("POST", "/api/event", body, {"User-Agent": USER_AGENT, "Content-Type": "text/plain"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 202, answer.status
    connection.close()


def main() -> None:
    """Make the folder with the checkout that is the working folder, and pack it."""
    sys.path.insert(0, str(Path.cwd()))
    from tests.services.footfall import FootfallServer

    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        server = FootfallServer(data_dir, first_site_domain="localhost")
        server.start()
        send(server.port, 0, STORED)
        deadline_s = time.monotonic() + 60
        while f"{STORED} rows" not in server.command("count").stdout:
            assert time.monotonic() < deadline_s, "the hits are not stored"
            time.sleep(0.5)
        assert server.stop() == 0
        server = FootfallServer(data_dir, clickhouse_url=NOBODY, first_site_domain="localhost")
        server.start()
        send(server.port, STORED, SPOOLED // 2)
        time.sleep(1.5)  # that segment is sealed by its age
        send(server.port, STORED + SPOOLED // 2, SPOOLED // 2)
        server.kill()
        with tarfile.open(sys.argv[1], "w:xz") as archive:
            archive.add(data_dir, "data", filter=without_what_is_made_again)


def without_what_is_made_again(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Nor with whose machine it was."""
    if "/clickhouse/" in member.name and Path(member.name).name in LEFT_OUT:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
