"""Hits: visits of visitors who walk over a site's pages.

The model, kept small on purpose. A fixed pool of visitors per run; each has an agent drawn by its share, an address in
a country drawn by its share, a language and a screen. About `active_visits` visits are under way at any time; each step
advances a random one, so hits of many visitors interleave as they do at a busy site's front. A visit begins with a
referrer (or none, or a campaign), looks at pages drawn by Zipf's law, sends vitals, timings and engagement for some of
them, and ends after a geometrically distributed number of pages. Bots fetch one page and go.

Invariant: the same seed, count and mix give the same hits in the same order on every machine (only `random.Random`'s
documented, version-stable methods and integer arithmetic on its results decide).
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from bench.traffic.agents import Agent, AgentList, bots, browsers

# 2026-11-01T00:00:00Z. Only logs and batches carry it; live hits take the server's clock.
DEFAULT_START_MS = 1_793_491_200_000

# Country, first two octets of a range long allotted to a network there, share of visitors in percent.
COUNTRIES = (
    ("US", (73, 16), 30),
    ("US", (24, 16), 4),
    ("DE", (84, 160), 9),
    ("GB", (86, 128), 8),
    ("FR", (90, 0), 6),
    ("IN", (117, 192), 8),
    ("JP", (126, 0), 6),
    ("BR", (177, 32), 6),
    ("CA", (70, 24), 4),
    ("NL", (84, 24), 3),
    ("ES", (83, 32), 3),
    ("IT", (79, 0), 3),
    ("PL", (83, 0), 2),
    ("AU", (1, 120), 2),
    ("KR", (175, 192), 2),
    ("MX", (187, 128), 2),
    ("SE", (78, 64), 1),
    ("ZA", (41, 0), 1),
)

# Referring page (empty: none) and share of visits in percent.
REFERRERS = (
    ("", 42),
    ("https://www.google.com/", 28),
    ("https://www.bing.com/", 3),
    ("https://duckduckgo.com/", 3),
    ("https://t.co/", 3),
    ("https://www.reddit.com/r/webdev/", 3),
    ("https://news.ycombinator.com/item?id=42000000", 3),
    ("https://www.facebook.com/", 4),
    ("https://www.linkedin.com/feed/", 2),
    ("https://www.youtube.com/watch?v=abcdefghijk", 2),
    ("https://chatgpt.com/", 2),
    ("https://github.com/topics/analytics", 2),
    ("https://blog.example.org/links/2026", 3),
)

# Query of a campaign's landing page.
CAMPAIGNS = (
    "utm_source=newsletter&utm_medium=email&utm_campaign=november",
    "utm_source=google&utm_medium=cpc&utm_campaign=brand&utm_term=web+analytics&gclid=Cj0KCQiA",
    "utm_source=facebook&utm_medium=paid_social&utm_campaign=retarget&utm_content=video-a&fbclid=IwAR0",
    "utm_source=partner&utm_medium=affiliate",
    "ref=producthunt",
)

TIME_ZONES = {
    "US": "America/New_York",
    "GB": "Europe/London",
    "IN": "Asia/Kolkata",
    "JP": "Asia/Tokyo",
    "BR": "America/Sao_Paulo",
}

SECTIONS = ("blog", "docs", "product", "news", "help", "shop")

CUSTOM_EVENTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("Signup", {"plan": "premium", "method": "email"}),
    ("Add to cart", {"sku": "A-1042", "colour": "blue"}),
    ("Outbound Link: Click", {"url": "https://example.org/elsewhere"}),
    ("File Download", {"url": "https://example.com/paper.pdf"}),
    ("Search", {"term": "pricing"}),
    ("Video play", {}),
)


class HitKind(Enum):
    """What a hit reports: the kinds of `events`."""

    PAGEVIEW = "pageview"
    CUSTOM = "custom"
    ENGAGEMENT = "engagement"
    VITALS = "vitals"
    TIMINGS = "timings"


@dataclass(frozen=True, slots=True)
class Hit:
    """One beacon, in the sender's terms."""

    time_ms: int
    site: str
    kind: HitKind
    url: str
    referrer: str
    address: str
    country: str
    agent: Agent
    time_zone: str
    load_id: int
    sequence: int
    event_name: str = ""
    props: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    engaged_ms: int = 0
    scroll_depth_percent: int = 0


