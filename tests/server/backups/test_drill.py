"""The disaster drill: every data folder of an installation is lost, and what people see is the same after a restore.

All of it as an operator and the owner's browser do it: `footfall serve` with days of hits, some of them closed, answers
of the dashboard and pages of settings over HTTP, `footfall backup create`, everything deleted, `footfall backup
restore`, `footfall serve`. Prints how long the recovery took.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.suites.queries import FIRST_LOOK
from server.backups.key import new_key
from server.queries.metrics import VITALS
from tests.browser.dashboard_hits import DOMAIN, VISITORS, days_ago, send_days, stored_views, wait_for
from tests.server.pages.site_host import Browser
from tests.services.footfall import FootfallServer, running_footfall

OWNER, PASSWORD = "owner@example.com", "four unrelated words here"
RANGE = [str(days_ago(max(VISITORS))), str(days_ago(min(VISITORS)))]
"""Without today: its figures may change."""

MORE_QUESTIONS: tuple[dict[str, Any], ...] = (
    *(
        {"metrics": ["visitors", "pageviews"], "dimensions": [dimension]}
        for dimension in (
            "visit:channel",
            "visit:exit_page",
            "visit:device",
            "event:goal",
            "event:name",
            "event:props:plan",
        )
    ),
    {"metrics": ["visitors"], "dimensions": ["event:page"], "filters": [["is", "visit:country", ["DE"]]]},
    {"metrics": ["visitors", "total_revenue"], "filters": [["is", "event:goal", ["Purchase"]]]},
    {"metrics": [f"p75_{vital.key}" for vital in VITALS if vital.key in ("lcp_ms", "ttfb_ms")]},
)
"""Beside those of a first look: panels further down, filters, goals, vitals."""

PAGES = (
    f"/sites/{DOMAIN}",
    *(f"/sites/{DOMAIN}/settings{page}" for page in ("", "/visibility", "/counting", "/reports", "/people")),
    "/accounts/1/team",
    f"/api/sites/{DOMAIN}/goals",
    f"/api/sites/{DOMAIN}/annotations",
    f"/api/stats/drops?site_id={DOMAIN}&date_range={quote(json.dumps(RANGE))}",
)
PASSING = re.compile(r"2\|[0-9a-f]{8}\|[0-9a-f]{32}\|[0-9]{10}")
"""What rightly differs: the token of a login's forms. Logins are in no backup, so everybody has another one."""


class Owner(Browser):
    """The owner's browser."""

    def call(self, method: str, path: str, document: dict[str, Any]) -> str:
        """A request of the dashboard's script."""
        token = {"X_Xsrftoken": self.cookies["_xsrf"]}
        answer = self.ask(method, path, json.dumps(document).encode(), Content_Type="application/json", **token)
        assert answer.status in (200, 201), (path, document, answer.text)
        return answer.text

    def everything(self) -> dict[str, str]:
        """What the owner sees, by what was asked."""
        seen = {}
        for question in (*FIRST_LOOK, *MORE_QUESTIONS):
            document = {"site_id": DOMAIN, "date_range": RANGE, **question}
            seen[json.dumps(question)] = self.call("POST", "/api/v2/query", document)
        for page in PAGES:
            answer = self.get(page)
            assert answer.status == 200, (page, answer.status)
            seen[page] = PASSING.sub("token", answer.text)
        return seen


def set_up(server: FootfallServer) -> Owner:
    """The owner, what the owner sets up, and three days of hits, of which the first two are closed."""
    token = server.first_run_link().partition("token=")[2]
    owner = Owner(server.port)
    fields = {"token": token, "email": OWNER, "name": "Olga Owner", "password": PASSWORD}
    assert owner.post("/first-run", fields).status == 303
    for goal in (
        {"kind": "event", "event_name": "Purchase", "currency": "EUR"},
        {"kind": "page", "page_pattern": "/p*"},
    ):
        owner.call("POST", f"/api/sites/{DOMAIN}/goals", goal)
    owner.call("POST", f"/api/sites/{DOMAIN}/annotations", {"day": RANGE[0], "text": 'Sale "ß" 🎉'})
    assert owner.post("/accounts/1/team", {"email": "anna@example.com", "role": "viewer"}).status == 303
    send_days(server)
    done(server, "rebuild", DOMAIN, RANGE[0], str(days_ago(2)))
    return owner


def done(server: FootfallServer, *arguments: str) -> str:
    """What a command of the operator says."""
    result = server.command(*arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_lost_installation_is_restored_with_the_same_dashboards(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    settings = {
        "backup_target": str(tmp_path / "backups"),
        "backup_key": new_key(),
        "first_site_domain": DOMAIN,
        "batch_max_age_ms": "100",
    }
    with running_footfall(data_dir, **settings) as server:
        owner = set_up(server)
        before = owner.everything()
        assert owner.everything() == before, "something differs by itself"
        figures = json.loads(before[json.dumps(FIRST_LOOK[0])])["results"][0]["metrics"]
        assert figures[:3] == [20, 20, 30]
        made = done(server, "backup", "create")
        assert " copied (" in made
        views = stored_views(server)
        server.stop()
        shutil.rmtree(data_dir)

        began_s = time.monotonic()
        assert f"restored {made.partition(':')[0]}" in done(server, "backup", "restore")
        restored_s = time.monotonic() - began_s
        server.start()
        recovered_s = time.monotonic() - began_s
        print(f"recovered in {recovered_s:.1f} s: {restored_s:.1f} s to restore, the rest to start")

        # From the same address, which a page shows.
        owner = Owner(server.port, owner.address)
        assert owner.log_in(OWNER, PASSWORD).status == 303
        after = owner.everything()
        assert {asked: text for asked, text in after.items() if text != before[asked]} == {}

        # What is sent from now on is counted, on top of what was restored.
        assert stored_views(server) == views
        hit = {"n": "pageview", "u": f"https://{DOMAIN}/after", "d": DOMAIN}
        for visitor in range(3):
            visitor_browser = Browser(server.port, f"203.0.113.{visitor + 1}")
            assert visitor_browser.ask("POST", "/api/event", json.dumps(hit).encode()).status == 202
        wait_for(lambda: stored_views(server) == views + 3, "hits after the restore are not counted")
        today = {"site_id": DOMAIN, "date_range": [str(days_ago(0)), str(days_ago(0))], "metrics": ["visitors"]}
        assert json.loads(owner.call("POST", "/api/v2/query", today))["results"][0]["metrics"] == [3]
        assert done(server, "audit").splitlines()[-1].startswith("OK ")
