"""Hits whose figures can be worked out by hand, sent as a customer's server would: three days of a small shop.

| day | visitors | of them with a second view | Google | Hacker News | direct |
|---|---|---|---|---|---|
| three days ago | 4 | 2 | 2 | 1 | 1 |
| two days ago | 6 | 3 | 2 | 2 | 2 |
| yesterday | 10 | 5 | 4 | 3 | 3 |

Visitor 1 of each day signs up, visitor 3 buys for 20 EUR. Even visitors come by Firefox from Germany, odd ones by
Chrome from the United States. Each load has its vitals and timings.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from server.snippet import LOCAL_KEY_NAME
from tests.services.footfall import FootfallServer

DOMAIN = "shop.example"
EMPTY = "empty.example"
"""Has no hits."""
LIVE = "live.example"
"""Has hits of this moment, which would change the shop's figures."""
VISITORS = {3: 4, 2: 6, 1: 10}
"""By how many days ago."""

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36"
)
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
REFERRERS = ("https://www.google.com/", "https://news.ycombinator.com/item?id=1", "")

VITALS = {"lcp": 2000, "inp": 120, "cls": 0.05, "fcp": 1200, "ttfb": 300}
TIMINGS = {
    "dns": 10,
    "connect": 20,
    "tls": 15,
    "ttfb": 300,
    "download": 40,
    "dom_interactive": 900,
    "dom_content_loaded": 1000,
    "load": 1800,
}


def days_ago(days: int) -> date:
    """A date of the site's calendar, which is UTC's."""
    return datetime.now(UTC).date() - timedelta(days=days)


def _event(visitor: int, at: datetime, name: str, path: str, **more: Any) -> dict[str, Any]:
    is_odd = visitor % 2 == 1
    return {
        "domain": DOMAIN,
        "name": name,
        "url": f"https://{DOMAIN}{path}",
        "timestamp": at.isoformat(),
        "ip": f"8.8.{at.day}.{visitor + 1}" if is_odd else f"91.0.{at.day}.{visitor + 1}",
        "user_agent": CHROME if is_odd else FIREFOX,
        "sw": 1920 if is_odd else 390,
        "lg": "en-US" if is_odd else "de-DE",
        **more,
    }


def _events() -> Iterator[dict[str, Any]]:
    for days, visitors in VISITORS.items():
        noon = datetime.combine(days_ago(days), datetime.min.time(), UTC) + timedelta(hours=12)
        for visitor in range(visitors):
            begin = noon + timedelta(minutes=visitor)
            load_id = f"{days:08x}{visitor:08x}"
            referrer = REFERRERS[visitor % 3]
            first: dict[str, Any] = {"referrer": referrer} if referrer else {}
            yield _event(visitor, begin, "pageview", "/", l=load_id, **first)
            soon = begin + timedelta(seconds=1)
            yield _event(visitor, soon, "vitals", "/", l=load_id, w=VITALS)
            yield _event(visitor, soon, "timings", "/", l=load_id, w=TIMINGS)
            later = begin + timedelta(seconds=30)
            if visitor % 2 == 1:
                yield _event(visitor, later, "pageview", "/pricing")
            if visitor == 1:
                yield _event(visitor, later, "Signup", "/pricing", props={"plan": "pro"})
            if visitor == 3:
                yield _event(visitor, later, "Purchase", "/pricing", revenue={"amount": "20", "currency": "EUR"})


def send_days(server: FootfallServer) -> None:
    """Send all of it, and wait until it is stored."""
    events = list(_events())
    _post(server, "/api/events", events, Authorization=f"Bearer {local_key(server)}")
    views = sum(event["name"] == "pageview" for event in events)
    wait_for(lambda: stored_views(server) >= views, "the hits are not stored")


def send_now(server: FootfallServer, path: str, address: str, user_agent: str = CHROME) -> None:
    """One view of `LIVE` at this moment, as a browser sends it."""
    body = {"n": "pageview", "u": f"https://{LIVE}{path}", "d": LIVE}
    _post(server, "/api/event", body, **{"User-Agent": user_agent, "X-Forwarded-For": address})


def stored_views(server: FootfallServer) -> int:
    """How many views of the shop are rows."""
    url = f"http://127.0.0.1:{server.port}/api/count?site={DOMAIN}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {local_key(server)}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(json.load(answer)["kinds"].get("pageview", 0))


def local_key(server: FootfallServer) -> str:
    """The API key that an installation makes for itself."""
    return (Path(server.data_dir) / LOCAL_KEY_NAME).read_text().strip()


def wait_for(look: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Look again until it holds."""
    deadline_s = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.1)


def _post(server: FootfallServer, path: str, body: Any, **headers: str) -> None:
    url = f"http://127.0.0.1:{server.port}{path}"
    sent = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, json.dumps(body).encode(), sent, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        report = answer.read()
        assert answer.status in (200, 202), report
