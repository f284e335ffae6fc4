"""The packer and what is read back from its pack: checksums, lookaround, countries, referrers, licences."""

from __future__ import annotations

import ipaddress
import json
import random
import struct
from pathlib import Path

import pytest

from rust_ext import Agents, pack_rules, rules_info_json
from tests.rust_ext.agent_sets import PACK, ROOT


@pytest.fixture(scope="module")
def agents() -> Agents:
    return Agents(str(PACK))


def test_crc32c_is_castagnolis() -> None:
    # RFC 3720 appendix B.4, and the check value of the polynomial's catalogue entry.
    assert pack_rules.crc32c(bytes(32)) == 0x8A9136AA
    assert pack_rules.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert pack_rules.crc32c(b"123456789") == 0xE3069283


def test_lookaround_is_split_off() -> None:
    assert pack_rules.split_lookaround("(?<!cam)scan") == ("scan", "cam", None)
    assert pack_rules.split_lookaround("java(?!;)") == ("java", None, ";")
    assert pack_rules.split_lookaround("(?<!a|b/)x(?!(?:y| z))") == ("x", "a\nb/", "y\n z")
    assert pack_rules.split_lookaround(r"[\w-.]\(") == (r"[\w\-.]\(", None, None)
    for pattern in ("a(?!b)c", "a(?=b)", "(?<!a+)b", "a(?!b.)"):
        with pytest.raises(pack_rules.PackError):
            pack_rules.split_lookaround(pattern)


