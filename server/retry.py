"""What a failed send means: try again, wait for the operator, or set the segment aside.

| verdict | what the flusher does | example |
|---|---|---|
| RETRY | keeps the segment in the spool, waits with backoff | connection lost, too many parts, memory limit |
| SCHEMA | the same, and says in health and log that the operator must act | table or column missing, wrong password |
| PERMANENT | moves the segment to quarantine and goes on | the server cannot read the block |
| DOUBTFUL | RETRY for `DOUBTFUL_ATTEMPTS` attempts, then PERMANENT | a frame that arrives damaged, an unlisted code |

No verdict loses anything: quarantine keeps the segment whole, and `footfall spool replay` sends it again. A RETRY that
turns out to be for ever holds back only its own segment: a refused segment goes to the end of its shard's queue.
"""

from __future__ import annotations

import enum
import random
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from clickhouse_driver import errors as driver_errors

DOUBTFUL_ATTEMPTS = 8
"""With the default backoff about a minute and a half: longer than a restart or a fail-over, shorter than a night."""
QUERY_WITH_SAME_ID = 216
"""ClickHouse's code for a query id that is in use: an earlier send of the same segment."""
TOO_MANY_PARTS = 252
"""ClickHouse's code for a table with too many parts, and for a block with too many partitions."""
CERTIFICATE_MARK = "CERTIFICATE_VERIFY_FAILED"
"""OpenSSL's name of a certificate that nobody vouches for; the driver turns the exception into a NetworkError."""


class Verdict(enum.Enum):
    """What to do with the segment."""

    RETRY = "retry"
    SCHEMA = "schema"
    PERMANENT = "permanent"
    DOUBTFUL = "doubtful"


class SchemaMismatch(Exception):
    """The table does not take our columns. The operator's to mend (`footfall migrate`); the segment is untouched."""


class EarlierSendRunning(Exception):
    """An earlier INSERT of the same segment still runs on the server. Retriable: its end decides."""


