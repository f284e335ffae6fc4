"""Goals, funnels, segments and annotations through the API: by whom, what is refused, what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import func, select

from server.accounts.share_links import add_share_link
from server.app_database import reading, writing
from server.models import Goal, MemberRole
from server.services import Services
from server.sites import add_site
from server.stats_api.goals import Goals
from tests.server.accounts.people import add_member
from tests.server.pages.site_host import Browser, Host
from tests.server.pages.test_authorization import sign_in
from tests.server.stats_api.asking import Client, error_of, send
from tests.server.stats_api.dummy_site import api_key

SITE = "/api/sites/setup.example"


class People:
    """Browsers of an admin, of two viewers, and of somebody with a share link."""

    def __init__(self, host: Host, services: Services) -> None:
        site = add_site(services.engine, "setup.example", account_id=1)
        self.site_id = site.site_id
        roles = {"admin": MemberRole.ADMIN, "viewer": MemberRole.VIEWER, "other": MemberRole.VIEWER}
        self.browsers = {
            name: sign_in(services, host, add_member(services, 1, f"{name}@setup.example", role))
            for name, role in roles.items()
        }
        for browser in self.browsers.values():
            browser.get("/signup")  # a page with a form gives the token
        with writing(services.engine) as session:
            self.slug = add_share_link(session, site, "board", "", None).slug
        self.key = Client(host, api_key(services))
        self.anonymous = host.browser()

    @property
    def admin(self) -> Browser:
        return self.browsers["admin"]

    def made(self, path: str, document: Any, by: str = "admin") -> dict[str, Any]:
        answer = send(self.browsers[by], "POST", SITE + path, document)
        assert answer.status == 201, answer.text
        return json.loads(answer.text)  # type: ignore[no-any-return]

    def listed(self, path: str, by: str = "admin") -> list[dict[str, Any]]:
        answer = self.browsers[by].get(SITE + path)
        assert answer.status == 200, answer.text
        (rows,) = json.loads(answer.text).values()
        return rows  # type: ignore[no-any-return]

    def refused(self, method: str, path: str, document: Any, by: str = "admin") -> tuple[int, str]:
        answer = send(self.browsers[by], method, SITE + path, document)
        assert answer.status >= 400, answer.text
        return answer.status, error_of(answer)


@pytest.fixture(scope="module")
def people(host: Host, services: Services) -> People:
    return People(host, services)


SIGNUP = {"kind": "event", "event_name": "Signup"}


def test_goals_are_made_changed_and_removed(people: People) -> None:
    signup = people.made("/goals", {**SIGNUP, "display_name": "", "currency": "eur"})
    assert signup == {
        "goal_id": signup["goal_id"],
        "kind": "event",
        "display_name": "Signup",
        "event_name": "Signup",
        "page_pattern": "",
        "scroll_percent": 0,
        "currency": "EUR",
    }
    page = people.made("/goals", {"kind": "page", "page_pattern": "/blog/**"})
    read = people.made("/goals", {"kind": "scroll", "page_pattern": "/terms", "scroll_percent": 80})
    assert [page["display_name"], read["display_name"]] == ["Visit /blog/**", "Scroll 80% on /terms"]
    assert people.listed("/goals", "viewer") == [signup, page, read]

    path = f"{SITE}/goals/{page['goal_id']}"
    changed = send(people.admin, "PATCH", path, {"page_pattern": "/news/*"})
    assert json.loads(changed.text)["display_name"] == "Visit /news/*", "the usual name goes along"
    changed = send(people.admin, "PATCH", path, {"display_name": "News"})
    changed = send(people.admin, "PATCH", path, {"page_pattern": "/new/*"})
    assert json.loads(changed.text)["display_name"] == "News", "a chosen name stays"
    assert send(people.admin, "DELETE", path).status == 204
    assert people.refused("DELETE", f"/goals/{page['goal_id']}", None)[0] == 404
    assert people.listed("/goals") == [signup, read]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "kind"),
        ({"kind": "click"}, "kind"),
        ({"kind": "event"}, "event_name"),
        ({"kind": "event", "event_name": "x" * 121}, "event_name"),
        ({"kind": "event", "event_name": 5}, "event_name"),
        ({"kind": "event", "event_name": "a\nb"}, "event_name"),
        ({**SIGNUP, "display_name": "Other", "currency": "EURO"}, "currency"),
        ({**SIGNUP, "display_name": "Other", "currency": "XQX"}, "currency"),
        ({"kind": "page", "page_pattern": "blog"}, "page_pattern"),
        ({"kind": "page", "page_pattern": "/", "currency": "EUR"}, "currency"),
        ({"kind": "scroll", "page_pattern": "/", "scroll_percent": 0}, "scroll_percent"),
        ({"kind": "scroll", "page_pattern": "/", "scroll_percent": "50"}, "scroll_percent"),
        ({**SIGNUP, "color": "red"}, "color"),
    ],
)
def test_goals_that_cannot_be(people: People, fields: dict[str, Any], field: str) -> None:
    answer = send(people.admin, "POST", f"{SITE}/goals", fields)
    assert answer.status == 400
    assert json.loads(answer.text)["field"] == field


def test_names_are_taken_once_and_sites_have_room_for_so_many(
    people: People, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.made("/goals", {"kind": "event", "event_name": "Twice"})
    status, sentence = people.refused("POST", "/goals", {"kind": "event", "event_name": "Twice"})
    assert (status, sentence) == (400, "There is a goal of this name already.")
    with reading(services.engine) as session:
        there = session.execute(select(func.count()).where(Goal.site_id == people.site_id)).scalar_one()
    monkeypatch.setattr(Goals, "most", there)
    status, sentence = people.refused("POST", "/goals", {"kind": "event", "event_name": "One more"})
    assert (status, sentence) == (400, f"A site may have {there} goals: remove some first.")


def test_funnels_are_made_of_goals_which_then_stay(people: People) -> None:
    steps = [
        people.made("/goals", {"kind": "event", "event_name": name})["goal_id"] for name in ("Look", "Basket", "Order")
    ]
    funnel = people.made("/funnels", {"name": "Buyers", "goal_ids": steps})
    assert funnel == {"funnel_id": funnel["funnel_id"], "name": "Buyers", "goal_ids": steps}
    status, sentence = people.refused("DELETE", f"/goals/{steps[1]}", None)
    assert status == 403
    assert "'Buyers'" in sentence
    path = f"{SITE}/funnels/{funnel['funnel_id']}"
    changed = send(people.admin, "PATCH", path, {"goal_ids": steps[:2]})
    assert json.loads(changed.text)["goal_ids"] == steps[:2]
    assert send(people.admin, "DELETE", f"{SITE}/goals/{steps[2]}").status == 204
    answer = json.loads(people.admin.get(f"{path}?date_range=7d").text)
    assert [(step["name"], step["visitors"]) for step in answer["steps"]] == [("Look", 0), ("Basket", 0)]
    assert (answer["name"], answer["all_visitors"]) == ("Buyers", 0)
    for wrong in ([], steps[:1], [steps[0], steps[0]], [steps[0], 10**6], "ab", [steps[0], "x"], list(range(1, 11))):
        assert people.refused("POST", "/funnels", {"name": "Wrong", "goal_ids": wrong})[0] == 400
    assert people.refused("POST", "/funnels", {"name": "Buyers", "goal_ids": steps[:2]})[0] == 400
    assert send(people.admin, "DELETE", path).status == 204
    assert people.refused("GET", f"/funnels/{funnel['funnel_id']}", None)[0] == 404


FILTERS = [["is", "visit:country", ["EE"]]]


def test_segments_of_ones_own_and_of_everybody(people: People) -> None:
    own = people.made("/segments", {"name": "Mine", "filters": FILTERS}, "viewer")
    assert own["is_personal"] is True
    shared = people.made("/segments", {"name": "Ours", "filters": FILTERS, "is_personal": False})
    seen = {who: [row["name"] for row in people.listed("/segments", who)] for who in people.browsers}
    assert seen == {"admin": ["Ours"], "viewer": ["Mine", "Ours"], "other": ["Ours"]}
    by_link = people.anonymous.get(f"{SITE}/segments", X_Footfall_Share=people.slug)
    assert [row["name"] for row in json.loads(by_link.text)["segments"]] == ["Ours"]
    assert people.key.get(f"{SITE}/segments")["segments"] == [shared]

    mine, ours = f"/segments/{own['segment_id']}", f"/segments/{shared['segment_id']}"
    assert people.refused("PATCH", mine, {"name": "Stolen"}, "other")[0] == 404
    assert people.refused("DELETE", mine, None)[0] == 404, "not even an admin sees it"
    assert people.refused("PATCH", ours, {"name": "Stolen"}, "viewer")[0] == 403
    assert people.refused("PATCH", mine, {"is_personal": False}, "viewer")[0] == 403
    assert (
        people.refused("POST", "/segments", {"name": "For all", "filters": FILTERS, "is_personal": False}, "viewer")[0]
        == 403
    )
    changed = send(people.browsers["viewer"], "PATCH", SITE + mine, {"name": "Still mine"})
    assert json.loads(changed.text)["name"] == "Still mine"

    # Only who sees a segment may filter by it.
    query = {"site_id": "setup.example", "metrics": ["visitors"], "date_range": "7d"}
    body = {**query, "filters": [["is", "segment", [own["segment_id"]]]]}
    statuses = {who: send(browser, "POST", "/api/v2/query", body).status for who, browser in people.browsers.items()}
    assert statuses == {"admin": 400, "viewer": 200, "other": 400}
    assert people.key.post("/api/v2/query", body).status == 400
    assert send(people.browsers["viewer"], "DELETE", SITE + mine).status == 204


@pytest.mark.parametrize(
    "filters",
    [
        None,
        [],
        "x",
        [["is", "visit:planet", ["Earth"]]],
        [["is", "event:goal", ["No such goal"]]],
        [["is", "segment", [1]]],
    ],
)
def test_segments_that_cannot_be(people: People, filters: Any) -> None:
    answer = send(people.admin, "POST", f"{SITE}/segments", {"name": "Wrong", "filters": filters})
    assert answer.status == 400
    assert json.loads(answer.text)["field"] == "filters"


def test_annotations(people: People) -> None:
    note = people.made("/annotations", {"day": "2024-08-20", "text": " New prices "})
    assert note == {"annotation_id": note["annotation_id"], "day": "2024-08-20", "text": "New prices"}
    earlier = people.made("/annotations", {"day": "2024-08-01", "text": "Launch"})
    assert people.listed("/annotations", "other") == [note, earlier]
    path = f"{SITE}/annotations/{note['annotation_id']}"
    assert json.loads(send(people.admin, "PATCH", path, {"day": "2024-08-21"}).text)["day"] == "2024-08-21"
    for wrong in ({"day": "20240820"}, {"day": "2024-02-30"}, {"text": ""}, {"text": "x" * 301}, {"who": "me"}):
        assert people.refused("PATCH", f"/annotations/{note['annotation_id']}", wrong)[0] == 400
    assert people.refused("POST", "/annotations", {"day": "2024-08-20", "text": "x"}, "viewer")[0] == 403
    assert send(people.admin, "DELETE", path).status == 204


def test_changes_need_the_token_and_an_object(people: People) -> None:
    browser = people.admin
    body = json.dumps({"kind": "event", "event_name": "Forged"}).encode()
    assert browser.ask("POST", f"{SITE}/goals", body, Content_Type="application/json").status == 403
    assert people.refused("POST", "/goals", [1]) == (400, "The body has to be a JSON object.")
    assert people.key.post(f"{SITE}/goals", SIGNUP).status == 403, "a program cannot have the token"


def test_numbers_of_other_sites_are_not_there(people: People) -> None:
    # dummy.site has the first goals and segments.
    for path in ("/goals/1", "/segments/1", "/funnels/999", "/annotations/999"):
        assert people.refused("DELETE", path, None)[0] == 404
        assert people.refused("PATCH", path, {})[0] == 404
