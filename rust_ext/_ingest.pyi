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
"""Everything is written: close, but read on until `deadline_ms` so that the peer can read the last answer."""

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
        """Takes batch_max_rows, batch_max_bytes, batch_max_age_ms, spool_max_bytes, durability as JSON, in force from the
        next group on."""

    @property
    def completion_fd(self) -> int:
        """An eventfd, readable while `complete` has something to do."""

    def connection(
        self, peer_host: str, peer_port: int, write: Callable[[bytes], object], wake: Callable[[int], object]
    ) -> Connection:
        """A connection just accepted. `write` is the transport's; `wake(mask)` is called by `complete` when a settled
        group left the connection something to do."""

    def commit(self) -> None:
        """Hand the open group to the writer thread. Call it once per turn of the loop in which COMMIT was returned."""

    def complete(self) -> None:
        """Release the answers of settled groups, and commit what came meanwhile."""

    def ingest_batch(
        self, body: bytes, account_id: int, default_address: str, done: Callable[[bool], object]
    ) -> tuple[bytes, bool, bool]:
        """Take a server batch (NDJSON or a JSON array): (report as JSON, whether anything was logged, whether a commit is
        due). When it was logged, `complete` calls `done(written)`; not written means: answer 503."""

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
class Connection:
    """One HTTP/1.1 connection without its socket. Calls return a mask of what is left to do."""

    def feed(self, data: bytes) -> int:
        """Take what the socket read, or nothing to resume. Answers that may leave at once are written."""

    def end_of_input(self) -> int:
        """The peer closed its side."""

    def expire(self) -> int:
        """The deadline has passed."""

    def finish_delegated(self, keep_alive: bool) -> int:
        """The application has answered its request."""

    def progress(self) -> int:
        """What there is to do now."""

    def deadline_ms(self) -> int | None:
        """When to call `expire` (ms since the epoch) unless something happens before; None while only we are awaited."""

    def next_request(self) -> DelegatedRequest | None:
        """The request for the application, once."""

    def take_body(self) -> bytes | str:
        """The next piece of its body, or "pending", "complete", "rejected", "aborted"."""

    def rejection_answer(self) -> bytes:
        """The complete answer to a request whose body was rejected."""

    def close(self) -> None:
        """The socket is gone: nothing is written any more. What was logged stays logged."""

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

def outcomes() -> list[tuple[int, str]]:
    """The outcomes as (code, label), in code order."""

def build_profile() -> str:
    """How the module was compiled: "release" or "debug"."""

__all__ = [
    "Agents",
    "BODY",
    "CLOSE",
    "COMMIT",
    "Collector",
    "Connection",
    "DelegatedRequest",
    "PAUSE",
    "REQUEST",
    "RESUME",
    "SealedSegments",
    "SegmentScan",
    "bot_reasons",
    "build_profile",
    "outcomes",
    "rules_info_json",
    "scan_segment",
]