class TokensUsedUp(Exception):
    """The server knows every token of a segment's INSERT and has none of its rows (`server.deduplication`). Retriable:
    its log forgets in the end.
    """


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table below."""

    name: str
    verdict: Verdict
    why: str


def _rules() -> dict[int, Rule]:
    retry = {
        3: ("UNEXPECTED_END_OF_FILE", "the connection ended inside a packet"),
        32: ("ATTEMPT_TO_READ_AFTER_EOF", "the connection ended inside a packet"),
        95: ("CANNOT_READ_FROM_SOCKET", "network"),
        96: ("CANNOT_WRITE_TO_SOCKET", "network"),
        101: ("UNEXPECTED_PACKET_FROM_CLIENT", "a connection out of step; a new one starts clean"),
        102: ("UNEXPECTED_PACKET_FROM_SERVER", "a connection out of step; a new one starts clean"),
        159: ("TIMEOUT_EXCEEDED", "the server was too slow this time"),
        160: ("TOO_SLOW", "the server was too slow this time"),
        164: ("READONLY", "the user or server is read-only for now (maintenance, fail-over)"),
        173: ("CANNOT_ALLOCATE_MEMORY", "the server is out of memory for now"),
        198: ("DNS_ERROR", "network"),
        201: ("QUOTA_EXCEEDED", "a quota's interval passes"),
        202: ("TOO_MANY_SIMULTANEOUS_QUERIES", "the server is busy"),
        203: ("NO_FREE_CONNECTION", "the server is busy"),
        204: ("CANNOT_FSYNC", "the server's disk"),
        209: ("SOCKET_TIMEOUT", "network"),
        210: ("NETWORK_ERROR", "network"),
        216: ("QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", "an earlier send of this segment still runs"),
        225: ("NO_ZOOKEEPER", "the coordination service is away"),
        236: ("ABORTED", "the server is shutting down"),
        241: ("MEMORY_LIMIT_EXCEEDED", "the server is out of memory for now"),
        242: ("TABLE_IS_READ_ONLY", "a replica that lost its coordination service, or a frozen disk"),
        243: ("NOT_ENOUGH_SPACE", "the server's disk is full"),
        252: ("TOO_MANY_PARTS", "merges are behind"),
        254: ("NO_ACTIVE_REPLICAS", "replicas are away"),
        265: ("NO_AVAILABLE_REPLICA", "replicas are away"),
        279: ("ALL_CONNECTION_TRIES_FAILED", "network inside the cluster"),
        285: ("TOO_FEW_LIVE_REPLICAS", "replicas are away"),
        286: ("UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", "replicas are behind"),
        289: ("REPLICA_IS_NOT_IN_QUORUM", "replicas are behind"),
        297: ("SHARD_HAS_NO_CONNECTIONS", "network inside the cluster"),
        319: ("UNKNOWN_STATUS_OF_INSERT", "the server itself does not know; the next attempt asks for the batch first"),
        335: ("BARRIER_TIMEOUT", "the cluster is busy"),
        364: ("RECEIVED_ERROR_TOO_MANY_REQUESTS", "the server is busy"),
        369: ("ALL_REPLICAS_ARE_STALE", "replicas are behind"),
        373: ("SESSION_IS_LOCKED", "another query holds the session"),
        394: ("QUERY_WAS_CANCELLED", "somebody killed the INSERT; the next attempt asks for the batch first"),
        425: ("SYSTEM_ERROR", "the server's host"),
        439: ("CANNOT_SCHEDULE_TASK", "the server is out of threads for now"),
        473: ("DEADLOCK_AVOIDED", "an ALTER runs"),
        499: ("S3_ERROR", "the server's object storage"),
        574: ("DISTRIBUTED_TOO_MANY_PENDING_BYTES", "the cluster is behind"),
        692: ("TOO_MANY_MUTATIONS", "mutations are behind"),
        745: ("SERVER_OVERLOADED", "the server is busy"),
        999: ("KEEPER_EXCEPTION", "the coordination service is away"),
        1000: ("POCO_EXCEPTION", "network or host, as the C++ library reports it"),
    }
    schema = {
        16: ("NO_SUCH_COLUMN_IN_TABLE", "the table is older than this program"),
        20: ("NUMBER_OF_COLUMNS_DOESNT_MATCH", "the table differs from this program's"),
        47: ("UNKNOWN_IDENTIFIER", "the table is older than this program"),
        50: ("UNKNOWN_TYPE", "the server is too old"),
        53: ("TYPE_MISMATCH", "a column has another type"),
        60: ("UNKNOWN_TABLE", "not migrated"),
        81: ("UNKNOWN_DATABASE", "not migrated"),
        192: ("UNKNOWN_USER", "credentials"),
        193: ("WRONG_PASSWORD", "credentials"),
        194: ("REQUIRED_PASSWORD", "credentials"),
        195: ("IP_ADDRESS_NOT_ALLOWED", "credentials"),
        218: ("TABLE_IS_DROPPED", "somebody dropped the table"),
        497: ("ACCESS_DENIED", "the user lacks a grant"),
        516: ("AUTHENTICATION_FAILED", "credentials"),
    }
    permanent = {
        6: ("CANNOT_PARSE_TEXT", "the server cannot read the block"),
        9: ("SIZES_OF_COLUMNS_DOESNT_MATCH", "the server cannot read the block"),
        26: ("CANNOT_PARSE_QUOTED_STRING", "the server cannot read the block"),
        27: ("CANNOT_PARSE_INPUT_ASSERTION_FAILED", "the server cannot read the block"),
        33: ("CANNOT_READ_ALL_DATA", "the server cannot read the block"),
        39: ("TOO_LARGE_SIZE_COMPRESSED", "a frame is over the server's limit"),
        69: ("ARGUMENT_OUT_OF_BOUND", "a value is out of its type's range"),
        72: ("CANNOT_PARSE_NUMBER", "the server cannot read the block"),
        117: ("INCORRECT_DATA", "the server cannot read the block"),
        128: ("TOO_LARGE_ARRAY_SIZE", "the server cannot read the block"),
        131: ("TOO_LARGE_STRING_SIZE", "the server cannot read the block"),
        190: ("SIZES_OF_ARRAYS_DOESNT_MATCH", "the server cannot read the block"),
        321: ("VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", "a value is out of its type's range"),
        349: ("CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", "the server cannot read the block"),
        366: ("SIZES_OF_NESTED_COLUMNS_ARE_INCONSISTENT", "the server cannot read the block"),
        469: ("VIOLATED_CONSTRAINT", "a constraint of the operator's own refuses a row"),
        691: ("UNKNOWN_ELEMENT_OF_ENUM", "a value that the table's Enum does not have"),
    }
    doubtful = {
        40: ("CHECKSUM_DOESNT_MATCH", "a frame was damaged on its way, or is wrong every time"),
        271: ("CANNOT_DECOMPRESS", "how 26.7 reports a frame's wrong checksum to a client"),
        432: ("UNKNOWN_CODEC", "how a server reports that it lost its place between frames"),
    }
    return {
        code: Rule(name, verdict, why)
        for verdict, rules in (
            (Verdict.RETRY, retry),
            (Verdict.SCHEMA, schema),
            (Verdict.PERMANENT, permanent),
            (Verdict.DOUBTFUL, doubtful),
        )
        for code, (name, why) in rules.items()
    }


RULES: Mapping[int, Rule] = MappingProxyType(_rules())
"""ClickHouse's error codes (src/Common/ErrorCodes.cpp) that an INSERT of ours can meet."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A classified error. `label` is short and of few values: a metric's label and a quarantine's reason."""

    verdict: Verdict
    label: str
    message: str
    only_this: bool = False
    """Other segments of the shard need not wait."""


