"""The history for a terminal: a line per result and machine, the newest figure, how it came there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from bench.recorded import Point

_BARS = "▁▂▃▄▅▆▇█"


def histories(points: Iterable[Point]) -> dict[str, dict[str, list[Point]]]:
    """Result → machine → its points, the oldest first."""
    found: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        found[point.name][point.machine].append(point)
    return {name: dict(machines) for name, machines in found.items()}


def sparkline(values: Sequence[float]) -> str:
    """A bar per value, between the least and the most of them."""
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    return "".join(_BARS[round((value - low) / width * (len(_BARS) - 1))] for value in values)


def number(value: float) -> str:
    """Four digits."""
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:,.4g}"


def lines(points: Iterable[Point]) -> Iterable[str]:
    """The report, line by line."""
    found = histories(points)
    if not found:
        yield "nothing is recorded yet: python -m bench front agents record encode --record"
    for name, machines in found.items():
        yield name
        for machine, history in machines.items():
            last = history[-1]
            figure = f"{number(last.ours)} {last.unit}"
            if last.ratio is not None and last.theirs is not None:
                figure = f"{last.ratio:.3g} × ({number(last.ours)} against {number(last.theirs)} {last.unit})"
            verdict = "" if last.kept is None else f"  budget {last.budget} {'kept' if last.kept else 'MISSED'}"
            since = f"  {sparkline([point.figure for point in history])} since {history[0].date}" if history[1:] else ""
            yield f"  {last.date}  {machine}  {figure}{verdict}{since}"
