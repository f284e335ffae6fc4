"""The web process (`role=web`): shows pages and answers the API; hits are the business of collect processes.

Tornado's own server listens on the inherited socket; there is no collector, no spool and no flusher.
"""

from __future__ import annotations

import asyncio
import sys

from tornado.httpserver import HTTPServer

from server.app import make_application
from server.behind_proxies import BehindProxies
from server.child import run_child
from server.serving_child import ServingChild

# Tornado's default is an hour; nginx's `keepalive_timeout` is this.
IDLE_TIMEOUT_S = 75


class WebProcess(ServingChild):
    """See the module."""

    async def start_serving(self) -> None:
        """Take connections."""
        self._server = HTTPServer(
            BehindProxies(make_application(self.app_context()), self.settings), idle_connection_timeout=IDLE_TIMEOUT_S
        )
        self._server.add_socket(self.listener)

    async def stop_serving(self) -> None:
        """Finish open requests within the grace."""
        self._server.stop()
        try:
            async with asyncio.timeout(self.settings.stop_grace_s):
                await self._server.close_all_connections()
        except TimeoutError:
            return


if __name__ == "__main__":
    sys.exit(run_child(WebProcess, sys.argv[1:]))
