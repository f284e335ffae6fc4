"""The ingest core, compiled from `rust_ext/ingest`."""

from collections.abc import Callable
from typing import Any, final

from typing_extensions import Buffer

COMMIT: int
"""The open group got its first hit: call `Collector.commit` in this turn of the loop."""
REQUEST: int
"""`next_request` has a request for the application."""
BODY: int
"""`take_body` has something new."""
RESUME: int
"""Input is buffered that can go on: call `feed(b"")` after a turn of the loop."""
PAUSE: int
"""Do not read the socket until a call returns without this bit."""
CLOSE: int
"""Everything is answered: `end_output`, but read on until `deadline_ms` so that the peer can read the last answer."""
END: int
"""The peer will send no more: call `end_of_input`."""
FULL: int
"""More answers wait for the peer to read them than may: make no more until DRAINED."""
DRAINED: int
"""There is room again after FULL."""
OVER: int
"""The socket is gone, or all is written after `end`: call `close`."""

@final
class Collector:
    """One per process, used from the loop's thread: hits in, records spooled, answers out.

    Errors: ValueError with one line for settings or a snapshot that cannot be meant; OSError for the rules pack and the
    spool folder.
    """

    def __new__(cls, *, rules_path: str, spool_folder: str, settings: bytes | None = None) -> Collector:
        """Takes the folder for this process and starts the writer thread. `settings` is JSON:
        {"http": {...}, "pipeline": {...}, "batch": {...}}; unknown keys are refused."""

    def apply_snapshot(self, snapshot_json: bytes) -> int:
        """Takes sites, salts and limits; hits are answered 503 until the first one. Returns its version."""

    def apply_batch_settings(self, settings_json: bytes) -> None:
        """Takes batch_max_rows, batch_max_bytes, batch_max_age_ms, spool_max_bytes, durability as JSON. In force from
        the next group on."""

    @property
    def completion_fd(self) -> int:
        """An eventfd, readable while `complete` has something to do."""

    def sockets(self, accepted: Callable[[Connection], Callable[[int], object] | None]) -> Sockets:
        """The public port. `accepted` is called with each new connection and returns its `wake(mask)`, which is called
        when a turn or a settled group left it something to do; or None, which closes it. OSError when the system
        refuses an epoll."""

    def connection(
        self, peer_host: str, peer_port: int, write: Callable[[bytes], object], wake: Callable[[int], object]
    ) -> Connection:
        """A connection without a socket: its caller feeds it, answers go to `write`. ValueError for an address that is
        none."""

    def commit(self) -> None:
        """Hand the open group to the writer thread. Call it once per turn of the loop in which COMMIT was returned;
        `Sockets.turn` does it itself."""

    def complete(self) -> None:
        """Release the answers of settled groups, and commit what came meanwhile. What a `write`, `wake` or `done`
        raises goes to `sys.unraisablehook`: it costs the others nothing."""

    def ingest_batch(
        self, body: bytes, account_id: int, default_address: str, done: Callable[[bool], object]
    ) -> tuple[bytes, bool, bool]:
        """Take a server batch (NDJSON or a JSON array): (report as JSON, whether anything was logged, whether a commit
        is due). When it was logged, `complete` calls `done(written)`; not written means: answer 503."""

    def seal_all(self) -> None:
        """Seal every open segment."""

    def sealed_segments(self) -> SealedSegments:
        """The flusher's end."""

    def is_ready(self) -> tuple[bool, bool, bool]:
        """Whether a snapshot is there, the writer thread runs, and the spool has room."""

    def stats(self) -> dict[str, Any]:
        """Counters since the start: `outcomes` by label, `unavailable`, and those of groups, segments and the spool."""

    def close(self) -> None:
        """Commit, seal, and end the writer thread; `complete` still releases what it settled."""

@final
class SealedSegments:
    """The flusher's end of the spool. Any thread may use it; the GIL is released."""

    def next_sealed(self, timeout_ms: int) -> str | None:
        """The next sealed segment's path, or None after the timeout."""

    def discard(self, path: str) -> None:
        """The segment is stored or quarantined: remove the file if it is still there and give its bytes back."""

    def remove_folder_if_empty(self) -> bool:
        """Remove the spool folder if nothing is left in it."""

