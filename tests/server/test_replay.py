"""Replay accounts for every line whatever the server does: drops, rejects, hangs up, is full, is gone."""

from __future__ import annotations

import asyncio
import gzip
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from bench.traffic import generate_hits
from bench.traffic.access_log import log_lines as generated_lines
from server.access_log import parse_line
from server.config import load_settings
from server.replay import (
    PROBE_ADDRESS,
    Account,
    LogDamagedError,
    Replay,
    ReplayError,
    Target,
    log_lines,
    open_log,
    require_trust,
)
from server.replay_command import exit_code, print_account, replay_log, server_for_replay

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
DROPPED = b"HTTP/1.1 202 Accepted\r\nX-Footfall-Dropped: bot\r\nContent-Length: 2\r\n\r\nok"
REJECTED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}"
FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"

# What a scripted server does with its n-th request: the answer's bytes, or None to hang up without one.
Script = Callable[[int, dict[str, str], bytes], bytes | None]


@asynccontextmanager
async def scripted_server(script: Script) -> AsyncIterator[str]:
    """A loopback HTTP server that answers by script; yields its base URL."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = await reader.readexactly(int(fields["Content-Length"]))
                count += 1
                answer = script(count, fields, body)
                if answer is None:
                    break
                writer.write(answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()


def run_replay(script: Script, lines: list[str], **settings: float) -> Account:
    async def run() -> Account:
        async with scripted_server(script) as base_url:
            return await Replay(Target(base_url, "example.com"), connections=4, **settings).run(lines)  # type: ignore[arg-type]

    account = asyncio.run(run())
    assert account.balanced
    return account


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return [*generated_lines(generate_hits(800, seed=21)), "not a log line"]


@pytest.fixture(scope="module")
def views(lines: list[str]) -> int:
    return sum(parse_line(line).skip_reason is None for line in lines[:-1])


def test_each_page_view_is_sent_once_with_its_own_headers(lines: list[str], views: int) -> None:
    seen: list[tuple[str, str, str]] = []

    def script(number: int, fields: dict[str, str], body: bytes) -> bytes:
        hit = orjson.loads(body)
        assert hit["n"] == "pageview"
        assert hit["d"] == "example.com"
        seen.append((fields["X-Forwarded-For"], fields.get("User-Agent", ""), hit["u"]))
        return ACCEPTED

    account = run_replay(script, lines)
    expected = sorted(
        (entry.address, entry.agent, f"https://example.com{entry.target}")
        for entry in map(parse_line, lines[:-1])
        if entry.skip_reason is None
    )
    assert sorted(seen) == expected
    assert account.accepted == views
    assert account.malformed == [(len(lines), "not in combined format")]
    assert exit_code(account) == 0


def test_all_requests_sends_assets_and_errors_too(lines: list[str]) -> None:
    account = run_replay(lambda *_: ACCEPTED, lines, all_requests=True)
    assert account.accepted == len(lines) - 1


def test_outcomes_are_counted_by_reason(lines: list[str], views: int) -> None:
    answers = [ACCEPTED, DROPPED, REJECTED]
    account = run_replay(lambda number, *_: answers[number % 3], lines)
    assert account.answered == views
    assert set(account.dropped) == {"bot"}
    assert set(account.rejected) == {400}
    assert abs(account.accepted - account.rejected[400]) <= 1


def test_a_lost_connection_is_tried_again_and_counted(lines: list[str], views: int) -> None:
    lost = 0

    def script(number: int, *_: object) -> bytes | None:
        nonlocal lost
        if number % 50 == 0:
            lost += 1
            return None
        return ACCEPTED

    account = run_replay(script, lines)
    assert account.accepted == views
    assert 0 < account.resent_after_loss <= lost


@pytest.mark.parametrize("torn", [b"", ACCEPTED[:-1], ACCEPTED[:9]])
def test_a_server_that_stops_mid_answer_is_given_up_on_and_tried_again(torn: bytes) -> None:
    line = next(iter(generated_lines(generate_hits(5, seed=1))))
    account = run_replay(lambda number, *_: torn if number == 1 else ACCEPTED, [line, line], answer_deadline_s=0.2)
    assert (account.accepted, account.resent_after_loss) == (2, 1)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
)
def test_what_is_no_answer_of_ours_leaves_the_line_unanswered(answer: bytes) -> None:
    line = next(iter(generated_lines(generate_hits(5, seed=1))))
    account = run_replay(lambda *_: answer, [line], patience_s=0.1)
    assert account.unanswered == 1


def test_a_full_spool_is_waited_for(lines: list[str], views: int) -> None:
    account = run_replay(lambda number, *_: FULL if number <= 40 else ACCEPTED, lines)
    assert account.accepted == views
    assert account.resent_after_loss == 0


def test_a_server_that_is_gone_leaves_lines_unanswered(lines: list[str], views: int) -> None:
    account = asyncio.run(Replay(Target("http://127.0.0.1:9", "x"), connections=200, patience_s=0.2).run(lines))
    assert account.balanced
    assert account.unanswered == views
    assert exit_code(account) == 1


def test_cancelling_keeps_the_account_balanced(lines: list[str]) -> None:
    async def run() -> Account:
        answered = asyncio.Event()

        def script(number: int, *_: object) -> bytes:
            if number == 20:
                answered.set()
            return ACCEPTED

        async with scripted_server(script) as base_url:
            replay = Replay(Target(base_url, "example.com"), connections=2)
            task = asyncio.create_task(replay.run(lines))
            await answered.wait()
            task.cancel()
            await asyncio.wait([task])
            return replay.account

    account = asyncio.run(run())
    assert account.balanced
    assert account.accepted >= 10


def probe_server(sees: str) -> Callable[[Callable[[str], Awaitable[None]]], None]:
    """Runs a check against a server that says it saw the address `sees`."""

    def run(check: Callable[[str], Awaitable[None]]) -> None:
        async def inside() -> None:
            text = f'"{sees}"'.encode()
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
            async with scripted_server(lambda *_: answer) as base_url:
                await check(base_url)

        asyncio.run(inside())

    return run


def test_a_server_that_believes_the_header_is_trusted() -> None:
    probe_server(PROBE_ADDRESS)(lambda base_url: require_trust(Target(base_url, "example.com")))


def test_a_server_that_does_not_is_refused_with_what_to_do() -> None:
    with pytest.raises(ReplayError, match="FOOTFALL_TRUSTED_PROXIES"):
        probe_server("127.0.0.1")(lambda base_url: require_trust(Target(base_url, "example.com")))


def test_no_server_at_all_says_how_to_start_one() -> None:
    with pytest.raises(ReplayError, match="footfall serve"):
        asyncio.run(require_trust(Target("http://127.0.0.1:9", "example.com")))


def test_a_ready_server_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.replay_command.is_ready", lambda base_url: base_url == "http://127.0.0.1:1234")
    with server_for_replay(load_settings(port=1234)) as base_url:
        assert base_url == "http://127.0.0.1:1234"


@pytest.mark.parametrize("base_url", ["ftp://x", "127.0.0.1:8000", "http://"])
def test_a_wrong_url_is_refused(base_url: str) -> None:
    with pytest.raises(ReplayError, match="URL"):
        asyncio.run(require_trust(Target(base_url, "example.com")))


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ReplayError, match="cannot be read"), open_log("/nowhere/access.log"):
        pass


def test_plain_and_gzipped_logs_read_alike(tmp_path: Path, lines: list[str]) -> None:
    text = "\r\n".join(lines).encode() + b"\n\xff\xfe\n"
    (tmp_path / "plain").write_bytes(text)
    (tmp_path / "packed").write_bytes(gzip.compress(text))
    read = []
    for name in ("plain", "packed"):
        with open_log(str(tmp_path / name)) as (file, size_bytes):
            assert size_bytes == (tmp_path / name).stat().st_size
            read.append(list(log_lines(file)))
    assert read[0] == read[1] == [*lines, "\ufffd\ufffd"]


def test_a_torn_gzip_file_ends_the_log_not_the_account(tmp_path: Path, lines: list[str]) -> None:
    packed = gzip.compress("\n".join(lines).encode())
    (tmp_path / "torn.gz").write_bytes(packed[: len(packed) // 2])
    with open_log(str(tmp_path / "torn.gz")) as (file, _):
        with pytest.raises(LogDamagedError):
            list(log_lines(file))
        file.seek(0)
        account = asyncio.run(Replay(Target("http://127.0.0.1:9", "x"), 50, patience_s=0).run(log_lines(file)))
    assert account.balanced
    assert account.read_error.startswith("reading stopped")


def test_the_closing_account_names_lines_and_reasons() -> None:
    account = Account(lines=9, accepted=4, read_error="reading stopped: torn")
    account.skipped.update(malformed=1, asset=2)
    account.dropped.update(bot=1)
    account.rejected.update({413: 1})
    account.malformed.append((7, "not in combined format"))
    output = io.StringIO()
    print_account(account, Console(file=output, width=100))
    text = output.getvalue()
    for expected in ("skipped: asset", "dropped: bot", "rejected: 413", "line 7: not in combined format", "torn"):
        assert expected in text
    assert account.balanced


def test_the_command_shows_progress_and_returns_the_account(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "access.log.gz"
    log.write_bytes(gzip.compress("\n".join(lines).encode()))
    output = io.StringIO()
    account = replay_log(
        str(log),
        Target("http://127.0.0.1:9", "x"),
        console=Console(file=output),
        connections=100,
        patience_s=0.0,
        one_visitor=True,
    )
    assert account.lines == len(lines)
    assert "unanswered" in output.getvalue()
