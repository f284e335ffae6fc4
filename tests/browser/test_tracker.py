"""The tracker on real pages in a real Chromium, against a real `footfall serve`: what is stored of each sort of visit.

The script and the endpoint have other names than usual, as against blockers. The pages are on localhost, so each says
that it is to be counted there (`data-local`) unless its test is about that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tests.browser.tracked_site import DOMAIN, EVENT_PATH, SCRIPT_PATH, Row, StoredRows, TrackedSite
from tests.browser.webdriver import BLANK, Tab

# Over http, where there is no TLS to time; TTFB comes with the vitals.
TIMINGS = ("dns", "connect", "download", "dom_interactive", "dom_content_loaded", "load")


def leave(tab: Tab) -> None:
    """End the visit, after a look at what went wrong on the page."""
    assert tab.run("return window.problems") == []
    tab.open(BLANK)


def has(**counts: int) -> Callable[[list[Row]], bool]:
    """Whether there are at least so many rows of each kind."""

    def is_whole(rows: list[Row]) -> bool:
        found = Counter(row.kind for row in rows)
        return all(found[kind] >= count for kind, count in counts.items())

    return is_whole


def of(rows: list[Row], *kinds: str) -> list[Row]:
    return [row for row in rows if row.kind in kinds]


def loaded(tab: Tab) -> None:
    """Wait until the part after `load` is there."""
    tab.wait("return !!window.footfall?.x?.v")


def test_pages_one_after_the_other(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    site.add("/multi/b")
    tab.open(site.add("/multi/a", '<a id="next" href="/multi/b">next</a>'))
    loaded(tab)
    tab.run("scrollTo(0, 400)")
    tab.wait("return performance.now() > 1200")
    tab.run("document.querySelector('#next').click()")
    tab.wait("return location.pathname == '/multi/b' && !!window.footfall?.x?.v")
    leave(tab)
    rows = stored.under("/multi", has(pageview=2, engagement=2, timings=2, vitals=2))
    first, second = of(rows, "pageview")
    assert (first.path, second.path) == ("/multi/a", "/multi/b")
    assert first.load_id != second.load_id != 0
    for view in (first, second):
        same_load = [row for row in rows if row.load_id == view.load_id]
        assert {row.kind: row.path for row in same_load} == dict.fromkeys(
            ("pageview", "engagement", "timings", "vitals"), view.path
        )
    engaged, barely = of(rows, "engagement")
    assert 1_000 <= engaged.engaged_ms <= 60_000
    # A window of less than 800 px, then 400 px more, of 2,400 px.
    assert 20 <= barely.scroll_depth_percent <= 33
    assert 16 <= engaged.scroll_depth_percent - barely.scroll_depth_percent <= 17
    timings = of(rows, "timings")[0].metrics
    assert timings.keys() == {"transfer_bytes", *(f"{name}_ms" for name in TIMINGS)}
    assert 0 < timings["dom_interactive_ms"] <= timings["dom_content_loaded_ms"] <= timings["load_ms"] < 60_000
    assert timings["transfer_bytes"] > 300
    assert {row.sequence for row in of(rows, "timings")} == {1}
    assert {row.sequence for row in of(rows, "vitals")} == {2}


def test_a_single_page_application(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    tab.open(site.add("/spa/home"))
    loaded(tab)
    tab.run("history.pushState({}, '', '/spa/list')")
    tab.run("history.pushState({}, '', '/spa/list?page=2')")
    tab.run("history.replaceState({}, '', '/spa/item')")
    tab.run("location.hash = 'part'")
    tab.run("footfall('Bought')")
    tab.run("history.go(-3)")
    tab.wait("return location.pathname == '/spa/home'")
    leave(tab)
    rows = stored.under("/spa", has(pageview=4, custom=1, engagement=4, vitals=1, timings=1))
    assert [row.path for row in of(rows, "pageview")] == ["/spa/home", "/spa/list", "/spa/item", "/spa/home"]
    assert [row.path for row in of(rows, "custom")] == ["/spa/item"]
    assert Counter(row.path for row in of(rows, "engagement")) == {"/spa/home": 2, "/spa/list": 1, "/spa/item": 1}
    # One document: its speed belongs to the page it was loaded as.
    assert len({row.load_id for row in rows}) == 1
    assert {row.path for row in of(rows, "vitals", "timings")} == {"/spa/home"}


def test_fragments_as_pages(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    tab.open(site.add("/hash", attributes="data-hash") + "#/one")
    tab.run("location.hash = '/two'")
    tab.wait("return location.hash == '#/two'")
    leave(tab)
    rows = stored.under("/hash", has(pageview=2, engagement=2))
    assert [row.path for row in of(rows, "pageview")] == ["/hash#/one", "/hash#/two"]


def test_a_page_that_sends_its_views_itself(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    tab.open(site.add("/manual/1234", attributes="data-manual"))
    loaded(tab)
    tab.run("history.pushState({}, '', '/manual/5678')")
    tab.run("footfall('pageview', {url: location.origin + '/manual/:id', props: {plan: 'pro'}})")
    leave(tab)
    rows = stored.under("/manual", has(pageview=1, engagement=1, vitals=1))
    assert [(row.path, row.props) for row in of(rows, "pageview")] == [("/manual/:id", {"plan": "pro"})]
    assert {row.path for row in of(rows, "engagement")} == {"/manual/:id"}


def test_a_page_that_comes_back_from_the_cache(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    site.add("/back/other")
    tab.open(site.add("/back/first"))
    loaded(tab)
    tab.run("window.mark = 1; location.href = '/back/other'")
    tab.wait("return location.pathname == '/back/other' && !!window.footfall?.x?.v")
    tab.run("history.back()")
    assert tab.wait("return location.pathname == '/back/first' && window.persisted") is True
    assert tab.run("return window.mark") == 1
    # Two frames, after which web-vitals takes the time of the first paint.
    tab.wait("return new Promise((done) => setTimeout(() => done(1), 200))")
    leave(tab)
    rows = stored.under("/back", has(pageview=3, engagement=2, vitals=3, timings=2))
    assert [row.path for row in of(rows, "pageview")] == ["/back/first", "/back/other", "/back/first"]
    before, between, after = (row.load_id for row in of(rows, "pageview"))
    assert len({before, between, after}) == 3
    again = [row for row in of(rows, "vitals") if row.load_id == after]
    assert len(again) == 1
    # It was there at once.
    assert again[0].metrics["ttfb_ms"] == 0
    assert {"fcp_ms", "lcp_ms", "cls"} <= again[0].metrics.keys()
    # The network was not used again.
    assert after not in {row.load_id for row in of(rows, "timings")}


def test_a_prerendered_page_counts_when_it_is_shown(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    seen = """<script>
      window.wasPrerendered = document.prerendering;
      window.footfall = function () { (footfall.q = footfall.q || []).push(arguments); };
      footfall("Early");
      addEventListener("load", () => footfall("Loaded"));
    </script>"""
    site.add("/prerender/shown", head=seen)
    site.add("/prerender/never", head=seen)
    rules = '{"prerender": [{"urls": ["/prerender/shown", "/prerender/never"], "eagerness": "immediate"}]}'
    tab.open(site.add("/prerender/start", f'<script type="speculationrules">{rules}</script>'))
    loaded(tab)
    tab.wait("return performance.now() > 1500")
    assert [row.path for row in stored.under("/prerender", has(pageview=1, timings=1))] == ["/prerender/start"] * 2
    tab.run("location.href = '/prerender/shown'")
    tab.wait("return location.pathname == '/prerender/shown' && !!window.footfall?.x?.v")
    assert tab.run("return window.wasPrerendered") is True
    assert tab.run("return performance.getEntriesByType('navigation')[0].activationStart") > 0
    leave(tab)
    rows = stored.under("/prerender/shown", has(pageview=1, custom=2, engagement=1, vitals=1, timings=1))
    assert len(of(rows, "pageview")) == 1
    assert {row.event_name for row in of(rows, "custom")} == {"Early", "Loaded"}
    # Counted from the moment at which it was shown.
    assert of(rows, "vitals")[0].metrics["ttfb_ms"] == 0
    assert stored.none_under("/prerender/never")


def test_a_hidden_page_counts_when_it_is_first_seen(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    url = site.add("/hidden/page")
    with tab.minimized():
        tab.open(url)
        loaded(tab)
        assert tab.run("return document.visibilityState") == "hidden"
        tab.run("footfall('Background')")
        assert of(stored.under("/hidden", has(custom=1, timings=1)), "pageview") == []
    tab.wait("return document.visibilityState == 'visible'")
    tab.wait("return new Promise((done) => setTimeout(() => done(1), 1100))")
    with tab.in_the_background():
        rows = stored.under("/hidden", has(pageview=1, engagement=1, vitals=1))
        first = of(rows, "engagement")[0].engaged_ms
    tab.wait("return new Promise((done) => setTimeout(() => done(1), 1100))")
    leave(tab)
    rows = stored.under("/hidden", has(pageview=1, engagement=2))
    # Seeing it again is no other view, and the time in the background is nobody's.
    assert len(of(rows, "pageview")) == 1
    assert 1_000 <= first <= 60_000
    assert 1_000 <= of(rows, "engagement")[1].engaged_ms <= 60_000
    # A page that was loaded unseen says nothing about how fast it was seen.
    assert not {"fcp_ms", "lcp_ms"} & {name for row in of(rows, "vitals") for name in row.metrics}


def test_events_of_the_pages_own(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    early = """<script>
      window.footfall = window.footfall || function () { (footfall.q = footfall.q || []).push(arguments); };
      footfall("Early", {props: {order: 1}});
    </script>"""
    tab.open(site.add("/own/page", head=early))
    tab.run(f"""
      footfall("Purchase", {{
        props: {{plan: "pro", seats: 3, trial: false}},
        revenue: {{amount: "12.50", currency: "EUR"}},
        callback: (outcome) => {{ window.outcome = outcome; }},
      }});
      footfall("Seen", {{interactive: false, url: "{site.origin}/own/elsewhere?token=secret"}});
    """)
    assert tab.wait("return window.outcome") == {"status": 202, "dropped": None}
    tab.run("""
      Object.defineProperty(navigator, "webdriver", {get: () => true, configurable: true});
      footfall("Automated", {callback: (outcome) => { window.dropped = outcome; }});
      delete navigator.webdriver;
    """)
    assert tab.wait("return window.dropped") == {"status": 202, "dropped": "bot"}
    leave(tab)
    # Sent at once over several connections, so they may come in another order.
    by_name = {row.event_name: row for row in of(stored.under("/own", has(custom=3, engagement=1)), "custom")}
    assert by_name.keys() == {"Early", "Purchase", "Seen"}
    purchase, seen = by_name["Purchase"], by_name["Seen"]
    assert by_name["Early"].props == {"order": "1"}
    assert purchase.path == "/own/page"
    assert purchase.props == {"plan": "pro", "seats": "3", "trial": "false"}
    assert (purchase.revenue_micros, purchase.revenue_currency) == (12_500_000, "EUR")
    assert (seen.path, seen.interactive) == ("/own/elsewhere", 0)


def test_tagged_elements_and_forms(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    body = """
      <script>addEventListener("submit", (event) => event.preventDefault());
              addEventListener("click", (event) => event.target.closest("a") && event.preventDefault());</script>
      <button id="plain">Plain</button>
      <button id="classes" class="wide plausible-event-name=Sign+Up plausible-event-plan=pro+plus
        plausible-revenue-amount=9.90 plausible-revenue-currency=USD">Classes</button>
      <div class="plausible-event-name--Card"><p><b id="inner">Inner</b></p></div>
      <a id="link" class="plausible-event-name=Docs" href="/docs?id=7">Docs</a>
      <button id="umami" data-umami-event="Play" data-umami-event-title="A+B" data-umami-event-name="x">Umami</button>
      <form class="plausible-event-name=Newsletter"><input id="field"><button id="send">Send</button></form>
      <form><button id="post">Post</button></form>"""
    tab.open(site.add("/tags", body))
    loaded(tab)
    for selector in ("#plain", "#classes", "#inner", "#link", "#umami", "#field", "#send", "#post"):
        tab.click(selector)
    leave(tab)
    rows = of(stored.under("/tags", has(custom=6, engagement=1)), "custom")
    assert [(row.event_name, row.props) for row in rows] == [
        ("Sign Up", {"plan": "pro plus"}),
        ("Card", {}),
        ("Docs", {"url": f"{site.origin}/docs"}),
        ("Play", {"title": "A+B", "name": "x"}),
        ("Newsletter", {"path": "/tags"}),
        ("Form: Submission", {"path": "/tags"}),
    ]
    assert (rows[0].revenue_micros, rows[0].revenue_currency) == (9_900_000, "USD")


def test_outbound_links_and_downloads(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    body = """
      <script>
        for (const type of ["click", "auxclick"]) addEventListener(type, (event) => event.preventDefault());
      </script>
      <a id="out" href="https://other.example/page?session=1#top"><span id="label">Out</span></a>
      <a id="file" href="files/Report.PDF?v=2">File</a>
      <a id="far" href="https://other.example/archive.zip">Far file</a>
      <a id="inside" href="/inside">Inside</a>
      <a id="mail" href="mailto:someone@example.com">Mail</a>"""
    tab.open(site.add("/links/page", body))
    loaded(tab)
    for selector in ("#label", "#file", "#far", "#inside", "#mail"):
        tab.click(selector)
    tab.click_with("#out", 1)
    tab.click_with("#out", 2)
    leave(tab)
    rows = of(stored.under("/links", has(custom=4, engagement=1)), "custom")
    assert [(row.event_name, row.props) for row in rows] == [
        ("Outbound Link: Click", {"url": "https://other.example/page"}),
        ("File Download", {"url": f"{site.origin}/links/files/Report.PDF"}),
        ("File Download", {"url": "https://other.example/archive.zip"}),
        ("Outbound Link: Click", {"url": "https://other.example/page"}),
    ]


def test_pages_that_are_not_there(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    tab.open(site.add("/missing/by-status", status=404))
    loaded(tab)
    tab.open(site.add("/missing/by-attribute", attributes="data-404"))
    loaded(tab)
    tab.open(site.add("/missing/not"))
    loaded(tab)
    leave(tab)
    rows = of(stored.under("/missing", has(pageview=3, custom=2, timings=3)), "custom")
    assert [(row.event_name, row.props, row.interactive) for row in rows] == [
        ("404", {"path": "/missing/by-status"}, 0),
        ("404", {"path": "/missing/by-attribute"}, 0),
    ]


def test_who_is_not_counted(tab: Tab, tracked_base: str, site: TrackedSite, stored: StoredRows) -> None:
    bare = f'<script defer data-domain="{DOMAIN}" data-api="{EVENT_PATH}" src="{tracked_base}{SCRIPT_PATH}"></script>'
    gpc = "<script>Object.defineProperty(navigator, 'globalPrivacyControl', {value: true});</script>"
    asked = "footfall('Asked', {callback: (outcome) => { window.outcome = outcome; }})"
    tab.open(site.add("/out/localhost", tag=bare))
    tab.run(asked)
    assert tab.wait("return JSON.stringify(window.outcome)") == "{}"
    tab.open(site.add("/out/gpc", attributes="data-gpc", head=gpc))
    tab.run(asked)
    assert tab.wait("return JSON.stringify(window.outcome)") == "{}"
    for flag in ("footfall_ignore", "plausible_ignore"):
        tab.run(f"localStorage.{flag} = 'true'")
        tab.open(site.add(f"/out/{flag}"))
        tab.run(asked)
        assert tab.wait("return JSON.stringify(window.outcome)") == "{}"
        assert tab.run("return document.querySelectorAll('script[src]').length") == 1
        tab.run("localStorage.clear()")
    # The site has to choose to respect the signal.
    tab.open(site.add("/in/gpc", head=gpc))
    loaded(tab)
    leave(tab)
    stored.under("/in", has(pageview=1, engagement=1, vitals=1))
    assert stored.none_under("/out")


def test_nothing_is_kept_in_the_browser(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    tab.open(site.add("/kept"))
    loaded(tab)
    tab.run("footfall('Something')")
    with tab.in_the_background():
        stored.under("/kept", has(pageview=1, custom=1, engagement=1, vitals=1))
    kept = tab.run(
        "return Promise.all([document.cookie, localStorage.length, sessionStorage.length, indexedDB.databases(),"
        " caches.keys()])"
    )
    assert kept == ["", 0, 0, [], []]


def test_the_module(tab: Tab, tracked_base: str, site: TrackedSite, stored: StoredRows) -> None:
    module = f"""<script type="module">
      import {{ init, track }} from "{tracked_base}{SCRIPT_PATH.replace(".js", ".mjs")}";
      try {{ track("Too early"); }} catch (error) {{ window.refused = error.message; }}
      init({{ domain: "{DOMAIN}", endpoint: "{tracked_base}{EVENT_PATH}", local: true }});
      init({{ domain: "other.example" }});
      track("Module", {{ props: {{ plan: "pro" }} }});
      window.ready = true;
    </script>"""
    tab.open(site.add("/module", tag=module))
    tab.wait("return window.ready")
    assert "init()" in tab.run("return window.refused")
    tab.wait(
        "return performance.getEntriesByType('resource').filter((entry) => entry.name.endsWith('/px/e')).length > 2"
    )
    leave(tab)
    rows = stored.under("/module", has(pageview=1, custom=1, engagement=1, vitals=1, timings=1))
    assert [(row.event_name, row.props) for row in of(rows, "custom")] == [("Module", {"plan": "pro"})]
    assert len(of(rows, "pageview")) == 1


def test_plausibles_names(tab: Tab, tracked_base: str, site: TrackedSite, stored: StoredRows) -> None:
    tag = f"""<script defer data-domain="{DOMAIN}" src="{tracked_base}/js/script.hash.local.js"></script>
      <script>
        window.plausible = window.plausible || function () {{ (plausible.q = plausible.q || []).push(arguments); }};
        plausible("Early", {{props: {{plan: "pro"}}}});
      </script>"""
    tab.open(site.add("/plausible", tag=tag) + "#/part")
    loaded(tab)
    tab.run("plausible('Later')")
    leave(tab)
    rows = stored.under("/plausible", has(pageview=1, custom=2, engagement=1, vitals=1))
    assert [row.path for row in of(rows, "pageview")] == ["/plausible#/part"]
    assert {row.event_name: row.props for row in of(rows, "custom")} == {"Early": {"plan": "pro"}, "Later": {}}


def test_a_browser_without_keepalive_sends_beacons(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    old = "<script>delete Request.prototype.keepalive; window.fetch = null;</script>"
    tab.open(site.add("/beacon", head=old))
    loaded(tab)
    tab.run("footfall('Sent', {callback: (outcome) => { window.outcome = outcome; }})")
    assert tab.wait("return window.outcome") == {"error": False}
    leave(tab)
    stored.under("/beacon", has(pageview=1, custom=1, engagement=1, vitals=1, timings=1))


def test_a_script_that_is_named_twice_counts_once(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    again = f'<script defer data-domain="{DOMAIN}" {site.attributes} src="{site.script}"></script>'
    tab.open(site.add("/twice", head=again))
    loaded(tab)
    leave(tab)
    rows = stored.under("/twice", has(pageview=1, engagement=1, vitals=1, timings=1))
    assert len(of(rows, "pageview")) == len(of(rows, "timings")) == 1


def test_the_demo_page_of_an_installation(tab: Tab, tracked_base: str, stored: StoredRows) -> None:
    tab.open(tracked_base + "/demo")
    loaded(tab)
    tab.click("#custom")
    tab.wait("return document.querySelector('#status').textContent.includes('The event was taken (202)')")
    tab.click("#navigate")
    tab.open(BLANK)
    rows = stored.under("/demo", has(pageview=2, custom=1, engagement=2, vitals=1, timings=1))
    assert [row.path for row in of(rows, "pageview")] == ["/demo", "/demo/page-1"]
