"""The one traffic generator: realistic hits, the same ones for the same seed, for tests, demo, load and benchmarks.

    mix = TrafficMix(sites=("example.com",), bot_share=0.05)
    for hit in generate_hits(10_000, seed=7, mix=mix): ...

A `Hit` is one beacon as a browser would send it: who (address, agent, language, screen), what (kind, URL, referrer,
props, metrics) and when. The sibling modules turn hits into what a consumer needs:

| module | makes |
|---|---|
| `agents` | browsers with their shares of traffic, from npm `user-agents`; bots, from PyPI `crawler-user-agents` |
| `hits` | the hits: visits of visitors with an agent, an address and a language, walking over Zipf-distributed pages |
| `beacons` | a hit as the JSON our tracker, Plausible's or Umami's sends, its headers, the whole HTTP request |
| `access_log` | a hit as a line of a combined access log |
"""

from bench.traffic.agents import Agent, bots, browsers
from bench.traffic.beacons import event_body, http_request, umami_body
from bench.traffic.hits import Hit, HitKind, TrafficMix, generate_hits

__all__ = [
    "Agent",
    "Hit",
    "HitKind",
    "TrafficMix",
    "bots",
    "browsers",
    "event_body",
    "generate_hits",
    "http_request",
    "umami_body",
]
