"""The history as one HTML file: no script, nothing fetched, light and dark, and a table beside every chart."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.recorded import Point
from bench.report.charts import COLOURS, Mark, chart
from bench.report.text import histories, number

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --faint: #667085; --paper: #fff; --rule: #e4e7ec; --bad: #b42318;
  --m0: #1f6feb; --m1: #b35900; --m2: #1a7f4b; --m3: #8250df; --m4: #bf3989; --m5: #0e7490; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --faint: #98a2b3; --paper: #12161d; --rule: #2a313c;
  --bad: #ff8a80; --m0: #79b8ff; --m1: #ffb366; --m2: #6fdc9f; --m3: #c5a3ff; --m4: #ff9bce; --m5: #67d3e6; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; padding: 1.5rem; max-width: 76rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2.5rem 0 .25rem; } p { margin: .25rem 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); gap: 1rem; }
figure { margin: .5rem 0; } figcaption, .faint { color: var(--faint); font-size: .85rem; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--faint); }
svg .grid { stroke: var(--rule); } svg line.budget { stroke: var(--bad); stroke-dasharray: 6 4; }
svg text.budget, .missed { fill: var(--bad); color: var(--bad); } polyline { fill: none; stroke-width: 2; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em;
  background: currentColor; }
"""
STYLE += "".join(
    f"svg .m{n} {{ stroke: var(--m{n}); }} circle.m{n} {{ fill: var(--m{n}); }} "
    f".key.m{n}::before {{ color: var(--m{n}); }}\n"
    for n in range(COLOURS)
)


def title_of(point: Point) -> str:
    """What a mark says."""
    ratio = "" if point.ratio is None else f"{point.ratio:.3g} ×, "
    at = f", commit {point.commit}" if point.commit else ""
    return f"{point.date}: {ratio}{number(point.ours)} {point.unit}{at}"


def page(points: Sequence[Point]) -> str:
    """The whole file."""
    found = histories(points)
    machines = list(dict.fromkeys(point.machine for point in points))
    keys = " ".join(
        f'<span class="key m{index % COLOURS}">{escape(name)}</span>' for index, name in enumerate(machines)
    )
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>Footfall: benchmark history</title><style>{STYLE}</style></head><body><main>",
        "<h1>Benchmark history</h1>",
        "<p>Ratios compare within one run, so they hold across machines; absolute figures do not.</p>",
        f"<p>{keys}</p>" if points else "<p>Nothing is recorded yet: <code>python -m bench front --record</code>.</p>",
    ]
    for name, by_machine in found.items():
        parts.append(section(name, by_machine, machines))
    return "\n".join([*parts, "</main></body></html>"]) + "\n"


def section(name: str, by_machine: dict[str, list[Point]], machines: list[str]) -> str:
    """One result: its charts and its table."""
    everything = [point for history in by_machine.values() for point in history]
    last = max(everything, key=lambda point: point.date)
    verdict = ""
    if last.kept is not None:
        state = "kept" if last.kept else '<span class="missed">missed</span>'
        verdict = f" Budget {escape(last.budget)}: {state}."
    again = f" <code>python -m bench {escape(last.suite)}</code>" if last.suite else ""
    parts = [
        f"<section><h2>{escape(name)}</h2><p>{escape(title_of(last))}.{verdict}{again}</p>",
        '<div class="charts">',
    ]
    if last.ratio is not None:
        ratios = {
            machines.index(machine): [
                Mark(point.date, point.ratio, title_of(point)) for point in history if point.ratio is not None
            ]
            for machine, history in by_machine.items()
        }
        drawn = chart(f"{name}: ratio", {key: line for key, line in ratios.items() if line}, bound=last.bound)
        parts.append(f"<figure>{drawn}<figcaption>ratio, more is better</figcaption></figure>")
    absolute = {
        machines.index(machine): [Mark(point.date, point.ours, title_of(point)) for point in history]
        for machine, history in by_machine.items()
    }
    bound = last.bound if last.ratio is None else None
    parts.append(
        f"<figure>{chart(f'{name}: ours', absolute, bound=bound)}"
        f"<figcaption>ours, {escape(last.unit)}</figcaption></figure></div>"
    )
    parts.append('<details><summary>All figures</summary><div class="wide"><table>')
    parts.append("<tr><th>date<th>machine<th>ours<th>theirs<th>ratio<th>unit<th>budget<th>commit<th>load</tr>")
    for point in sorted(everything, key=lambda point: point.date, reverse=True):
        cells = (
            point.date,
            point.machine,
            number(point.ours),
            "" if point.theirs is None else number(point.theirs),
            "" if point.ratio is None else f"{point.ratio:.3g}",
            point.unit,
            point.budget,
            point.commit,
            "" if point.load is None else f"{point.load:.1f}",
        )
        parts.append("<tr>" + "".join(f"<td>{escape(cell)}" for cell in cells) + "</tr>")
    if last.versions:
        listed = ", ".join(f"{what} {version}" for what, version in last.versions.items())
        parts.append(f'</table></div><p class="faint">{escape(listed)}</p></details></section>')
    else:
        parts.append("</table></div></details></section>")
    return "".join(parts)
