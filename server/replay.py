"""`footfall replay`: sends the page views of an access log to a running Footfall as hits, and accounts for every line.

Every line ends in exactly one place of the closing account: skipped (malformed, method, status, asset), answered
(accepted, dropped by reason, rejected by status) or unanswered. A line is sent by the same POST /api/event as
trackers use, with its own user agent and referrer, and its client address in the forwarded header, which the server
believes from a trusted proxy. `require_trust` asks beforehand whether it does: otherwise every hit would be the same
visitor's.

Times: hits are live, the server's clock stamps them; a log is usually older than the seven days a supplied time may be.

Delivery: a hit is sent again when its connection is lost before the answer, or the answer is 503 (after Retry-After). A
lost connection leaves open whether the hit was taken, so `resent_after_loss` is part of the account: the server has
stored at least `answered` and at most `answered + resent_after_loss` of these hits.

Concurrency: a reader fills a bounded queue, `connections` workers empty it, each with one keep-alive connection and one
request under way. Order within the log is kept only roughly, as it was when the log was written.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import orjson

from server.access_log import LineError, LogEntry, parse_line

# Enough to keep one collect process busy from one client, far below any server's limit.
DEFAULT_CONNECTIONS = 16

# A server that restarts is back within seconds; one that is gone longer than this is reported, not waited for.
DEFAULT_PATIENCE_S = 60.0

# Lines waiting for a worker: bounds memory whatever the file's size.
QUEUE_LINES = 1_000

# Malformed lines named in the account; the others are only counted.
NAMED_LINES = 5

# First pause after a lost connection; doubled each time, up to the second.
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0

# A hit is answered within milliseconds; a server that takes this long has lost it.
ANSWER_DEADLINE_S = 15.0

# An answer's head is below 1 KiB; this bounds what a wrong server can make us read.
MAX_HEAD_BYTES = 64 * 1024

GZIP_MAGIC = b"\x1f\x8b"

# Addresses kept for documentation (RFC 5737): no visitor has one.
PROBE_ADDRESS = "192.0.2.77"


class ReplayError(RuntimeError):
    """Nothing was sent; `str()` says what to do."""


class LogDamagedError(RuntimeError):
    """The file cannot be read further: a torn or damaged gzip file. The lines before it were yielded."""


class AnswerError(RuntimeError):
    """The server answered something that is not HTTP as we speak it. The connection is closed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a hit was answered with."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def drop_reason(self) -> str | None:
        """The named drop, None for an accepted hit."""
        return self.headers.get("x-footfall-dropped")


@dataclass
class Account:
    """Where every line went. `lines` is the sum of all others except `resent_after_loss`."""

    lines: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rejected: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    resent_after_loss: int = 0
    malformed: list[tuple[int, str]] = field(default_factory=list)
    # Why reading ended before the end of the file; the lines before it are accounted for.
    read_error: str = ""

    @property
    def answered(self) -> int:
        """Hits that have an answer: accepted, dropped or rejected."""
        return self.accepted + self.dropped.total() + self.rejected.total()

    @property
    def balanced(self) -> bool:
        """Whether every line is accounted for."""
        return self.lines == self.skipped.total() + self.answered + self.unanswered

    def rows(self) -> Iterator[tuple[str, int]]:
        """The closing account, line by line."""
        yield "lines", self.lines
        for reason, count in sorted(self.skipped.items()):
            yield f"skipped: {reason}", count
        yield "accepted", self.accepted
        for reason, count in sorted(self.dropped.items()):
            yield f"dropped: {reason}", count
        for status, count in sorted(self.rejected.items()):
            yield f"rejected: {status}", count
        if self.unanswered:
            yield "unanswered", self.unanswered
        yield "answered", self.answered
        if self.resent_after_loss:
            yield "of these sent again after a lost connection", self.resent_after_loss

    def take(self, answer: Answer) -> None:
        """Count an answered hit."""
        if answer.status >= 400:
            self.rejected[answer.status] += 1
        elif answer.drop_reason is not None:
            self.dropped[answer.drop_reason] += 1
        else:
            self.accepted += 1

    def name_malformed(self, reason: str) -> None:
        """Count the line just read as malformed, and name it while there are few."""
        self.skipped["malformed"] += 1
        if len(self.malformed) < NAMED_LINES:
            self.malformed.append((self.lines, reason))


