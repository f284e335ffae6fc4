"""Umami: web analytics on Node and PostgreSQL. Registry packages alone do not build it, so it is never measured.

npm has its whole source (`umami` 2.10.0, the newest there). Building it runs `prisma generate` for its pinned Prisma
5.7.0, whose query engine is a native library that neither `prisma` nor `@prisma/engines` contains: it is fetched from
Prisma's own download server, and the build ends without it. Its other download, the GeoLite database from GitHub, is
missed as well. A newer Prisma has an engine in WebAssembly, but Umami on it would not be what its users run.
"""

from __future__ import annotations

from bench.peers.peer import AbsentError, Peer

REASON = (
    "umami 2.10.0 of npm needs Prisma 5.7.0's query engine, a native library that no registry package contains: "
    "`prisma generate` fetches libquery_engine.so.node from Prisma's own server"
)


class Umami(Peer):
    """Named, so that it is not missed silently."""

    name = "umami"
    form = "not built"

    def start(self) -> None:
        """Never."""
        raise AbsentError(REASON)

    def kill(self) -> None:
        """Nothing runs."""

    @property
    def server_pids(self) -> list[int]:
        """None."""
        return []
