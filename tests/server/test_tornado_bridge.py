"""What the front's exchange sends when a handler gives up in the middle of an answer."""

from __future__ import annotations

import asyncio

from tornado.httputil import HTTPHeaders, ResponseStartLine

from server.tornado_bridge import BodyState, Exchange, RequestHead


class Channel:
    """Keeps what was sent, and how the exchange ended."""

    is_closed = False
    is_draining = False

    def __init__(self) -> None:
        self.sent = b""
        self.ended: list[bool] = []

    def send(self, data: bytes) -> asyncio.Future[None] | None:
        self.sent += data
        return None

    def take_body(self) -> bytes | BodyState:
        return BodyState.COMPLETE

    def send_rejection(self) -> None:
        raise AssertionError

    def exchange_done(self, *, keep_alive: bool) -> None:
        self.ended.append(keep_alive)


def answer(channel: Channel, *, gives_up: bool) -> None:
    async def handle() -> None:
        head = RequestHead("GET", "/", "HTTP/1.1", (), "127.0.0.1", "http", True, False, False)
        exchange = Exchange(head, channel)
        await exchange.write_headers(ResponseStartLine("HTTP/1.1", 200, "OK"), HTTPHeaders())
        await exchange.write(b"half")
        if gives_up:
            exchange.close()
        exchange.finish()

    asyncio.run(handle())


def test_a_whole_answer_has_its_end() -> None:
    channel = Channel()
    answer(channel, gives_up=False)
    assert channel.sent.endswith(b"4\r\nhalf\r\n0\r\n\r\n")
    assert channel.ended == [True]


def test_an_answer_that_was_given_up_has_none() -> None:
    channel = Channel()
    answer(channel, gives_up=True)
    assert channel.sent.endswith(b"4\r\nhalf\r\n")
    assert channel.ended == [False], "the connection closes"