@dataclass(frozen=True)
class Target:
    """Where hits go, and as which site's."""

    base_url: str
    site: str
    forwarded_header: str = "X-Forwarded-For"

    def request(self, entry: LogEntry) -> bytes:
        """The HTTP request of one page view."""
        body: dict[str, object] = {"n": "pageview", "u": f"https://{self.site}{entry.target}", "d": self.site}
        if entry.referrer:
            body["r"] = entry.referrer
        # An agent or address cannot end its header line: control characters are taken out.
        agent = "".join(character for character in entry.agent if character.isprintable())
        return self.post(orjson.dumps(body), [("User-Agent", agent), (self.forwarded_header, entry.address)])

    def post(self, body: bytes, headers: Iterable[tuple[str, str]]) -> bytes:
        """A POST of `body` to the hit endpoint."""
        fields = [("Host", urlsplit(self.base_url).netloc), ("Content-Type", "text/plain"), *headers]
        fields.append(("Content-Length", str(len(body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        path = urlsplit(self.base_url).path.rstrip("/")
        return f"POST {path}/api/event HTTP/1.1\r\n{head}\r\n".encode("utf-8", "replace") + body


class HitConnection:
    """One keep-alive connection, one request at a time, opened when needed and again after a loss."""

    def __init__(self, base_url: str, answer_deadline_s: float = ANSWER_DEADLINE_S) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ReplayError(f"{base_url!r} is not an http(s) URL, such as http://127.0.0.1:8000")
        self._answer_deadline_s = answer_deadline_s
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> Answer:
        """Send and read the answer. Raises OSError (TimeoutError is one) or AnswerError when the connection is lost; it
        is closed then.
        """
        try:
            async with asyncio.timeout(self._answer_deadline_s):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(
                        self._host, self._port, ssl=self._secure or None, limit=MAX_HEAD_BYTES
                    )
                reader, writer = self._streams
                writer.write(request)
                answer = await read_answer(reader)
        except (OSError, AnswerError, asyncio.IncompleteReadError) as error:
            await self.close()
            raise error if isinstance(error, OSError | AnswerError) else ConnectionResetError(str(error)) from error
        if answer.headers.get("connection", "").lower() == "close":
            await self.close()
        return answer

    async def close(self) -> None:
        """Close the connection, whatever state it is in."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            # The peer may have been gone before us.
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """One HTTP/1.1 answer with a Content-Length, which is how Footfall answers hits."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise AnswerError(f"the answer's head is longer than {MAX_HEAD_BYTES} bytes") from error
    lines = head.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise AnswerError(f"not an HTTP answer: {lines[0][:60]!r}")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    length = headers.get("content-length", "0")
    if not length.isdigit() or "transfer-encoding" in headers:
        raise AnswerError("the answer has no length")
    return Answer(int(rest[:3]), headers, await reader.readexactly(int(length)))


@dataclass
class Replay:
    """One run: settings, and the account it fills. `on_line` is called after each line is accounted for."""

    target: Target
    connections: int = DEFAULT_CONNECTIONS
    patience_s: float = DEFAULT_PATIENCE_S
    answer_deadline_s: float = ANSWER_DEADLINE_S
    all_requests: bool = False
    on_line: Callable[[], None] = lambda: None
    account: Account = field(default_factory=Account)

    async def run(self, lines: Iterable[str]) -> Account:
        """Send the page views of `lines`. When it is cancelled, the account holds what was done until then."""
        queue: asyncio.Queue[LogEntry | None] = asyncio.Queue(QUEUE_LINES)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.connections):
                    group.create_task(self._work(queue))
                try:
                    for entry in self._entries(lines):
                        await queue.put(entry)
                except LogDamagedError as error:
                    self.account.read_error = str(error)
                for _ in range(self.connections):
                    await queue.put(None)
        finally:
            # Only a cancelled run leaves lines that are neither: read, perhaps under way, without an answer.
            self.account.unanswered = self.account.lines - self.account.skipped.total() - self.account.answered
        return self.account

    def _entries(self, lines: Iterable[str]) -> Iterator[LogEntry]:
        """The lines to send; the others are accounted for here."""
        for line in lines:
            self.account.lines += 1
            try:
                entry = parse_line(line)
            except LineError as error:
                self.account.name_malformed(str(error))
                self.on_line()
                continue
            if entry.skip_reason is not None and not self.all_requests:
                self.account.skipped[entry.skip_reason] += 1
                self.on_line()
                continue
            yield entry

    async def _work(self, queue: asyncio.Queue[LogEntry | None]) -> None:
        """Send entries until None comes."""
        connection = HitConnection(self.target.base_url, self.answer_deadline_s)
        try:
            while (entry := await queue.get()) is not None:
                answer = await self._deliver(connection, self.target.request(entry))
                if answer is not None:
                    self.account.take(answer)
                self.on_line()
        finally:
            await connection.close()

    async def _deliver(self, connection: HitConnection, request: bytes) -> Answer | None:
        """The answer to one hit, after as many tries as patience allows; None when it ran out."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self.patience_s
        pause_s = FIRST_PAUSE_S
        lost = False
        while True:
            try:
                answer = await connection.send(request)
            except ConnectionRefusedError:
                # Nothing was sent, so nothing can be stored twice.
                answer = None
            except (OSError, AnswerError):
                answer = None
                if not lost:
                    lost = True
                    self.account.resent_after_loss += 1
            if answer is not None and answer.status != 503:
                return answer
            if answer is not None:
                asked = answer.headers.get("retry-after", "")
                pause_s = float(asked) if asked.isdigit() else pause_s
            if loop.time() + pause_s > give_up_at:
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def address_seen(target: Target) -> str:
    """The client address the server takes from our forwarded header. Raises ReplayError when no server answers."""
    connection = HitConnection(target.base_url)
    body = orjson.dumps({"n": "pageview", "u": f"https://{target.site}/", "d": target.site})
    headers = [("User-Agent", "footfall replay"), (target.forwarded_header, PROBE_ADDRESS), ("X-Debug-Request", "true")]
    try:
        answer = await connection.send(target.post(body, headers))
    except (OSError, AnswerError) as error:
        raise ReplayError(
            f"no Footfall answers at {target.base_url} ({error}): start one with `footfall serve`"
        ) from error
    finally:
        await connection.close()
    return PROBE_ADDRESS if PROBE_ADDRESS.encode() in answer.body else answer.body.decode("utf-8", "replace")[:200]


async def require_trust(target: Target) -> None:
    """Refuse to replay to a server that would take every hit for the same visitor's."""
    if await address_seen(target) != PROBE_ADDRESS:
        raise ReplayError(
            f"the server at {target.base_url} does not believe {target.forwarded_header} from here, so all hits would "
            "be one visitor's: start it with FOOTFALL_TRUSTED_PROXIES naming this machine, or pass --one-visitor"
        )


@contextlib.contextmanager
def open_log(name: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """The log's raw file and its size in bytes (None for standard input, `-`)."""
    if name == "-":
        yield sys.stdin.buffer, None
        return
    path = Path(name)
    try:
        file = path.open("rb")
    except OSError as error:
        raise ReplayError(f"{name} cannot be read: {error.strerror}") from error
    with file:
        yield file, path.stat().st_size


def log_lines(file: BinaryIO) -> Iterator[str]:
    """The lines of a plain or gzipped log without newlines. Raises LogDamagedError. Bytes need not be UTF-8."""
    head = file.peek(2)[:2] if isinstance(file, io.BufferedReader) else b""
    stream = gzip.GzipFile(fileobj=file) if head == GZIP_MAGIC else file
    try:
        for line in stream:
            yield line.decode("utf-8", "replace").rstrip("\r\n")
    except (EOFError, OSError, zlib.error) as error:
        raise LogDamagedError(f"reading stopped: {error}") from error
