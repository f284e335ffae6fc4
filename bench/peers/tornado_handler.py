"""The same endpoint as a stock Tornado handler on uvloop: `python -m bench.peers.tornado_handler PORT`.

It parses the same JSON with orjson, checks the two fields every hit must have, and answers 202. It stores nothing:
whatever Footfall does beyond that is a handicap of ours.
"""

from __future__ import annotations

import asyncio
import sys

import orjson
import uvloop
from tornado.web import Application, RequestHandler


class EventHandler(RequestHandler):
    """POST /api/event."""

    def post(self) -> None:
        """Parse, check, answer."""
        hit = orjson.loads(self.request.body)
        if not isinstance(hit, dict) or "n" not in hit or "u" not in hit:
            self.send_error(400)
            return
        self.set_status(202)
        self.set_header("Content-Type", "text/plain")
        self.set_header("Access-Control-Allow-Origin", "*")
        self.finish("ok")


async def serve(port: int) -> None:
    """Serve until killed."""
    Application([("/api/event", EventHandler)]).listen(port, "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
