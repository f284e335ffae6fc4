"""The text of an announcement: paragraphs, lists, bold words, links. Everything else is shown as it was typed.

| typed | becomes |
|---|---|
| an empty line | a new paragraph |
| lines that begin with `- ` | a list |
| `**words**` | bold words |
| an address that begins with https:// or http:// | a link that shows where it leads |

No mark-up of HTML passes: templates escape every piece.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from server.mail.rendering import cleaned_lines

LONGEST_TEXT_CHARS = 20_000

# The end of a sentence is no part of an address.
_PIECE = re.compile(r"\*\*(?P<strong>[^*\n]+)\*\*|(?P<link>https?://[^\s<>\"*]*[^\s<>\"*.,;:!?)\]'])")


@dataclass(frozen=True)
class Piece:
    """A run of a line: `kind` is text, strong or link."""

    kind: str
    text: str


Line = tuple[Piece, ...]


@dataclass(frozen=True)
class Block:
    """A paragraph of lines, or a list of items."""

    is_list: bool
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class AnnouncementText:
    """A text and what it consists of."""

    source: str
    blocks: tuple[Block, ...]

    def __str__(self) -> str:
        return self.source


def parse_text(source: str) -> AnnouncementText:
    """Any text is one."""
    source = cleaned_lines(source.replace("\r\n", "\n").replace("\r", "\n")).strip()
    source = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in source.split("\n")))
    blocks: list[Block] = []
    for paragraph in source.split("\n\n"):
        lines: list[Line] = []
        is_list = False
        for line in paragraph.split("\n"):
            is_item = line.startswith("- ")
            if lines and is_item != is_list:
                blocks.append(Block(is_list, tuple(lines)))
                lines = []
            is_list = is_item
            lines.append(_pieces(line.removeprefix("- ") if is_item else line))
        blocks.append(Block(is_list, tuple(lines)))
    return AnnouncementText(source, tuple(blocks))


def _pieces(line: str) -> Line:
    pieces: list[Piece] = []
    at = 0
    for found in _PIECE.finditer(line):
        if found.start() > at:
            pieces.append(Piece("text", line[at : found.start()]))
        kind = "strong" if found["strong"] is not None else "link"
        pieces.append(Piece(kind, found[kind]))
        at = found.end()
    if at < len(line):
        pieces.append(Piece("text", line[at:]))
    return tuple(pieces)
