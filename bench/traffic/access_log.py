"""A hit as a line of a combined access log, as nginx and Apache write it: what `footfall replay` reads.

A browser that loads a page also fetches images and styles, and some requests fail: `log_lines` adds them in the
proportions below, so that a reader of the log has to tell them apart. Only page views stand in a log; other kinds of
hit never do.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterable, Iterator

from bench.traffic.hits import Hit, HitKind

ASSETS = ("/static/site.css", "/static/app.js", "/images/logo.png", "/favicon.ico", "/fonts/body.woff2")

# Requests for assets per page view, and the share of pages that are not found: a small site's log.
ASSETS_PER_PAGE = 1.2
NOT_FOUND_SHARE = 0.02


def log_line(hit: Hit, *, target: str | None = None, status: int = 200, size_bytes: int = 12_345) -> str:
    """One line without its newline. `target` is the request target, by default the hit's own path and query."""
    moment = datetime.datetime.fromtimestamp(hit.time_ms / 1000, datetime.UTC)
    path = "/" + hit.url.removeprefix("https://").partition("/")[2] if target is None else target
    stamp = moment.strftime("%d/%b/%Y:%H:%M:%S +0000")
    agent = hit.agent.text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{hit.address} - - [{stamp}] "GET {path} HTTP/1.1" {status} {size_bytes} "{hit.referrer or "-"}" "{agent}"'


def log_lines(hits: Iterable[Hit], *, seed: int = 1) -> Iterator[str]:
    """The log of a server that served these hits' pages."""
    source = random.Random(seed)
    for hit in hits:
        if hit.kind is not HitKind.PAGEVIEW:
            continue
        if source.random() < NOT_FOUND_SHARE:
            yield log_line(hit, target="/missing-page", status=404, size_bytes=312)
            continue
        yield log_line(hit)
        for asset in ASSETS:
            if not hit.agent.is_bot and source.random() < ASSETS_PER_PAGE / len(ASSETS):
                yield log_line(hit, target=asset)
