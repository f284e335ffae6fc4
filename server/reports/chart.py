"""A chart of bars as a PNG, made of zlib and nothing else: mail programs show no SVG.

The picture has its own ground in a middle tone, so that it reads on white and on black alike. The same values give the
same bytes. Written after the PNG specification (W3C, third edition): one IDAT of a palette image, filter 0 throughout.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise

WIDTH_PX, HEIGHT_PX = 1008, 288
"""Twice what a mail shows of it: screens with small pixels stay sharp."""
SHOWN_WIDTH_PX, SHOWN_HEIGHT_PX = WIDTH_PX // 2, HEIGHT_PX // 2

_GROUND, _LINE, _PALE, _STRONG = range(4)
_PALETTE = ((0xF4, 0xF6, 0xF9), (0xD5, 0xDB, 0xE4), (0x9D, 0xB8, 0xE6), (0x15, 0x59, 0xC7))
_MARGIN_PX = 16
_GRID_LINES = 4
_LEAST_BAR_PX = 4
"""A day with anybody at all is seen."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def bars_png(values: Sequence[int], strong: Sequence[bool]) -> bytes:
    """A picture with one bar for each value; the strong ones stand out. Raises `ValueError` without values."""
    if not values or len(values) != len(strong):
        raise ValueError("a chart has at least one bar, and says of each whether it is strong")
    height_px = HEIGHT_PX - 2 * _MARGIN_PX
    most = max(*values, 1)
    tops = [HEIGHT_PX - _MARGIN_PX - _bar_px(value, most, height_px) for value in values]
    grid = {_MARGIN_PX + round(height_px * index / _GRID_LINES) for index in range(_GRID_LINES + 1)}
    slot_px = (WIDTH_PX - 2 * _MARGIN_PX) / len(values)
    gap_px = max(2, round(slot_px * 0.2))
    edges = [
        (_MARGIN_PX + round(slot_px * index) + gap_px // 2, _MARGIN_PX + round(slot_px * (index + 1)) - gap_px // 2)
        for index in range(len(values))
    ]
    foot = HEIGHT_PX - _MARGIN_PX
    # Lines between two of these are alike.
    cuts = sorted({0, HEIGHT_PX, foot, *tops, *grid, *(line + 1 for line in grid)})
    picture = bytearray()
    for y, end in pairwise(cuts):
        row = _row(y in grid, [top <= y < foot for top in tops], edges, strong)
        picture += (b"\0" + row) * (end - y)
    # Two bits a pixel (a palette of four); the compression level is fixed, so that bytes do not depend on a default.
    header = struct.pack(">IIBBBBB", WIDTH_PX, HEIGHT_PX, 2, 3, 0, 0, 0)
    palette = b"".join(bytes(colour) for colour in _PALETTE)
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(bytes(picture), 6)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _bar_px(value: int, most: int, height_px: int) -> int:
    if value <= 0:
        return 0
    return max(_LEAST_BAR_PX, round(height_px * value / most))


def _row(is_grid: bool, is_bar: Sequence[bool], edges: Sequence[tuple[int, int]], strong: Sequence[bool]) -> bytes:
    """One line of pixels, four to a byte, the leftmost in the highest bits."""
    pixels = bytearray([_LINE if is_grid else _GROUND]) * WIDTH_PX
    pixels[:_MARGIN_PX] = pixels[-_MARGIN_PX:] = bytes([_GROUND]) * _MARGIN_PX
    for (left, right), is_there, is_strong in zip(edges, is_bar, strong, strict=True):
        if is_there:
            pixels[left:right] = bytes([_STRONG if is_strong else _PALE]) * (right - left)
    fours = zip(pixels[::4], pixels[1::4], pixels[2::4], pixels[3::4], strict=True)
    return bytes(a << 6 | b << 4 | c << 2 | d for a, b, c, d in fours)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
