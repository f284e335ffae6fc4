"""A server for the test of killing: it answers hits 202 and appends their paths to a file, honestly or not.

`python -m tests.bench.forgetful_server PORT FILE honest|forgetful`. The forgetful one never writes a number that ends
in 0, and writes one that ends in 1 twice.
"""

from __future__ import annotations

import asyncio
import os
import sys

import orjson

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"


async def serve(port: int, path: str, *, honest: bool) -> None:
    """Until killed."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            page = orjson.loads(await reader.readexactly(length))["u"]
            times = 1 if honest else {"0": 0, "1": 2}.get(page[-1], 1)
            os.write(file, f"{page.partition('example.com')[2]}\n".encode() * times)
            writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], honest=sys.argv[3] == "honest"))