@dataclass(frozen=True)
class TrafficMix:
    """The proportions. Shares are of page views unless the name says otherwise."""

    sites: tuple[str, ...] = ("example.com",)
    pages_per_site: int = 5_000
    # Near 1 as measured on many sites: the second page has half the views of the first.
    zipf_exponent: float = 1.05
    visitors: int = 20_000
    active_visits: int = 400
    pages_per_visit: float = 2.6
    # A site's front sees far more bots than its tracker does: most crawlers run no script.
    bot_share: float = 0.04
    campaign_share_of_visits: float = 0.12
    query_share: float = 0.10
    custom_share: float = 0.08
    engagement_share: float = 0.55
    vitals_share: float = 0.30
    timings_share: float = 0.15
    hits_per_second: float = 1_000.0
    start_ms: int = DEFAULT_START_MS


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who sends: fixed for the whole run."""

    address: str
    country: str
    agent: Agent
    time_zone: str


@dataclass(slots=True)
class Visit:
    """A visit under way: what is left of it to send, in order."""

    pending: list[Hit]


class Pages:
    """A site's paths, drawn by Zipf's law."""

    def __init__(self, count: int, exponent: float) -> None:
        self._paths = ["/"] + [page_path(rank) for rank in range(1, count)]
        self._cumulative = list(itertools.accumulate((rank + 1) ** -exponent for rank in range(count)))

    def draw(self, random_source: random.Random) -> str:
        """A path; the first ones far more often than the last."""
        point = random_source.random() * self._cumulative[-1]
        return self._paths[min(bisect.bisect(self._cumulative, point), len(self._paths) - 1)]


def page_path(rank: int) -> str:
    """A plausible path for the page of that rank: section, sometimes a year, a slug."""
    section = SECTIONS[rank % len(SECTIONS)]
    if rank < len(SECTIONS):
        return f"/{section}"
    if section in ("blog", "news"):
        return f"/{section}/{2020 + rank % 7}/article-about-subject-{rank}"
    return f"/{section}/item-{rank}"


def generate_hits(count: int, *, seed: int = 1, mix: TrafficMix | None = None) -> Iterator[Hit]:
    """`count` hits, in time order."""
    mix = mix or TrafficMix()
    source = random.Random(seed)
    pages = Pages(mix.pages_per_site, mix.zipf_exponent)
    visitors = [make_visitor(source, browsers()) for _ in range(mix.visitors)]
    visits = [begin_visit(source, mix, pages, visitors) for _ in range(min(mix.active_visits, count))]
    time_ms = float(mix.start_ms)
    for _ in range(count):
        time_ms += source.expovariate(mix.hits_per_second) * 1000
        position = source.randrange(len(visits))
        visit = visits[position]
        yield at_time(visit.pending.pop(0), int(time_ms))
        if not visit.pending:
            visits[position] = begin_visit(source, mix, pages, visitors)


def at_time(hit: Hit, time_ms: int) -> Hit:
    """The same hit, sent at `time_ms` (cheaper than dataclasses.replace, which looks every field up by name)."""
    return Hit(
        time_ms, hit.site, hit.kind, hit.url, hit.referrer, hit.address, hit.country, hit.agent, hit.time_zone,
        hit.load_id, hit.sequence, hit.event_name, hit.props, hit.metrics, hit.engaged_ms, hit.scroll_depth_percent,
    )  # fmt: skip


def make_visitor(source: random.Random, agents: AgentList) -> Visitor:
    """A visitor with an agent by its share and an address in a country by its share."""
    agent = source.choices(agents.agents, cum_weights=agents.cumulative)[0]
    country, (first, second), _ = source.choices(COUNTRIES, weights=[share for *_, share in COUNTRIES])[0]
    # 13 bits of the network's range stay inside every allotment above.
    address = f"{first}.{second + source.randrange(8)}.{source.randrange(256)}.{source.randrange(1, 255)}"
    return Visitor(address, country, agent, TIME_ZONES.get(country, "Europe/Berlin"))


def begin_visit(source: random.Random, mix: TrafficMix, pages: Pages, visitors: list[Visitor]) -> Visit:
    """A whole visit, as the hits it will send."""
    site = source.choice(mix.sites)
    # A bot sends a single page view where a person sends a visit's worth of hits: weigh its visits accordingly.
    hits_per_page = 1 + mix.custom_share + mix.engagement_share + mix.vitals_share + mix.timings_share
    people_hits = mix.pages_per_visit * hits_per_page
    bot_visits = mix.bot_share * people_hits / (1 - mix.bot_share + mix.bot_share * people_hits)
    if source.random() < bot_visits:
        visitor = make_visitor(source, bots())
        page = page_url(source, mix, site, pages.draw(source))
        return Visit([make_hit(source, visitor, site, HitKind.PAGEVIEW, page, "", source.getrandbits(60))])
    # A square draw: few visitors come often, many once.
    visitor = visitors[int(source.random() ** 2 * len(visitors))]
    referrer = source.choices([name for name, _ in REFERRERS], weights=[share for _, share in REFERRERS])[0]
    page = page_url(source, mix, site, pages.draw(source))
    if source.random() < mix.campaign_share_of_visits:
        page = f"https://{site}{pages.draw(source)}?{source.choice(CAMPAIGNS)}"
    pending: list[Hit] = []
    while True:
        pending += page_hits(source, mix, visitor, site, page, referrer)
        if source.random() * mix.pages_per_visit < 1:
            return Visit(pending)
        referrer, page = page.split("?")[0], page_url(source, mix, site, pages.draw(source))


def page_url(source: random.Random, mix: TrafficMix, site: str, path: str) -> str:
    """The page's address, now and then with a query string that Footfall must not keep."""
    query = (
        f"?page={source.randrange(1, 40)}&session={source.getrandbits(32):08x}"
        if source.random() < mix.query_share
        else ""
    )
    return f"https://{site}{path}{query}"