def test_a_missing_source_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pack_rules.main(["--node-modules", str(tmp_path), "--output", str(tmp_path / "pack")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("pack_rules: ")
    assert "isbot" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "pack").exists()


def test_a_broken_pack_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "rules.pack"
    with pytest.raises(OSError, match="No such file"):
        Agents(str(broken))
    content = PACK.read_bytes()
    for change, message in (
        (b"hello", "not a rules pack"),
        (content[:-1], "damaged"),
        (content[:8] + b"\x09\x00" + content[10:], "version 9"),
    ):
        broken.write_bytes(change)
        with pytest.raises(OSError, match=message):
            Agents(str(broken))


def test_a_pack_without_countries_works(tmp_path: Path) -> None:
    content = pack_rules.pack(
        {
            "info": b"{}",
            "uapb": pack_rules.pack_rows(6, []),
            "uapo": pack_rules.pack_rows(6, []),
            "uapd": pack_rules.pack_rows(5, []),
            "isbt": pack_rules.pack_rows(3, []),
            "crwl": pack_rules.pack_rows(1, []),
            "srcs": pack_rules.pack_rows(3, []),
            "spam": pack_rules.pack_rows(1, []),
        }
    )
    (tmp_path / "pack").write_bytes(content)
    bare = Agents(str(tmp_path / "pack"))
    assert bare.country("8.8.8.8") is None
    assert bare.referrer_source("google.com") is None
    assert bare.parse(b"curl/8.5.0")[5] != 0


def test_info_names_licences_and_attribution() -> None:
    sets = {each["name"]: each for each in json.loads(rules_info_json(str(PACK)))["sets"]}
    assert sets["uap-core"]["licence"] == "Apache-2.0"
    assert sets["isbot"]["licence"] == "Unlicense"
    assert sets["crawler-user-agents"]["licence"] == "MIT"
    assert all(each["version"] for each in sets.values())
    country = sets["IP Geolocation by DB-IP"]
    assert (country["licence"], country["url"]) == ("CC-BY-4.0", "https://db-ip.com")
    assert country["attribution"] == "IP Geolocation by DB-IP (https://db-ip.com)"


def mmdb_path(version: int) -> Path:
    return ROOT / "node_modules" / "@ip-location-db" / "dbip-country-mmdb" / f"dbip-country-ipv{version}.mmdb"


def walk(mmdb: pack_rules.Mmdb, address: int, bits: int) -> str | None:
    """The twin of table and index: down the file's own tree, bit by bit."""
    node = 0
    for depth in range(bits):
        record = node * 6 + (3 if address >> (bits - 1 - depth) & 1 else 0)
        node = int.from_bytes(mmdb.file[record : record + 3], "big")
        if node >= mmdb.node_count:
            break
    if node <= mmdb.node_count:
        return None
    return mmdb.country(node - mmdb.node_count - mmdb.DATA_SEPARATOR_BYTES) or None


@pytest.mark.skipif(not mmdb_path(4).exists(), reason="the country set's npm package is not installed here")
def test_countries_equal_the_database(agents: Agents) -> None:
    rng = random.Random(4)
    four = pack_rules.Mmdb(mmdb_path(4))
    starts = [start for start, _ in four.ranges(32)]
    near = [start + step for start in rng.sample(starts, 3000) for step in (-1, 0, 1)]
    for number in [*near, *(rng.getrandbits(32) for _ in range(5000))]:
        address = ipaddress.IPv4Address(number % 2**32)
        assert agents.country(str(address)) == walk(four, int(address), 32), address
    six = pack_rules.Mmdb(mmdb_path(6))
    upper = [start for start, _ in six.ranges(pack_rules.COUNTRY_V6_BITS)]
    for start in rng.sample(upper, 3000):
        for number in (start << 64, (start << 64) - 1):
            v6 = ipaddress.IPv6Address(number % 2**128)
            if v6.ipv4_mapped is None:
                assert agents.country(str(v6)) == walk(six, int(v6), 128), v6


def mmdb_of(records: list[tuple[int, int]], data: bytes) -> bytes:
    """A database of these nodes: records below the node count are nodes, above it offsets of `data`."""
    tree = b"".join(left.to_bytes(3, "big") + right.to_bytes(3, "big") for left, right in records)
    metadata = b"\xe2\x4anode_count\xc1" + bytes([len(records)]) + b"\x4brecord_size\xa1\x18"
    return tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + metadata


def test_a_small_database_becomes_ranges(tmp_path: Path) -> None:
    # 0/1 is DE, 128/2 unknown, 192/2 points at DE again.
    data = b"\xe1\x4ccountry_code\x42DE" + b"\xe1\x20\x01\x42FR"
    first = 2 + 16
    path = tmp_path / "small.mmdb"
    path.write_bytes(mmdb_of([(first, 1), (2, first + 17)], data))
    mmdb = pack_rules.Mmdb(path)
    assert list(mmdb.ranges(32)) == [(0, "DE"), (1 << 31, ""), (3 << 30, "FR")]
    section = pack_rules.pack_countries(path, 32, "<I")
    assert section == struct.pack("<HHI", 2, 0, 3) + b"DEFR" + struct.pack("<3I", 0, 1 << 31, 3 << 30) + b"\1\0\2"


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.mmdb"
    path.write_bytes(b"hello")
    with pytest.raises(pack_rules.PackError, match=r"x\.mmdb"):
        pack_rules.Mmdb(path)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("www.google.co.uk", ("Google", "search")),
        ("mail.google.com", ("Gmail", "email")),
        ("com.google.android.gm", ("Gmail", "email")),
        ("duckduckgo.com", ("DuckDuckGo", "search")),
        ("chatgpt.com", ("ChatGPT", "ai_assistant")),
        ("www.perplexity.ai", ("Perplexity", "ai_assistant")),
        ("l.facebook.com", ("Facebook", "social")),
        ("t.co", ("Twitter", "social")),
        ("old.reddit.com", ("Reddit", "social")),
        ("m.youtube.com", ("YouTube", "video")),
        ("www.amazon.de", ("Amazon", "shopping")),
        ("example.com", None),
        ("google.com.evil.example", None),
    ],
)
def test_referrer_sources(agents: Agents, host: str, expected: tuple[str, str] | None) -> None:
    assert agents.referrer_source(host) == expected


def test_referrer_spam(agents: Agents) -> None:
    assert agents.is_spam_host("www.semalt.com")
    assert not agents.is_spam_host("example.com")


def test_our_lists_are_sorted_facts() -> None:
    for line in pack_rules.data_lines("referrer_sources.tsv"):
        host, name, _ = line.split("\t")
        assert host == host.lower().strip(".")
        assert name == name.strip() != ""
    spam = pack_rules.data_lines("referrer_spam.txt")
    assert spam == sorted(spam)
