"""Web vitals as they are stored, against what the browser's own PerformanceObserver entries say on the same page,
computed here from their definitions (https://web.dev/articles/vitals) and without the library that the tracker uses.
"""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.browser.dashboard_hits import local_key
from tests.browser.tracked_site import DOMAIN, StoredRows, TrackedSite
from tests.browser.webdriver import BLANK, Tab
from tests.services.footfall import FootfallServer

# Keeps each entry as plain numbers; a page is asked for them before it is hidden.
RAW = """<script>
  window.raw = {lcp: [], shifts: [], interactions: {}, paints: {}};
  const watch = (type, take, more) =>
    new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({type, buffered: true, ...more});
  watch("largest-contentful-paint", (entry) => raw.lcp.push(entry.startTime));
  watch("paint", (entry) => { raw.paints[entry.name] = entry.startTime; });
  watch("layout-shift", (entry) => entry.hadRecentInput || raw.shifts.push([entry.startTime, entry.value]));
  watch("event", (entry) => {
    if (entry.interactionId)
      raw.interactions[entry.interactionId] = Math.max(raw.interactions[entry.interactionId] || 0, entry.duration);
  }, {durationThreshold: 16});
</script>"""

# A headline, then larger ones (the last is the largest contentful paint), which push what is below; each comes once the
# browser told of the one before, however slow it is. A button that takes as long as it is told to.
BODY = """
  <button id="slow" style="position: absolute; left: 600px; top: 20px">Slow</button>
  <p id="first">Small</p><p>What is below is pushed down, and that is a layout shift.</p>
  <div id="block" style="height: 300px; background: silver"></div>
  <script>
    window.busy_ms = 0;
    document.querySelector("#slow").addEventListener("click", (event) => {
      const until = performance.now() + busy_ms;
      while (performance.now() < until);
      event.target.textContent += ".";
    });
    window.grow = (words, size_px) => {
      const more = document.createElement("p");
      more.textContent = words;
      more.style.fontSize = size_px + "px";
      document.querySelector("#first").after(more);
    };
    window.push = () => {
      const style = document.querySelector("#block").style;
      style.marginTop = style.marginTop ? "" : "250px";
    };
    const larger = [["A larger headline", 40], ["The largest headline of this page by far", 70]];
    const growing = setInterval(() => {
      if (Math.min(raw.lcp.length, raw.shifts.length + 1) + larger.length > 2) grow(...larger.shift());
      if (!larger.length) clearInterval(growing);
    }, 50);
  </script>"""

# A shift within this time after an input does not count.
AFTER_INPUT_S = 0.6


def largest_window(shifts: list[tuple[float, float]]) -> float:
    """CLS: the largest sum of shifts less than 1 s apart in a window of less than 5 s."""
    largest = total = began_ms = last_ms = 0.0
    for at_ms, value in shifts:
        if not total or at_ms - last_ms >= 1_000 or at_ms - began_ms >= 5_000:
            total, began_ms = 0.0, at_ms
        total, last_ms = total + value, at_ms
        largest = max(largest, total)
    return largest


def vitals_of(raw: dict[str, Any], ttfb_ms: float) -> dict[str, float]:
    """What the entries of a page say. With fewer than 50 interactions the slowest one counts."""
    found = {"ttfb_ms": ttfb_ms, "fcp_ms": raw["paints"]["first-contentful-paint"], "lcp_ms": raw["lcp"][-1]}
    found["cls"] = largest_window([tuple(shift) for shift in raw["shifts"]])
    if raw["interactions"]:
        found["inp_ms"] = max(raw["interactions"].values())
    return found


def interact(tab: Tab, busy_ms: int) -> None:
    """Click the button, which is slow, and wait until the browser says how slow."""
    before = tab.run("return Object.keys(raw.interactions).length")
    tab.run(f"window.busy_ms = {busy_ms}")
    tab.click("#slow")
    tab.wait(f"return Object.keys(raw.interactions).length > {before}")


def pause(tab: Tab, seconds: float) -> None:
    tab.wait(f"return new Promise((done) => setTimeout(() => done(1), {seconds * 1000}))")