def page_hits(
    source: random.Random, mix: TrafficMix, visitor: Visitor, site: str, url: str, referrer: str
) -> list[Hit]:
    """What one page load sends, in order."""
    load_id = source.getrandbits(60)
    hits = [make_hit(source, visitor, site, HitKind.PAGEVIEW, url, referrer, load_id)]
    if source.random() < mix.custom_share:
        hits.append(make_hit(source, visitor, site, HitKind.CUSTOM, url, referrer, load_id, len(hits)))
    if source.random() < mix.timings_share:
        hits.append(make_hit(source, visitor, site, HitKind.TIMINGS, url, referrer, load_id, len(hits)))
    if source.random() < mix.vitals_share:
        hits.append(make_hit(source, visitor, site, HitKind.VITALS, url, referrer, load_id, len(hits)))
    if source.random() < mix.engagement_share:
        hits.append(make_hit(source, visitor, site, HitKind.ENGAGEMENT, url, referrer, load_id, len(hits)))
    return hits


def make_hit(
    source: random.Random,
    visitor: Visitor,
    site: str,
    kind: HitKind,
    url: str,
    referrer: str,
    load_id: int,
    sequence: int = 0,
) -> Hit:
    """One hit with the values its kind carries."""
    name, props = source.choice(CUSTOM_EVENTS) if kind is HitKind.CUSTOM else ("", {})
    metrics: dict[str, float] = {}
    if kind is HitKind.VITALS:
        metrics = draw_vitals(source)
    elif kind is HitKind.TIMINGS:
        metrics = draw_timings(source)
    engaged = kind is HitKind.ENGAGEMENT
    return Hit(
        time_ms=0,
        site=site,
        kind=kind,
        url=url,
        referrer=referrer,
        address=visitor.address,
        country=visitor.country,
        agent=visitor.agent,
        time_zone=visitor.time_zone,
        load_id=load_id,
        sequence=sequence,
        event_name=name,
        props=props,
        metrics=metrics,
        engaged_ms=int(source.lognormvariate(9.2, 1.1)) if engaged else 0,
        scroll_depth_percent=source.randrange(5, 101) if engaged else 0,
    )


def draw_vitals(source: random.Random) -> dict[str, float]:
    """The five web vitals: log-normal, as field data is; medians near those of the public web."""
    return {
        "lcp": round(source.lognormvariate(7.4, 0.55), 1),
        "inp": round(source.lognormvariate(4.3, 0.8)),
        "cls": round(max(0.0, source.lognormvariate(-4.0, 1.4) - 0.005), 4),
        "fcp": round(source.lognormvariate(7.0, 0.5), 1),
        "ttfb": round(source.lognormvariate(5.9, 0.7), 1),
    }


def draw_timings(source: random.Random) -> dict[str, float]:
    """A page load's phases. A reused connection has no dns, connect and tls phase: they are 0, which counts."""
    fresh = source.random() < 0.6
    ttfb = source.lognormvariate(5.6, 0.7)
    download = source.lognormvariate(4.0, 0.9)
    interactive = ttfb + download + source.lognormvariate(6.2, 0.6)
    return {
        "dns": round(source.lognormvariate(2.7, 0.9), 1) if fresh else 0,
        "connect": round(source.lognormvariate(3.3, 0.7), 1) if fresh else 0,
        "tls": round(source.lognormvariate(3.4, 0.7), 1) if fresh else 0,
        "ttfb": round(ttfb, 1),
        "download": round(download, 1),
        "dom_interactive": round(interactive, 1),
        "dom_content_loaded": round(interactive + 40, 1),
        "load": round(interactive + source.lognormvariate(6.4, 0.7), 1),
        "transfer_bytes": source.randrange(8_000, 220_000),
    }