@final
class Sockets:
    """All connections of the public port, behind one descriptor. Used from the loop's thread.

    Errors: OSError when the system refuses what was asked.
    """

    @property
    def fd(self) -> int:
        """Readable while `turn` has something to do."""

    def listen(self, listener_fd: int) -> None:
        """Accept from this listening socket, which must not block and stays the caller's."""

    def resume_listening(self) -> None:
        """Accept again after `turn` told of a shortage."""

    def finish_listening(self) -> None:
        """Accept whoever waits in the listener's queue now, and nobody after them."""

    def turn(self) -> bool:
        """Read each socket that is ready, handle its hits, write settled answers, commit. True: out of descriptors,
        call `resume_listening` later. What a callback raises goes to `sys.unraisablehook` and costs nobody else
        anything."""

@final
class Connection:
    """One HTTP/1.1 connection, with its socket if `Sockets` accepted it. Calls return a mask of what is left to do."""

    def feed(self, data: bytes) -> int:
        """Take what was read, or nothing to resume. Answers that may leave at once are written."""

    def write(self, data: bytes) -> int:
        """Write a part of the application's answer after what waits."""

    def unread_bytes(self) -> int:
        """Bytes that wait until the peer has read others."""

    def read(self, is_reading: bool) -> int:
        """Read the socket no more, or again."""

    def end_output(self) -> int:
        """Send FIN once all is written, and read on."""

    def end(self) -> int:
        """Read no more; OVER once all is written, as the result or to `wake`."""

    def end_of_input(self) -> int:
        """The peer closed its side."""

    def expire(self) -> int:
        """The deadline has passed."""

    def drain(self) -> None:
        """The process stops: the last buffered request's answer says `Connection: close`. Idle connections stay."""

    def finish_delegated(self, keep_alive: bool) -> int:
        """The application has answered its request."""

    def progress(self) -> int:
        """What there is to do now."""

    def deadline_ms(self) -> int | None:
        """When to call `expire` (ms since the epoch) unless something happens before; None: only we are awaited."""

    def next_request(self) -> DelegatedRequest | None:
        """The request for the application, once."""

    def take_body(self) -> bytes | str:
        """The next piece of its body, or "pending", "complete", "rejected", "aborted"."""

    def rejection_answer(self) -> bytes:
        """The complete answer to a request whose body was rejected."""

    def close(self) -> None:
        """Close the socket: nothing is written any more. What was logged stays logged."""

