"""The requests that the generator sends: beacons of generated traffic, each with room for its hit's number.

The page load's id has all its fifteen digits, so that the generator can write over them (`generator/src/requests.rs`).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bench.collector_process import SITE
from bench.traffic import TrafficMix, generate_hits, http_request

LENGTH_DIGITS = 9
SEED = 20_261_130

# The highest of 60 bits: with it the id has fifteen digits.
FULL_WIDTH = 1 << 59

KEPT = b"\r\nConnection: keep-alive\r\n"
CLOSED = b"\r\nConnection: close\r\n"


def write_requests(path: Path, count: int, *, site: str = SITE, is_short: bool = False) -> Path:
    """Write so many requests. `is_short`: each asks for the end of its connection."""
    with path.open("wb") as file:
        for hit in generate_hits(count, seed=SEED, mix=TrafficMix(sites=(site,))):
            full = dataclasses.replace(hit, load_id=hit.load_id | FULL_WIDTH)
            request = http_request(full, host="127.0.0.1:8000")
            if is_short:
                request = request.replace(KEPT, CLOSED, 1)
            file.write(b"%0*d" % (LENGTH_DIGITS, len(request)) + request)
    return path