def test_what_is_stored_is_what_the_browser_measured(tab: Tab, site: TrackedSite, stored: StoredRows) -> None:
    tab.open(site.add("/vitals/once", BODY, head=RAW))
    tab.wait("return raw.lcp.length > 2 && raw.shifts.length > 1 && !!footfall.x?.v")
    interact(tab, 120)
    interact(tab, 60)
    pause(tab, 0.2)
    ttfb_ms = tab.run("return performance.getEntriesByType('navigation')[0].responseStart")
    expected = vitals_of(tab.run("return raw"), ttfb_ms)
    tab.open(BLANK)
    (row,) = [row for row in stored.under("/vitals/once", lambda rows: any(row.kind == "vitals" for row in rows))
              if row.kind == "vitals"]  # fmt: skip
    assert row.metrics == pytest.approx(expected, rel=1e-6)
    assert row.metrics["inp_ms"] >= 120
    assert 0 < row.metrics["ttfb_ms"] < row.metrics["fcp_ms"] < row.metrics["lcp_ms"]
    assert row.metrics["cls"] > 0.01


def told_vitals(server: FootfallServer, path: str) -> dict[str, float]:
    """What the stats API says of a page's vitals: the median of each, and of how many loads."""
    today = datetime.now(UTC).date()
    metrics = [f"{what}_{name}" for name in ("lcp", "inp", "cls", "fcp", "ttfb") for what in ("p50", "samples")]
    question = {
        "site_id": DOMAIN,
        "metrics": metrics,
        "date_range": [str(today - timedelta(days=1)), str(today)],
        "filters": [["is", "event:page", [path]]],
    }
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {local_key(server)}"}
    url = f"http://127.0.0.1:{server.port}/api/v2/query"
    request = urllib.request.Request(url, json.dumps(question).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        (row,) = json.load(answer)["results"]
    return dict(zip(metrics, row["metrics"], strict=True))


def test_a_metric_that_changes_is_read_with_its_last_value(
    tab: Tab, site: TrackedSite, stored: StoredRows, tracked_server: FootfallServer
) -> None:
    tab.open(site.add("/vitals/thrice", BODY, head=RAW))
    tab.wait("return raw.lcp.length > 2 && raw.shifts.length > 1 && !!footfall.x?.v")
    seen = []
    # Each time the slowest interaction is slower, and there are more shifts at once.
    for round_number, (busy_ms, shifts_wanted) in enumerate(((60, 2), (130, 12), (220, 20)), start=1):
        interact(tab, busy_ms)
        pause(tab, AFTER_INPUT_S)
        for _ in range(shifts_wanted):
            shifts = tab.run("return raw.shifts.length")
            tab.run("push()")
            tab.wait(f"return raw.shifts.length > {shifts}")
        seen.append(vitals_of(tab.run("return raw"), 0))
        with tab.in_the_background():
            stored.under(
                "/vitals/thrice", lambda rows: sum(row.kind == "vitals" for row in rows) >= round_number  # noqa: B023
            )  # fmt: skip
    # Nothing has changed since, so that it is left says nothing more.
    tab.open(site.add("/vitals/afterwards"))
    stored.under("/vitals/afterwards", bool)
    rows = stored.under("/vitals/thrice", bool)
    reports = [row for row in rows if row.kind == "vitals"]
    assert len(reports) == 3
    assert len({row.load_id for row in reports}) == 1
    assert [row.sequence for row in reports] == sorted({row.sequence for row in reports})
    for report, expected in zip(reports, seen, strict=True):
        for name in ("inp_ms", "cls"):
            assert report.metrics[name] == pytest.approx(expected[name], rel=1e-6)
    assert reports[0].metrics["cls"] < reports[1].metrics["cls"] < reports[2].metrics["cls"]
    # What has not changed is not sent again.
    assert [set(report.metrics) & {"ttfb_ms", "fcp_ms", "lcp_ms"} for report in reports[1:]] == [set(), set()]
    assert stored.last_values("/vitals/thrice") == {
        "inp_ms": [reports[-1].metrics["inp_ms"]],
        "cls": [reports[-1].metrics["cls"]],
        **{name: [reports[0].metrics[name]] for name in ("ttfb_ms", "fcp_ms", "lcp_ms")},
    }
    # Whoever asks hears of one load, with the last values; a percentile is of buckets one percent wide.
    told = told_vitals(tracked_server, "/vitals/thrice")
    for name, (value,) in stored.last_values("/vitals/thrice").items():
        short = name.removesuffix("_ms")
        assert told[f"samples_{short}"] == 1
        assert told[f"p50_{short}"] == pytest.approx(value, rel=0.02)