@final
class DelegatedRequest:
    """A request that is not a hit."""

    @property
    def method(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def version(self) -> str:
        """HTTP/1.0 or HTTP/1.1."""
    @property
    def headers(self) -> list[tuple[str, str]]:
        """In the order sent; values read as latin-1, as Tornado does."""
    @property
    def remote_ip(self) -> str:
        """After the trusted-proxy rules."""
    @property
    def is_https(self) -> bool:
        """A trusted proxy says the browser spoke HTTPS to it."""
    @property
    def keep_alive(self) -> bool: ...
    @property
    def expects_continue(self) -> bool: ...
    @property
    def has_body(self) -> bool: ...

@final
class PastEvents:
    """Judges events of the past by the rules of live hits, at their own times, and gives their records. For imports.

    Errors: OSError for the rules pack, ValueError for a snapshot that cannot be meant.
    """

    def __new__(cls, rules_path: str) -> PastEvents: ...
    def apply_snapshot(self, snapshot_json: bytes) -> None:
        """Takes the site, the local days around the events, and a salt that is no live one."""

    def judge(self, event: bytes, time_ms: int, account_id: int) -> tuple[int, bytes]:
        """Judge one event of one site, an entry of a server batch as JSON on one line: the shard and payload of its
        record, a full one or a short one. ValueError when it is no event for one site, or without a snapshot."""

@final
class Agents:
    """Agents, countries and referrers by the rules of one pack. For tests, benchmarks and commands; ingest has its own.

    An agent is answered as (browser, browser version, OS, OS version, device code, bot reasons); empty text = unknown,
    device codes are those of `events.device`, bot reasons the bit mask of `bot_reasons()`.
    """

    def __new__(cls, rules_path: str, *, seed: tuple[int, int] | None = None, cache_entries: int = 16384) -> Agents:
        """OSError with one line when the pack is missing, of another version or damaged."""

    def parse(
        self,
        agent: bytes,
        hints: tuple[bytes | None, bytes | None, bytes | None, bytes | None, bytes | None, bytes | None] | None = None,
    ) -> tuple[str, str, str, str, int, int]:
        """Through the cache. Hints: Sec-CH-UA, -Mobile, -Platform, -Platform-Version, -Model, -Full-Version-List."""

    @staticmethod
    def scan(agent: bytes) -> tuple[str, str, str, str, int, int] | None:
        """The direct scan alone; None when the agent is not of the common grammar."""

    def parse_by_rules(self, agent: bytes) -> tuple[str, str, str, str, int, int]:
        """Bot rules and uap rules alone."""

    def uap(
        self, agent: bytes
    ) -> tuple[
        tuple[str, str | None, str | None, str | None, str | None] | None,
        tuple[str, str | None, str | None, str | None, str | None] | None,
        tuple[str, str | None, str | None] | None,
    ]:
        """What PyPI `ua-parser` answers: browser and OS as (family, major, minor, patch, patch minor), device as
        (family, brand, model); None where no rule matched."""

    def parse_many(self, agents: list[bytes], *, cached: bool, rounds: int = 1) -> tuple[int, int]:
        """Parses all, `rounds` times, without the GIL: (number of bots, sum of device codes)."""

    def country(self, address: str) -> str | None:
        """ISO 3166-1 alpha-2. ValueError when it is no address."""

    def country_many(self, addresses: list[int], *, rounds: int = 1) -> int:
        """Looks up IPv4 addresses given as integers, without the GIL: how many have a country."""

    def referrer_source(self, host: str) -> tuple[str, str] | None:
        """Name and medium of a known referring host."""

    def is_spam_host(self, host: str) -> bool:
        """Whether the host is on the referrer spam list."""

def bot_reasons() -> list[tuple[int, str]]:
    """The bits of the mask and their names."""

def rules_info_json(rules_path: str) -> str:
    """What a pack was made from, as JSON: sets with name, version, licence, url, attribution."""

@final
class SegmentScan:
    """What a segment's bytes hold, whatever happened to it."""

    @property
    def segment_id(self) -> str | None:
        """32 hex digits; None when the header cannot be read, nor mended."""
    @property
    def shard(self) -> int: ...
    @property
    def month(self) -> int:
        """yyyymm."""
    @property
    def retention_class(self) -> int: ...
    @property
    def created_at_ms(self) -> int: ...
    @property
    def header(self) -> bytes | None:
        """The header's 64 bytes as they should be."""
    @property
    def header_error(self) -> str | None:
        """Why the header as it stands could not be read; it may have been mended."""
    @property
    def offsets(self) -> bytes:
        """u32 little-endian: payload offsets of the valid records, in order."""
    @property
    def lengths(self) -> bytes:
        """u32 little-endian: their payload bytes."""
    @property
    def records(self) -> int: ...
    @property
    def lost_records(self) -> int:
        """Records that were there and cannot be read."""
    @property
    def damaged_ranges(self) -> list[tuple[int, int]]:
        """(start, end) of the bytes that hold them."""
    @property
    def torn_tail_bytes(self) -> int:
        """Bytes of an unfinished record at the end; never answered if the segment was still open."""

def scan_segment(segment: Buffer) -> SegmentScan:
    """Read a segment back. The GIL is released; the bytes must not change meanwhile."""

def outcomes() -> list[tuple[int, str]]:
    """Stored codes and labels of what became of a hit; labels are those of `ledger`."""

def event_kinds() -> list[tuple[int, str]]:
    """Codes and names of `events.kind`."""

def devices() -> list[tuple[int, str]]:
    """Codes and names of `events.device`."""

def channels() -> list[tuple[int, str]]:
    """Codes and names of `events.channel`."""

def metrics() -> list[tuple[int, str]]:
    """Codes and names of the keys of `events.metrics`."""

def string_fields() -> list[str]:
    """The columns of a record's strings, in stored order."""

def build_profile() -> str:
    """The Cargo profile of this build: release, quick or debug."""

__all__ = [
    "BODY",
    "CLOSE",
    "COMMIT",
    "DRAINED",
    "END",
    "FULL",
    "OVER",
    "PAUSE",
    "REQUEST",
    "RESUME",
    "Agents",
    "Collector",
    "Connection",
    "DelegatedRequest",
    "PastEvents",
    "SealedSegments",
    "SegmentScan",
    "Sockets",
    "bot_reasons",
    "build_profile",
    "channels",
    "devices",
    "event_kinds",
    "metrics",
    "outcomes",
    "rules_info_json",
    "scan_segment",
    "string_fields",
]