def classify(error: BaseException) -> Failure:
    """What `error`, raised while a batch was being stored, means for its segment."""
    if isinstance(error, SchemaMismatch):
        return Failure(Verdict.SCHEMA, "schema_mismatch", str(error))
    if isinstance(error, EarlierSendRunning):
        return Failure(Verdict.RETRY, "earlier_send_running", str(error), only_this=True)
    if isinstance(error, TokensUsedUp):
        return Failure(Verdict.RETRY, "tokens_used_up", str(error), only_this=True)
    if isinstance(error, ssl.SSLCertVerificationError) or CERTIFICATE_MARK in str(error):
        return Failure(Verdict.SCHEMA, "tls_certificate", _first_line(error))
    if isinstance(error, driver_errors.NetworkError | driver_errors.SocketTimeoutError | EOFError | OSError):
        return Failure(Verdict.RETRY, "network", _first_line(error))
    if isinstance(error, driver_errors.ServerException):
        if error.code == TOO_MANY_PARTS and "single INSERT block" in str(error.message):
            # The same code means two things; this one never passes: the segment's records are of several partitions.
            return Failure(Verdict.PERMANENT, "several_partitions", _first_line(error))
        return _classify_code(error.code, _first_line(error))
    if isinstance(error, driver_errors.Error) and type(error).code in RULES:
        return _classify_code(type(error).code, _first_line(error))
    return Failure(Verdict.DOUBTFUL, type(error).__name__.lower(), _first_line(error), only_this=True)


def _classify_code(code: int | None, message: str) -> Failure:
    rule = RULES.get(code) if code is not None else None
    if rule is None:
        return Failure(Verdict.DOUBTFUL, f"code_{code}", message, only_this=True)
    only_this = rule.verdict is Verdict.DOUBTFUL or code == QUERY_WITH_SAME_ID
    return Failure(rule.verdict, rule.name.lower(), message, only_this)


def _first_line(error: BaseException) -> str:
    """The server's message without its stack trace."""
    text = error.message if isinstance(error, driver_errors.ServerException) else str(error)
    return str(text or type(error).__name__).split("Stack trace:", 1)[0].strip().split("\n", 1)[0][:500]


@dataclass(slots=True)
class Backoff:
    """Delays that double up to a limit, each drawn between half and all of itself, so a fleet does not move as one."""

    first_s: float = 0.2
    longest_s: float = 30.0
    draw: Callable[[float, float], float] = field(default=random.uniform, repr=False)
    failures: int = 0

    def next_s(self) -> float:
        """The delay after one more failure."""
        delay_s = min(self.longest_s, self.first_s * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return self.draw(delay_s / 2, delay_s)

    def reset(self) -> None:
        """After a success."""
        self.failures = 0
