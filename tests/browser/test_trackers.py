"""Trackers that people already have, unchanged, in a real browser against a real `footfall serve`.

Plausible's come from npm, Umami's from the package that `tests.services.umami` pins. The pages are served from another
port than Footfall, so each hit is cross-origin: what a preflight asks is asked for real.
"""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from server.clickhouse_url import ClickHouseAddress
from tests.services import program
from tests.services.footfall import CHECKOUT, FootfallServer, running_footfall
from tests.services.umami import umami_tracker

DRIVER = Path(__file__).parent / "drive.mjs"
PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36"
DOMAIN = "shop.example"

PLAUSIBLE_PAGE = """<!doctype html><link rel="icon" href="data:,">
<title>Plausible</title><h1>A page</h1>
<button id="buy">Buy</button><div style="height:3000px"></div>
<script type="module">
  import {{ init, track }} from "/plausible.js";
  init({{ domain: "{domain}", endpoint: "{base}/api/event", captureOnLocalhost: true }});
  document.getElementById("buy").onclick = () =>
    track("Purchase", {{ props: {{ plan: "pro" }}, revenue: {{ amount: 12.5, currency: "EUR" }} }});
</script>"""

OLD_PLAUSIBLE_PAGE = """<!doctype html><link rel="icon" href="data:,">
<title>plausible-tracker</title><button id="sign">Sign up</button>
<script type="module">
  import Plausible from "/plausible-tracker/index.js";
  const plausible = Plausible({{ domain: "{domain}", apiHost: "{base}", trackLocalhost: true }});
  plausible.trackPageview();
  document.getElementById("sign").onclick = () => plausible.trackEvent("Signup", {{ props: {{ tier: "team" }} }});
</script>"""

UMAMI_PAGE = """<!doctype html><link rel="icon" href="data:,">
<title>Umami</title>
<button id="go" data-umami-event="Go" data-umami-event-where="top">Go</button>
<script defer src="/umami.js" data-host-url="{base}" data-website-id="{public_id}"></script>"""

OWN_PAGE = """<!doctype html><link rel="icon" href="data:,">
<title>Footfall</title><button id="go">Go</button>
<script defer src="{base}/js/footfall.js" data-domain="{domain}" data-local></script>"""


@pytest.fixture(scope="module")
def footfall(tmp_path_factory: pytest.TempPathFactory, store: ClickHouseAddress) -> Iterator[FootfallServer]:
    """A server with the site of these tests."""
    with running_footfall(
        tmp_path_factory.mktemp("footfall") / "data",
        clickhouse_url=str(store),
        batch_max_age_ms="100",
        first_site_domain=DOMAIN,
    ) as server:
        yield server


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address that serves it, on an origin of its own."""
    handler = partial(_QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield tmp_path, f"http://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: test output stays readable."""


