"""The knee of a curve: the smallest value beyond which hardly anything is gained."""

from __future__ import annotations

from collections.abc import Sequence

# Less than two rounds of a busy machine differ by.
NEARLY = 0.05


def knee(points: Sequence[tuple[float, float]], nearly: float = NEARLY) -> float:
    """The smallest x whose gain is within `nearly` of the best y. More of y is better; `points` is not empty.

    Small values are preferred because what they cost is not in the curve: memory for larger batches, freshness for
    older ones, connections for more threads.
    """
    best = max(y for _, y in points)
    return min(x for x, y in points if y >= best * (1 - nearly))
