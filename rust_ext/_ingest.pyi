"""The ingest core, compiled from `rust_ext/ingest`."""

from typing import final

from typing_extensions import Buffer

__all__ = ["Agents", "SegmentScan", "bot_reasons", "rules_info_json", "scan_segment"]

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

__all__ = ["Agents", "SegmentScan", "bot_reasons", "rules_info_json", "scan_segment"]
