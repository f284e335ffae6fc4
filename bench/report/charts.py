"""Lines over dates as SVG text: one colour per machine, the budget dashed. Colours are classes of the page's style."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 200
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 28

# Classes m0 to m5 of the style; a seventh machine takes the first one's colour again.
COLOURS = 6


@dataclass(frozen=True)
class Mark:
    """A point of a line; `title` is what a reader sees on pointing at it."""

    date: str
    value: float
    title: str


def day_number(date: str) -> int:
    """Days, for distances between dates."""
    return datetime.date.fromisoformat(date).toordinal()


def tick(value: float) -> str:
    """A number beside an axis."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value / 1e3:.3g} k" if abs(value) >= 1e4 else f"{value:.3g}"


def tick_step(top: float) -> float:
    """1, 2 or 5 of some power of ten: the smallest of which at most five steps reach `top`."""
    power = 10.0 ** math.floor(math.log10(top / 5))
    return next(factor * power for factor in (1, 2, 5, 10) if top / (factor * power) <= 5)


def chart(label: str, series: Mapping[int, Sequence[Mark]], *, bound: float | None) -> str:
    """A chart of these lines, by the number of their colour. The axis begins at nought: no difference looks larger than
    it is.
    """
    marks = [mark for line in series.values() for mark in line]
    days = [day_number(mark.date) for mark in marks]
    first, span = min(days), max(max(days) - min(days), 1)
    top = max([mark.value for mark in marks] + ([bound] if bound is not None else [])) * 1.08 or 1.0

    def x(date: str) -> float:
        across = (day_number(date) - first) / span if max(days) > first else 0.5
        return LEFT + across * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">']
    step = tick_step(top)
    for value in (number * step for number in range(int(top / step) + 1)):
        at = y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{tick(value)}</text>')
    ends = [(min(mark.date for mark in marks), "start"), (max(mark.date for mark in marks), "end")]
    for date, anchor in ends if max(days) > first else [(ends[0][0], "middle")]:
        parts.append(f'<text x="{x(date):.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{escape(date)}</text>')
    if bound is not None:
        at = y(bound)
        parts.append(f'<line class="budget" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="budget" x="{WIDTH - RIGHT}" y="{at - 4:.1f}" text-anchor="end">budget</text>')
    for number, line in series.items():
        colour = f"m{number % COLOURS}"
        way = " ".join(f"{x(mark.date):.1f},{y(mark.value):.1f}" for mark in line)
        parts.append(f'<polyline class="{colour}" points="{way}"/>')
        for mark in line:
            place = f'cx="{x(mark.date):.1f}" cy="{y(mark.value):.1f}"'
            parts.append(f'<circle class="{colour}" {place} r="4"><title>{escape(mark.title)}</title></circle>')
    return "".join([*parts, "</svg>"])
