"""User agents with their shares of real traffic, and bots.

Both come from pinned registry packages at run time: browsers from npm `user-agents` (BSD-2-Clause), bots from PyPI
`crawler-user-agents` (MIT). A checkout without node_modules uses the short list below, which is our own and says so
in `browsers().source`.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import crawleruseragents

BROWSERS_FILE = Path(__file__).resolve().parents[2] / "node_modules" / "user-agents" / "dist" / "user-agents.json"


@dataclass(frozen=True)
class Agent:
    """A user agent and what goes with it in a browser: screen and language; `share` is its weight among its kind."""

    text: str
    share: float
    language: str = "en-US"
    screen_width_px: int = 1920
    screen_height_px: int = 1080
    is_bot: bool = False

    @property
    def sends_client_hints(self) -> bool:
        """Chromium-based browsers send low-entropy client hints with every request over TLS or on localhost."""
        return "Chrome/" in self.text and not self.is_bot


@dataclass(frozen=True)
class AgentList:
    """Agents with their cumulative weights ready for `random.choices`, and where they come from."""

    agents: tuple[Agent, ...]
    cumulative: tuple[float, ...]
    source: str


# Wanted without node_modules: one agent per common engine and platform, with round shares.
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1"
FALLBACK_BROWSERS = (
    Agent(f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36", 35),
    Agent(f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Mobile Safari/537.36", 25, "de-DE", 412, 915),
    Agent(
        f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) {WEBKIT} Mobile/15E148 Safari/604.1",
        22,
        "en-GB",
        393,
        852,
    ),
    Agent(f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Safari/605.1.15", 8, "en-US", 1728, 1117),
    Agent("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0", 6, "fr-FR"),
    Agent("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", 4, "de-DE", 2560, 1440),
)


@functools.cache
def browsers() -> AgentList:
    """Real browsers, most common first."""
    if not BROWSERS_FILE.exists():
        return weigh(list(FALLBACK_BROWSERS), "built-in list")
    entries = json.loads(BROWSERS_FILE.read_text())
    agents = [
        Agent(
            text=entry["userAgent"],
            share=entry["weight"],
            language=entry.get("language") or "en-US",
            screen_width_px=entry["screenWidth"],
            screen_height_px=entry["screenHeight"],
        )
        for entry in entries
    ]
    return weigh(agents, "npm user-agents")


@functools.cache
def bots() -> AgentList:
    """Every instance of every crawler, each crawler with the same share whatever the number of its instances."""
    agents = [
        Agent(text=instance, share=1 / len(entry["instances"]), language="", is_bot=True)
        for entry in crawleruseragents.CRAWLER_USER_AGENTS_DATA
        for instance in entry.get("instances", [])
        if instance.isascii() and instance.isprintable()
    ]
    return weigh(agents, "PyPI crawler-user-agents")


def weigh(agents: list[Agent], source: str) -> AgentList:
    """Sort by share (then text, for the same order on every machine) and add the shares up."""
    ordered = sorted(agents, key=lambda agent: (-agent.share, agent.text, agent.screen_width_px, agent.language))
    total = 0.0
    cumulative = []
    for agent in ordered:
        total += agent.share
        cumulative.append(total)
    return AgentList(tuple(ordered), tuple(cumulative), source)
