"""Ratios with their intervals, and what counts as a regression."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Student's t, two-sided 95 %, by degrees of freedom (any table of it). Beyond the last: the normal distribution's.
_T_95 = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228,
    11: 2.201, 12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101, 19: 2.093, 20: 2.086,
    25: 2.060, 30: 2.042, 40: 2.021, 60: 2.000, 120: 1.980,
}  # fmt: skip
_NORMAL_95 = 1.960


def t_95(degrees: int) -> float:
    """Student's t for a two-sided interval of 95 %; between the table's rows the wider one. ValueError below 1."""
    if degrees < 1:
        raise ValueError("an interval needs at least two values")
    if degrees > max(_T_95):
        return _NORMAL_95
    return _T_95[max(row for row in _T_95 if row <= degrees)]


@dataclass(frozen=True)
class Interval:
    """A ratio and the bounds between which it lies with 95 %."""

    ratio: float
    low: float
    high: float

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Interval:
        """Of independent ratios: their geometric mean, and Student's t over their logarithms."""
        logs = [math.log(ratio) for ratio in ratios]
        centre = statistics.fmean(logs)
        half = t_95(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
        return cls(math.exp(centre), math.exp(centre - half), math.exp(centre + half))

    @classmethod
    def exact(cls, ratio: float) -> Interval:
        """Of counts that do not vary."""
        return cls(ratio, ratio, ratio)

    def is_dearer(self, noise: float) -> bool:
        """Whether it is above 1 by more than `noise`, and surely above 1."""
        return self.ratio > 1 + noise and self.low > 1

    def is_cheaper(self, noise: float) -> bool:
        """The same downwards."""
        return self.ratio < 1 / (1 + noise) and self.high < 1

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.ratio:.4f}"
        return f"{self.ratio:.3f} ({self.low:.3f}–{self.high:.3f})"


@dataclass(frozen=True)
class Compared:
    """One hot path in both builds: costs per item in `unit`, and HEAD's by BASE's."""

    name: str
    base: float
    head: float
    unit: str
    interval: Interval
    noise: float

    @property
    def is_regression(self) -> bool:
        """Whether HEAD is dearer by more than noise."""
        return self.interval.is_dearer(self.noise)

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.is_regression:
            return "REGRESSION"
        return "faster" if self.interval.is_cheaper(self.noise) else "within noise"

    def as_json(self) -> dict[str, object]:
        """The line that `--json` prints."""
        return {
            "name": self.name,
            "base": float(f"{self.base:.5g}"),
            "head": float(f"{self.head:.5g}"),
            "unit": self.unit,
            "ratio": round(self.interval.ratio, 5),
            "low": round(self.interval.low, 5),
            "high": round(self.interval.high, 5),
            "noise": self.noise,
            "verdict": self.verdict,
        }
