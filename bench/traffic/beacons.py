"""A hit as the bytes a browser sends: JSON body, headers, HTTP request.

Bodies: `event_body` is our tracker's (Plausible's keys, short form, plus our own), `umami_body` is Umami's. Header
order and set follow what Chromium, Firefox and Safari send for a cross-origin `fetch` with keepalive and a text/plain
body.
"""

from __future__ import annotations

import re

import orjson

from bench.traffic.hits import Hit, HitKind

# Our tracker's names of the kinds, beside the site's own event names.
EVENT_NAMES = {
    HitKind.PAGEVIEW: "pageview",
    HitKind.ENGAGEMENT: "engagement",
    HitKind.VITALS: "vitals",
    HitKind.TIMINGS: "timings",
}

CHROME_MAJOR = re.compile(r"Chrome/(\d+)")

# The header that carries the visitor's address when the sender is a trusted proxy, which a load generator is.
FORWARDED_HEADER = "X-Forwarded-For"


def event_body(hit: Hit) -> bytes:
    """The body our tracker posts to /api/event."""
    body: dict[str, object] = {
        "n": hit.event_name if hit.kind is HitKind.CUSTOM else EVENT_NAMES[hit.kind],
        "u": hit.url,
        "d": hit.site,
        "r": hit.referrer or None,
        "v": 1,
        "l": f"{hit.load_id:x}",
        "q": hit.sequence,
    }
    if hit.kind is HitKind.PAGEVIEW:
        body |= {"sw": hit.agent.screen_width_px, "sh": hit.agent.screen_height_px, "tz": hit.time_zone}
        body["lg"] = hit.agent.language
    if hit.props:
        body["p"] = hit.props
    if hit.kind is HitKind.ENGAGEMENT:
        body |= {"sd": hit.scroll_depth_percent, "e": hit.engaged_ms}
    if hit.metrics:
        body["w"] = hit.metrics
    return orjson.dumps(body)


def umami_body(hit: Hit, website_id: str) -> bytes:
    """The body Umami's tracker posts to /api/send for a page view, custom event or performance report."""
    host, _, rest = hit.url.removeprefix("https://").partition("/")
    payload: dict[str, object] = {
        "website": website_id,
        "hostname": host,
        "screen": f"{hit.agent.screen_width_px}x{hit.agent.screen_height_px}",
        "language": hit.agent.language,
        "title": "A page",
        "url": f"/{rest}",
        "referrer": hit.referrer,
    }
    if hit.kind is HitKind.CUSTOM:
        payload |= {"name": hit.event_name, "data": hit.props}
    if hit.kind is HitKind.VITALS:
        payload |= hit.metrics
    kind = "performance" if hit.kind is HitKind.VITALS else "event"
    return orjson.dumps({"type": kind, "payload": payload})


def headers(
    hit: Hit, *, host: str, content_length_bytes: int, content_type: str = "text/plain"
) -> list[tuple[str, str]]:
    """The request headers, in the browser's order."""
    origin = f"https://{hit.site}"
    fields = [("Host", host), ("Connection", "keep-alive"), ("Content-Length", str(content_length_bytes))]
    hints = client_hints(hit)
    fields += hints[:1]
    fields.append(("User-Agent", hit.agent.text))
    fields += hints[1:2]
    fields.append(("Content-Type", content_type))
    fields += hints[2:]
    fields += [
        ("Accept", "*/*"),
        ("Origin", origin),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "cors"),
        ("Sec-Fetch-Dest", "empty"),
        ("Referer", f"{origin}/"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ]
    if hit.agent.language:
        fields.append(("Accept-Language", f"{hit.agent.language},{hit.agent.language[:2]};q=0.9"))
    fields.append((FORWARDED_HEADER, hit.address))
    return fields


def client_hints(hit: Hit) -> list[tuple[str, str]]:
    """The three low-entropy hints of a Chromium-based browser, none of others."""
    if not hit.agent.sends_client_hints:
        return []
    text = hit.agent.text
    found = CHROME_MAJOR.search(text)
    major = found[1] if found else "142"
    mobile = "Mobile" in text
    named = (("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "macOS"), ("CrOS", "Chrome OS"))
    platform = next((name for mark, name in named if mark in text), "Linux")
    return [
        ("sec-ch-ua-platform", f'"{platform}"'),
        ("sec-ch-ua", f'"Chromium";v="{major}", "Google Chrome";v="{major}", "Not_A Brand";v="99"'),
        ("sec-ch-ua-mobile", "?1" if mobile else "?0"),
    ]


def http_request(hit: Hit, *, host: str, path: str = "/api/event", body: bytes | None = None) -> bytes:
    """The whole HTTP/1.1 request. `body` defaults to our tracker's."""
    body = event_body(hit) if body is None else body
    lines = [f"POST {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers(hit, host=host, content_length_bytes=len(body))]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
