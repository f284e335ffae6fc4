"""Segments for benchmarks of what comes after the spool: the shape of real traffic without the front.

Sites, pages, agents and visitors by Zipf's law; 55 % page views, 25 % engagement, 8 % vitals, 7 % timings, 5 % custom
events with props. Seeded: the same rows in each run.
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import accumulate

from tests.reference.records import NOON_MS, Hit, Segment, build_segment

_KINDS = (1, 3, 4, 5, 2)
_KIND_WEIGHTS = (55, 25, 8, 7, 5)
_AGENTS = (
    ("Chrome", "141.0", "Windows", "10", 1, 1920, 1080),
    ("Mobile Safari", "18.6", "iOS", "18.6", 2, 390, 844),
    ("Chrome Mobile", "141.0", "Android", "10", 2, 412, 915),
    ("Safari", "18.6", "Mac OS X", "10.15", 1, 1440, 900),
    ("Edge", "141.0", "Windows", "10", 1, 1536, 864),
    ("Firefox", "143.0", "Linux", "", 1, 1920, 1080),
    ("Samsung Internet", "28.0", "Android", "10", 2, 384, 832),
    ("Chrome", "140.0", "Mac OS X", "10.15", 1, 1728, 1117),
    ("Firefox", "143.0", "Windows", "10", 1, 2560, 1440),
    ("Opera", "122.0", "Windows", "10", 1, 1366, 768),
    ("Safari", "17.6", "iOS", "17.6", 3, 820, 1180),
    ("Chrome", "139.0", "Chrome OS", "14541", 1, 1366, 768),
)
_PLACES = (
    ("US", "en-US", "America/New_York"),
    ("DE", "de-DE", "Europe/Berlin"),
    ("GB", "en-GB", "Europe/London"),
    ("FR", "fr-FR", "Europe/Paris"),
    ("IN", "en-IN", "Asia/Kolkata"),
    ("BR", "pt-BR", "America/Sao_Paulo"),
    ("JP", "ja-JP", "Asia/Tokyo"),
    ("US", "en-US", "America/Los_Angeles"),
    ("PL", "pl-PL", "Europe/Warsaw"),
    ("", "", ""),
)
_SOURCES = (
    ("", "", 0),
    ("Google", "www.google.com/", 1),
    ("", "", 0),
    ("Facebook", "l.facebook.com/l.php", 3),
    ("Bing", "www.bing.com/search", 1),
    ("Reddit", "www.reddit.com/r/programming/comments/1abcde", 3),
    ("news.ycombinator.com", "news.ycombinator.com/item", 6),
    ("DuckDuckGo", "duckduckgo.com/", 1),
)
_CAMPAIGNS = (
    ("google", "cpc", "brand-2026-autumn", "analytics", "ad-a"),
    ("newsletter", "email", "weekly-47", "", "header"),
    ("facebook", "paid_social", "retargeting-eu", "", "carousel-3"),
)


class _Zipf:
    """Draws from a list whose n-th entry is 1/n as likely as the first."""

    def __init__(self, rnd: random.Random, count: int) -> None:
        self._rnd = rnd
        self._weights = list(accumulate(1 / (rank + 1) for rank in range(count)))
        self._numbers = range(count)

    def draw(self) -> int:
        return self._rnd.choices(self._numbers, cum_weights=self._weights)[0]


def traffic_segment(rows: int, *, seed: int = 47) -> tuple[Segment, list[Hit]]:
    """A segment of this many hits over ten minutes, and the hits."""
    rnd = random.Random(seed)
    sites, pages, agents = _Zipf(rnd, 40), _Zipf(rnd, 3000), _Zipf(rnd, len(_AGENTS))
    places, sources = _Zipf(rnd, len(_PLACES)), _Zipf(rnd, len(_SOURCES))
    visitors: list[tuple[int, Hit]] = []
    hits: list[Hit] = []
    for number in range(rows):
        time_ms = NOON_MS + number * 600_000 // rows
        if visitors and rnd.random() < 0.75:
            _, hit = visitors[rnd.randrange(max(0, len(visitors) - 4000), len(visitors))]
        else:
            hit = _visitor(rnd, sites.draw(), agents.draw(), places.draw(), sources.draw())
            visitors.append((number, hit))
        hits.append(_event(rnd, hit, time_ms, pages.draw()))
    return build_segment(hits), hits


def _visitor(rnd: random.Random, site: int, agent: int, place: int, source: int) -> Hit:
    browser, browser_version, os, os_version, device, width, height = _AGENTS[agent]
    country, language, timezone = _PLACES[place]
    referrer_source, referrer, channel = _SOURCES[source]
    hit = Hit(
        site_id=site + 1,
        visitor_id=rnd.getrandbits(64),
        device=device,
        channel=channel,
        screen_width_px=width,
        screen_height_px=height,
    ).with_strings(
        hostname=f"www.shop-{site + 1}.example",
        referrer_source=referrer_source,
        referrer=referrer,
        country=country,
        language=language,
        timezone=timezone,
        browser=browser,
        browser_version=browser_version,
        os=os,
        os_version=os_version,
    )
    if rnd.random() < 0.08:
        names = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
        hit = hit.with_strings(**dict(zip(names, rnd.choice(_CAMPAIGNS), strict=True)), click_id="gclid")
    return hit


def _event(rnd: random.Random, visitor: Hit, time_ms: int, page: int) -> Hit:
    kind = rnd.choices(_KINDS, _KIND_WEIGHTS)[0]
    hit = replace(visitor, kind=kind, time_ms=time_ms, load_id=rnd.getrandbits(48), sequence=rnd.randrange(4))
    section = ("blog", "products", "docs", "help")[page % 4]
    strings = {"path": f"/{section}/{page}-a-page-about-something" if page else "/"}
    if kind == 3:
        hit = replace(hit, engaged_ms=rnd.randrange(60_000), scroll_depth_percent=rnd.randrange(101))
    elif kind == 4:
        metrics = ((1, rnd.uniform(400, 4000)), (2, rnd.uniform(8, 400)), (3, rnd.uniform(0, 0.3)))
        hit = replace(hit, metrics=metrics)
    elif kind == 5:
        hit = replace(hit, metrics=tuple((code, rnd.uniform(0, 900)) for code in (10, 11, 12, 5, 13, 14, 15, 16)))
    elif kind == 2:
        strings["event_name"] = rnd.choice(("Signup", "Add to cart", "Outbound Link: Click"))
        hit = replace(
            hit, interactive=1, props=((b"plan", rnd.choice((b"free", b"pro"))), (b"url", b"https://a.example/"))
        )
    return hit.with_strings(**strings)