def drive(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """One visit; its answers and errors."""
    job = {"executable": str(program("chromium")), "userAgent": PERSON, "steps": steps}
    node = shutil.which("node")
    assert node, "node is needed to drive the browser"
    done = subprocess.run(
        [node, str(DRIVER), json.dumps(job)], cwd=CHECKOUT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert not result["errors"], result
    return result


def rows(store: ClickHouseAddress, path: str, wanted: int) -> list[tuple[Any, ...]]:
    """The rows of a page, once there are so many."""
    from clickhouse_driver import Client

    host, port = store.hosts[0]
    client = Client(host, port=port, database=store.database)
    query = """SELECT kind, event_name, hostname, props, revenue_micros, revenue_currency, screen_width_px, browser
               FROM events WHERE path = %(path)s ORDER BY time, kind"""
    try:
        deadline_s = time.monotonic() + 60
        found: list[tuple[Any, ...]] = []
        while len(found) < wanted and time.monotonic() < deadline_s:
            found = client.execute(query, {"path": path})
            time.sleep(0.1)
        return found
    finally:
        client.disconnect()


def test_plausibles_npm_tracker(footfall: FootfallServer, store: ClickHouseAddress, pages: tuple[Path, str]) -> None:
    folder, origin = pages
    shutil.copy(CHECKOUT / "node_modules/@plausible-analytics/tracker/plausible.js", folder)
    base = f"http://localhost:{footfall.port}"
    (folder / "new.html").write_text(PLAUSIBLE_PAGE.format(base=base, domain=DOMAIN))
    result = drive(
        [
            {"goto": f"{origin}/new.html"},
            {"wait_requests": 1},
            {"click": "#buy"},
            {"wait_requests": 2},
            {"evaluate": "window.scrollTo(0, 2000)"},
            {"wait_ms": 3500},  # engagement is sent from three seconds on
            {"evaluate": "window.dispatchEvent(new Event('blur'))"},
            {"goto": f"{origin}/new.html#left"},
            {"hide": True},
            {"wait_ms": 500},
        ]
    )
    assert [answer["status"] for answer in result["answers"][:2]] == [202, 202]
    found = rows(store, "/new.html", 2)
    assert [(row[0], row[1]) for row in found[:2]] == [("pageview", ""), ("custom", "Purchase")]
    assert found[1][3:6] == ({"plan": "pro"}, 12_500_000, "EUR")
    assert found[0][7] == "Chrome"


def test_the_older_plausible_tracker(
    footfall: FootfallServer, store: ClickHouseAddress, pages: tuple[Path, str]
) -> None:
    folder, origin = pages
    build = CHECKOUT / "node_modules/plausible-tracker/build/module"
    shutil.copytree(build, folder / "plausible-tracker")
    # Its modules name each other without `.js`, as bundlers allow; a browser needs the ending.
    for module in (folder / "plausible-tracker").rglob("*.js"):
        text = module.read_text()
        for other in (folder / "plausible-tracker").rglob("*.js"):
            text = text.replace(f"'./lib/{other.stem}'", f"'./lib/{other.stem}.js'")
            text = text.replace(f"'./{other.stem}'", f"'./{other.stem}.js'")
        module.write_text(text)
    base = f"http://localhost:{footfall.port}"
    (folder / "old.html").write_text(OLD_PLAUSIBLE_PAGE.format(base=base, domain=DOMAIN))
    result = drive([{"goto": f"{origin}/old.html"}, {"wait_requests": 1}, {"click": "#sign"}, {"wait_requests": 2}])
    assert [answer["status"] for answer in result["answers"]] == [202, 202]
    found = rows(store, "/old.html", 2)
    assert [(row[0], row[1], row[3]) for row in found] == [
        ("pageview", "", {}),
        ("custom", "Signup", {"tier": "team"}),
    ]


def test_umamis_tracker(footfall: FootfallServer, store: ClickHouseAddress, pages: tuple[Path, str]) -> None:
    folder, origin = pages
    (folder / "umami.js").write_text(umami_tracker())
    listed = footfall.command("sites", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    (public_id,) = [site["public_id"] for site in json.loads(listed.stdout) if site["domain"] == DOMAIN]
    base = f"http://localhost:{footfall.port}"
    (folder / "umami.html").write_text(UMAMI_PAGE.format(base=base, public_id=public_id))
    result = drive(
        [
            {"goto": f"{origin}/umami.html"},
            {"wait_requests": 1},
            {"click": "#go"},
            {"wait_requests": 2},
            {"evaluate": "history.pushState({}, '', '/umami-next')"},
            {"wait_requests": 3},
        ]
    )
    assert [answer["status"] for answer in result["answers"]] == [200, 200, 200]
    for answer in result["answers"]:
        assert set(json.loads(answer["body"])) == {"cache", "sessionId", "visitId"}
    found = rows(store, "/umami.html", 2)
    assert [(row[0], row[1], row[3]) for row in found] == [("pageview", "", {}), ("custom", "Go", {"where": "top"})]
    assert found[0][6] > 0
    assert [row[0] for row in rows(store, "/umami-next", 1)] == ["pageview"]


def test_our_own_script(footfall: FootfallServer, store: ClickHouseAddress, pages: tuple[Path, str]) -> None:
    folder, origin = pages
    base = f"http://localhost:{footfall.port}"
    (folder / "own.html").write_text(OWN_PAGE.format(base=base, domain=DOMAIN))
    drive(
        [
            {"goto": f"{origin}/own.html"},
            {"wait_requests": 1},
            {"evaluate": "history.pushState({}, '', '/own-next')"},
            {"wait_requests": 2},
        ]
    )
    assert [row[0] for row in rows(store, "/own.html", 1)][:1] == ["pageview"]
    assert [row[0] for row in rows(store, "/own-next", 1)][:1] == ["pageview"]
