"""Plots as one HTML file that needs nothing else: inline SVG, no script, light and dark, each with its figures.

A plot has lines of one unit over one axis; spans mark what happened meanwhile. Colours are classes of the page's style,
and lines are told apart by their dashes too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 14, 40

# Classes l0 to l5 of the style.
COLOURS = 6
GRID_LINES = 4

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --faint: #5d6878; --paper: #fff; --rule: #e4e7ec; --span: #b4231822;
  --l0: #1f6feb; --l1: #b35900; --l2: #1a7f4b; --l3: #8250df; --l4: #bf3989; --l5: #0e7490; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --faint: #98a2b3; --paper: #12161d; --rule: #2a313c;
  --span: #ff8a8033; --l0: #79b8ff; --l1: #ffb366; --l2: #6fdc9f; --l3: #c5a3ff; --l4: #ff9bce; --l5: #67d3e6; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  padding: 1.5rem; max-width: 76rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .25rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1rem;
  align-items: start; }
svg { width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: var(--faint); }
.grid { stroke: var(--rule); } .span { fill: var(--span); } .line { fill: none; stroke-width: 1.8; }
.l0 { stroke: var(--l0); } .l1 { stroke: var(--l1); stroke-dasharray: 7 3; }
.l2 { stroke: var(--l2); stroke-dasharray: 2 3; }
.l3 { stroke: var(--l3); stroke-dasharray: 9 3 2 3; }
.l4 { stroke: var(--l4); stroke-dasharray: 4 2; } .l5 { stroke: var(--l5); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums;
  font-size: .85rem; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
pre { padding: 1rem; border: 1px solid var(--rule); overflow-x: auto; }
.key { display: inline-block; margin-right: 1rem; } .key svg { width: 2rem; height: .6rem; vertical-align: middle; }
"""


@dataclass(frozen=True)
class Line:
    """Points (x, y), in the order of x. A y of None is a gap."""

    label: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Span:
    """From one x to another: what happened."""

    begin: float
    end: float
    label: str


def tick(value: float) -> str:
    """A number beside an axis."""
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= factor:
            return f"{value / (1e3 if factor == 1e4 else factor):.3g}{unit}"
    return f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.3g}"


def plot(title: str, x_label: str, lines: Sequence[Line], spans: Sequence[Span] = (), *, log_x: bool = False) -> str:
    """An SVG with its key. The y axis begins at nought: no difference looks larger than it is."""
    points = [(x, y) for line in lines for x, y in line.points if y is not None]
    if not points:
        return f"<p>{escape(title)}: nothing was measured.</p>"
    scale = math.log10 if log_x else float
    first, last = scale(min(x for x, _ in points)), scale(max(x for x, _ in points))
    top = max(y for _, y in points) * 1.08 or 1.0

    def across(x: float) -> float:
        share = (scale(x) - first) / (last - first) if last > first else 0.5
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for span in spans:
        begin, end = across(span.begin), across(span.end)
        parts.append(
            f'<rect class="span" x="{begin:.1f}" y="{TOP}" width="{max(end - begin, 1.5):.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}"><title>{escape(span.label)}</title></rect>'
        )
    for number in range(GRID_LINES + 1):
        value = top * number / GRID_LINES
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(value):.1f}" y2="{up(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{up(value) + 4:.1f}" text-anchor="end">{tick(value)}</text>')
    for share in (0.0, 0.5, 1.0):
        at = first + share * (last - first)
        anchor = {0.0: "start", 0.5: "middle", 1.0: "end"}[share]
        place = LEFT + share * (WIDTH - LEFT - RIGHT)
        value = 10**at if log_x else at
        parts.append(f'<text x="{place:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="{anchor}">{tick(value)}</text>')
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    for number, line in enumerate(lines):
        for piece in _pieces(line.points):
            path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in piece)
            parts.append(f'<polyline class="line l{number % COLOURS}" points="{path}"/>')
    parts.append("</svg>")
    keys = "".join(
        f'<span class="key"><svg viewBox="0 0 32 10" aria-hidden="true"><line class="line l{number % COLOURS}" '
        f'x1="0" x2="32" y1="5" y2="5"/></svg> {escape(line.label)}</span>'
        for number, line in enumerate(lines)
    )
    return f"<div>{''.join(parts)}<p>{keys}</p></div>"


def _pieces(points: Iterable[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is not None:
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    return [piece if len(piece) > 1 else [*piece, *piece] for piece in pieces if piece]


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Figures, readable without the plot."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return (
        f"{value:,.4g}"
        if isinstance(value, float) and abs(value) < 1e4
        else (f"{value:,.0f}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value))
    )


def section(title: str, *parts: str) -> str:
    """A heading with what belongs to it, side by side where there is room."""
    return f'<h2>{escape(title)}</h2><div class="pair">{"".join(parts)}</div>'


def page(title: str, introduction: str, sections: Iterable[str]) -> str:
    """The file."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1><p>{escape(introduction)}</p>"
        f"{''.join(sections)}</body></html>\n"
    )
