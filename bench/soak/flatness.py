"""Whether a series is flat: the growth that its typical slope makes over the whole run stays within a bound.

The slope is Theil and Sen's: the median of the slopes of all pairs of samples, which a third of wild samples do not
move. Pairs are taken within one life of a process only, so a restart, which sets memory back, hides no leak.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

# More samples of a life than this say no more, and all their pairs would take minutes.
MOST_SAMPLES = 400

# What a process takes in its first seconds it keeps: caches and arenas fill, connections come.
WARMING_S = 15.0

# A life with fewer samples has no slope worth the name.
FEWEST_SAMPLES = 5


@dataclass(frozen=True)
class Point:
    """One sample. `life`: what it may be compared with, a process id for instance."""

    at_s: float
    value: float
    life: Hashable = None


def slope_per_s(points: Sequence[Point], warming_s: float = WARMING_S) -> float:
    """The typical growth in a second, a life's first seconds left out; 0 where there are too few samples to tell."""
    lives: dict[Hashable, list[Point]] = defaultdict(list)
    for point in points:
        lives[point.life].append(point)
    slopes: list[float] = []
    for life in lives.values():
        grown_up = [point for point in life if point.at_s - life[0].at_s >= warming_s]
        if len(grown_up) < FEWEST_SAMPLES:
            continue
        chosen = grown_up[:: max(1, -(-len(grown_up) // MOST_SAMPLES))]
        slopes += [
            (later.value - earlier.value) / (later.at_s - earlier.at_s)
            for earlier, later in combinations(chosen, 2)
            if later.at_s > earlier.at_s
        ]
    return statistics.median(slopes) if slopes else 0.0


def growth(points: Sequence[Point], run_s: float) -> float:
    """What the slope makes of `run_s` seconds, in the unit of the values."""
    return slope_per_s(points) * run_s
