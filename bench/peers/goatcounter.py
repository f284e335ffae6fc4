"""GoatCounter: web analytics in Go, one process with SQLite.

As its documentation starts it for production behind a proxy: `serve -tls none` with the database in WAL mode, its
default. Hits wait in memory for `-store-every` seconds, 10 by default ("higher values will give better performance"),
which stays. Its rate limit of four hits per second and visitor is lifted, since few visitors stand for many.
GOMAXPROCS is 1, since it has one core.

2.5.0, because later versions keep no single hits unless asked to on their settings page, so they could not be counted.

A page view goes as its own script sends it, an empty POST with everything in the query. It knows page views and events;
vitals, timings and engagement go as events of their names.

It was not run where this was written, since the Go module proxy there does not serve it: what is configured follows its
documentation.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from bench.peers.go_programs import GoProgram
from bench.peers.peer import AbsentError, ProcessPeer
from bench.traffic import Hit, HitKind, http_request

PROGRAM = GoProgram("goatcounter", "zgo.at/goatcounter/v2/cmd/goatcounter", "v2.5.0")

VHOST = "stats.example.com"
CREATE_TIMEOUT_S = 60


class GoatCounter(ProcessPeer):
    """Answers from memory."""

    name = "goatcounter"
    form = "serve -tls none, SQLite, stored every 10 s, GOMAXPROCS=1"
    patience_s = 15.0

    def __init__(self, folder: Path, program: GoProgram = PROGRAM) -> None:
        super().__init__(folder)
        self.program = program
        self.database = folder / "goatcounter.sqlite3"

    def start(self) -> None:
        """Make the site once, then serve."""
        program = self.program.path()
        if not self.database.exists():
            site = [f"-vhost={VHOST}", "-user.email=a@example.com", "-user.password=correct-horse-battery"]
            create = [str(program), "db", "create", "site", "-createdb", f"-db=sqlite+{self.database}", *site]
            made = subprocess.run(
                create, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=CREATE_TIMEOUT_S
            )
            if made.returncode != 0:
                raise AbsentError(f"its site could not be made: {made.stderr[-400:]}")
        super().start()

    def command(self) -> list[str]:
        """Its command line."""
        listen = ["-listen", f"127.0.0.1:{self.port}", "-tls", "none", "-ratelimit", "count:1000000/1"]
        return [str(self.program.path()), "serve", f"-db=sqlite+{self.database}", "-automigrate", *listen]

    def environment(self) -> dict[str, str]:
        """Go on one core."""
        return {**os.environ, "GOMAXPROCS": "1"}

    def request(self, hit: Hit) -> bytes:
        """As count.js sends it."""
        is_event = hit.kind is not HitKind.PAGEVIEW
        size = f"{hit.agent.screen_width_px},{hit.agent.screen_height_px},1"
        name = (hit.event_name or hit.kind.value) if is_event else urlsplit(hit.url).path
        query = {"p": name, "r": hit.referrer, "t": "A page", "s": size, "b": "0", "rnd": f"{hit.load_id:x}"}
        if is_event:
            query["e"] = "true"
        return http_request(hit, host=VHOST, path=f"/count?{urlencode(query)}", body=b"")

    def stored(self) -> int:
        """Rows of `hits`."""
        return len(self.stored_paths())

    def stored_paths(self) -> list[str]:
        """Of every row."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return [path for (path,) in connection.execute("SELECT path FROM hits JOIN paths USING (path_id)")]
        finally:
            connection.close()
