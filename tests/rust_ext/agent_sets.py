"""Agents to test with, each from a registry package or made here; the corpora beside the checkout when they are there.

`../shared/corpora` holds uap-core's own tests and real agents with their weights. Whatever is asserted over them is
also asserted over the sets that every checkout has.
"""

from __future__ import annotations

import gzip
import importlib.util
import itertools
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACK = ROOT / "rust_ext" / "rules.pack"
CORPORA = ROOT.parent / "shared" / "corpora"
NO_CORPORA = f"{CORPORA} is not there: the corpora are no part of the checkout"


def corpus(name: str) -> list[dict[str, Any]]:
    """One of the corpora, decoded."""
    with gzip.open(CORPORA / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        entries: list[dict[str, Any]] = json.load(file)
        return entries


def crawler_entries() -> list[dict[str, Any]]:
    """crawler-user-agents: patterns with instances."""
    spec = importlib.util.find_spec("crawleruseragents")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "crawler-user-agents.json"
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return entries


def crawler_instances() -> list[str]:
    """Every agent that crawler-user-agents shows."""
    return [instance for entry in crawler_entries() for instance in entry.get("instances", [])]


SYSTEMS = (
    "Windows NT 10.0; Win64; x64",
    "Windows NT 6.1; WOW64",
    "Windows NT 6.3; Win64; x64",
    "Windows NT 10.0; Win64; x64; rv:145.0",
    "Windows NT 10.0",
    "Macintosh; Intel Mac OS X 10_15_7",
    "Macintosh; Intel Mac OS X 10.15; rv:145.0",
    "Macintosh; Intel Mac OS X 14_6",
    "X11; Linux x86_64",
    "X11; Linux x86_64; rv:145.0",
    "X11; Ubuntu; Linux x86_64; rv:145.0",
    "X11; CrOS x86_64 14541.0.0",
    "iPhone; CPU iPhone OS 18_7 like Mac OS X",
    "iPhone; CPU iPhone OS 17_5_1 like Mac OS X",
    "iPad; CPU OS 26_0 like Mac OS X",
    "Linux; Android 10; K",
    "Linux; Android 14; Pixel 8 Pro",
    "Linux; Android 13; SM-S901B Build/TP1A.220624.014; wv",
    "Linux; Android 15; CPH2557 Build/AP3A.240617.008; wv",
    "Linux; Android 11; moto g power (2022)",
    "Linux; Android 12; 2201117TG",
    "Linux; Android 9; Redmi Note 8",
    "Linux; Android 8.1.0; SM-T580",
    "Linux; Android 13; CUBOT NOTE 30",
    "Android 15; Mobile; rv:145.0",
    "Android 14; Tablet; rv:145.0",
    # Not of the common grammar.
    "Windows NT 10.0; Win64; x64; Xbox; Xbox One",
    "Linux; Tizen 6.5; SMART-TV",
    "Linux; U; Android 4.4.2; de-de; GT-I9505 Build/KOT49H",
    "compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0",
    "X11; FreeBSD amd64",
    "PlayStation 5 3.11",
)

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) "
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko) "
PRODUCTS = (
    WEBKIT + "Chrome/145.0.0.0 Safari/537.36",
    WEBKIT + "Chrome/145.0.7632.109 Safari/537.36 Edg/145.0.3800.58",
    WEBKIT + "Chrome/145.0.0.0 Safari/537.36 OPR/129.0.0.0",
    WEBKIT + "Chrome/145.0.0.0 Safari/537.36 Vivaldi/7.6.3797.58",
    WEBKIT + "Chrome/145.0.0.0 YaBrowser/26.2.0.0 Safari/537.36",
    WEBKIT + "Chrome/145.0.0.0 Mobile Safari/537.36",
    WEBKIT + "Chrome/145.0.0.0 Mobile Safari/537.36 EdgA/145.0.0.0",
    WEBKIT + "Chrome/145.0.0.0 Mobile Safari/537.36 OPR/92.0.0.0",
    WEBKIT + "Version/4.0 Chrome/145.0.7632.5 Mobile Safari/537.36",
    WEBKIT + "Version/4.0 Chrome/145.0.7632.5 Safari/537.36",
    WEBKIT + "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    WEBKIT + "SamsungBrowser/28.0 Chrome/130.0.0.0 Safari/537.36",
    WEBKIT + "HeadlessChrome/145.0.0.0 Safari/537.36",
    APPLE + "Version/26.1 Safari/605.1.15",
    APPLE + "Version/17.5 Mobile/15E148 Safari/604.1",
    APPLE + "Version/26.6.1 Mobile/15E148 Safari/604.1",
    APPLE + "CriOS/145.0.7632.55 Mobile/15E148 Safari/604.1",
    APPLE + "FxiOS/145.0 Mobile/15E148 Safari/605.1.15",
    APPLE + "EdgiOS/145.0.3800.58 Version/26.0 Mobile/15E148 Safari/604.1",
    APPLE + "GSA/400.0.849344999 Mobile/15E148 Safari/604.1",
    APPLE + "Mobile/15E148",
    APPLE + "Mobile/15E148 [FBAN/FBIOS;FBAV/530.0.0.35.77]",
    "Gecko/20100101 Firefox/145.0",
    "Gecko/145.0 Firefox/145.0",
    "Gecko/20100101 Firefox/145.0.1",
    "Presto/2.12.388 Version/12.18",
)


def generated_agents() -> list[str]:
    """Every system with every product: real browsers, and many that never were."""
    return [f"Mozilla/5.0 ({system}) {product}" for system, product in itertools.product(SYSTEMS, PRODUCTS)]


def damaged(agents: list[str]) -> list[str]:
    """Each agent cut, with a word doubled, and with another one at its end: near misses of the grammar."""
    near = []
    for number, agent in enumerate(agents):
        words = agent.split(" ")
        at = number % len(words)
        near.append(agent[: len(agent) - 1 - number % 40])
        near.append(" ".join([*words[:at], words[at], *words[at:]]))
        near.append(f"{agent} {('FooBot/1.0', 'Brave', 'GTmetrix', '(gzip)')[number % 4]}")
    return near
