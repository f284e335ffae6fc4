"""Values of vitals as whole numbers: log buckets, so fine that a percentile is within 2 % of its rank.

Bucket 0 holds 0; bucket b > 0 holds values up to `LEAST` * `GROWTH` ** b and more than the one before. What is shown of
a bucket is its upper end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

GROWTH = 1.01
LEAST = 1e-4


def bucket_sql(value: str) -> str:
    """The bucket of a value, as SQL."""
    return f"toInt32(if({value} <= {LEAST}, 0, ceil(log({value} / {LEAST}) / log({GROWTH}))))"


def bucket_of(value: float) -> int:
    """The bucket of a value."""
    return 0 if value <= LEAST else math.ceil(math.log(value / LEAST) / math.log(GROWTH))


def upper_end(bucket: int) -> float:
    """The largest value of a bucket."""
    return 0.0 if bucket == 0 else LEAST * GROWTH**bucket


def percentile(counts: Mapping[int, int], percent: int) -> int | None:
    """The bucket in which the percentile lies: the first that this part of all values does not exceed."""
    total = sum(counts.values())
    passed = 0
    for bucket, count in sorted(counts.items()):
        passed += count
        if passed * 100 >= total * percent and count:
            return bucket
    return None


def percentile_sql(counts: str, percent: int) -> str:
    """`percentile` as SQL over a Map, to sort by; NULL without values."""
    total = f"arraySum(mapValues({counts}))"
    found = f"arrayFirst((b, c) -> c * 100 >= {total} * {percent}, mapKeys({counts}), arrayCumSum(mapValues({counts})))"
    return f"if({total} = 0, NULL, {found})"
