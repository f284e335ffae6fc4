"""No question, export, share link or key reaches another account's rows.

Two event stores: in one `dummy.site` is alone, in the other an account of strangers has `secret.example` beside it,
with the same visitors, pages and goals, and a mark in every text. Whatever is asked about `dummy.site`, through
whichever door and as whomever, both answer alike; whatever is asked about a site by the wrong people is not there.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.accounts.keys import add_api_key
from server.accounts.share_links import add_share_link
from server.app_database import writing
from server.clickhouse_url import ClickHouseAddress
from server.migrate import SchemaForm, migrate
from server.models import Annotation, Funnel, Goal, GuestRole, Segment
from server.services import Services
from server.sites import add_site, find_site
from tests.server.accounts.people import add_guest, make_person
from tests.server.pages.site_host import Host, bearer, hosted
from tests.server.pages.test_authorization import sign_in
from tests.server.stats_api.dummy_site import DOMAIN, NOW_MS, dummy_visitors
from tests.server.stats_api.events import store_visitors
from tests.services.clickhouse import fresh_database

SECRET = "secret.example"
MARK = "intruder"

METRICS = ("visitors", "visits", "pageviews", "events", "bounce_rate", "visit_duration", "percentage")
DIMENSIONS = (
    "visit:source", "visit:country", "visit:os", "visit:utm_source", "visit:entry_page", "visit:exit_page",
    "event:page", "event:hostname", "event:name", "event:props:method", "event:props:intruder", "event:goal",
    "time:day", "time:month",
)  # fmt: skip
RANGES = ("day", "7d", "6mo", "12mo", "all", ["2024-06-01", "2024-08-20"])


class World:
    """Both servers, and everybody's credentials: headers, and what goes into the address."""

    def __init__(self, services: Services, alone: Host, crowded: Host) -> None:
        self.alone, self.crowded = alone, crowded
        _, self.strangers = make_person(services, "strangers@example.com")
        secret = add_site(services.engine, SECRET, account_id=self.strangers)
        dummy = find_site(services.engine, DOMAIN)
        assert dummy is not None
        with writing(services.engine) as session:
            of_secret = {"site_id": secret.site_id, "created_at_ms": NOW_MS}
            session.add(Goal(display_name=f"Signup {MARK}", kind="event", event_name="Signup", **of_secret))
            session.add(Goal(display_name="Signup", kind="event", event_name="Signup", **of_secret))
            filters = [["is", "visit:source", ["Google"]]]
            segment = Segment(name=MARK, filters=filters, is_personal=False, **of_secret)
            funnel = Funnel(name=MARK, goal_ids=[1, 2], **of_secret)
            session.add_all([segment, funnel, Annotation(day="2024-08-20", text=MARK, **of_secret)])
            session.add(Funnel(site_id=dummy.site_id, name="Buyers", goal_ids=[1, 2], created_at_ms=NOW_MS))
            slugs = {site.domain: add_share_link(session, site, "link", "", None).slug for site in (dummy, secret)}
            session.flush()
            self.secret_segment = segment.segment_id
        self.secret_site_id = secret.site_id
        owner = sign_in(services, crowded, 1)
        stranger = sign_in(services, crowded, self._user(services))
        # Guests of one site each: people of yet other accounts.
        guests = {
            domain: sign_in(services, crowded, add_guest(services, domain, f"guest@{domain}", GuestRole.VIEWER))
            for domain in (DOMAIN, SECRET)
        }
        self.readers: dict[str, list[dict[str, str]]] = {
            DOMAIN: [
                bearer(add_api_key(services.engine, "ours", 1)),
                {"X-Footfall-Share": slugs[DOMAIN]},
                {"Cookie": f"footfall_session={owner.cookies['footfall_session']}"},
                {"Cookie": f"footfall_session={guests[DOMAIN].cookies['footfall_session']}"},
            ],
            SECRET: [
                bearer(add_api_key(services.engine, "theirs", self.strangers)),
                {"X-Footfall-Share": slugs[SECRET]},
                {"Cookie": f"footfall_session={stranger.cookies['footfall_session']}"},
                {"Cookie": f"footfall_session={guests[SECRET].cookies['footfall_session']}"},
            ],
        }

    @staticmethod
    def _user(services: Services) -> int:
        with writing(services.engine) as session:
            from server.models import User

            return session.query(User.user_id).filter(User.email == "strangers@example.com").scalar()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def world(
    clickhouse: ClickHouseAddress, services: Services, host: Host, event_store: ClickHouseAddress
) -> Iterator[World]:
    with fresh_database(clickhouse) as address:
        migrate(address, SchemaForm())
        with hosted(services, lambda: address) as crowded:
            world = World(services, host, crowded)
            dummy = find_site(services.engine, DOMAIN)
            assert dummy is not None
            store_visitors(address, dummy_visitors(dummy.site_id))
            theirs = dummy_visitors(world.secret_site_id)
            for each in theirs:
                for row in each.rows:
                    for name in ("path", "event_name", "hostname", "referrer_source", "utm_source", "os"):
                        row[name] = f"{row.get(name, '')}{MARK}"
                    row["props"] = {MARK: MARK}
            # The very same visitors, as far as their numbers go.
            ours = {row["path"] + row["time"].isoformat(): row for v in dummy_visitors(dummy.site_id) for row in v.rows}
            for each in theirs:
                for row in each.rows:
                    row["visitor_id"] = ours[row["path"].removesuffix(MARK) + row["time"].isoformat()]["visitor_id"]
            store_visitors(address, theirs)
            yield world


def ask(host: Host, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


values = st.lists(
    st.sampled_from(("Google", f"Google{MARK}", "/", f"/{MARK}", "EE", "Mac", MARK, "", "Signup", "(none)")),
    min_size=1,
    max_size=2,
)
leaves = st.tuples(
    st.sampled_from(("is", "is_not", "contains", "matches", "contains_not")),
    st.sampled_from([name for name in DIMENSIONS if not name.startswith("time")]),
    values,
).map(list)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(("and", "or")), st.lists(inner, min_size=1, max_size=2)).map(list),
        st.tuples(st.sampled_from(("not", "has_done", "has_not_done")), inner).map(list),
    ),
    max_leaves=3,
)
documents = st.fixed_dictionaries(
    {
        "metrics": st.lists(st.sampled_from(METRICS), min_size=1, max_size=3, unique=True),
        "date_range": st.sampled_from(RANGES),
        "dimensions": st.lists(st.sampled_from(DIMENSIONS), max_size=2, unique=True),
        "filters": st.lists(filters, max_size=2),
    }
)
DOORS = ("query", "csv", "json", "parquet", "suggestions", "realtime", "drops", "funnel", "aggregate", "breakdown")


def question(door: str, site: str, document: dict[str, Any]) -> tuple[str, str, bytes | None]:
    """How a door is asked: method, address, body."""
    if door == "query":
        return "POST", "/api/v2/query", json.dumps({"site_id": site, **document}).encode()
    given = {"site_id": site, **{name: json.dumps(value) for name, value in document.items()}}
    if door in ("csv", "json", "parquet"):
        return "GET", f"/api/stats/export?{urlencode({**given, 'format': door})}", None
    if door == "suggestions":
        dimension = (document["dimensions"] or ["event:props"])[0]
        return "GET", f"/api/stats/suggestions?{urlencode({**given, 'dimension': dimension})}", None
    if door == "funnel":
        return "GET", f"/api/sites/{site}/funnels/{2 if site == DOMAIN else 1}?{urlencode(given)}", None
    if door in ("aggregate", "breakdown"):
        v1 = {"site_id": site, "period": "6mo", "property": (document["dimensions"] or ["visit:source"])[0]}
        return "GET", f"/api/v1/stats/{door}?{urlencode({**v1, 'metrics': document['metrics'][0]})}", None
    return "GET", f"/api/stats/{door}?{urlencode(given)}", None


def test_a_site_is_as_if_it_were_alone(world: World) -> None:
    answered: dict[int, int] = {}

    @given(st.sampled_from(DOORS), documents, st.integers(0, 3), st.booleans())
    @settings(max_examples=70, deadline=None, derandomize=True)
    def check(door: str, document: dict[str, Any], reader: int, with_their_segment: bool) -> None:
        if with_their_segment:
            document = {**document, "filters": [*document["filters"], ["is", "segment", [world.secret_segment]]]}
        method, path, body = question(door, DOMAIN, document)
        headers = world.readers[DOMAIN][reader]
        status, alone = ask(world.alone, method, path, headers, body)
        crowded_status, crowded = ask(world.crowded, method, path, headers, body)
        assert crowded_status == status < 500
        if status == 200:
            assert crowded == alone
            assert MARK.encode() not in crowded or MARK.encode() in path.encode() + (body or b"")
        answered[status] = answered.get(status, 0) + 1

    check()
    assert answered[200] > 25, answered
    assert set(answered) <= {200, 400}


def test_who_belongs_elsewhere_finds_nothing(world: World) -> None:
    @given(st.sampled_from(DOORS), documents, st.integers(0, 3), st.sampled_from((DOMAIN, SECRET)))
    @settings(max_examples=25, deadline=None, derandomize=True)
    def check(door: str, document: dict[str, Any], reader: int, site: str) -> None:
        other = SECRET if site == DOMAIN else DOMAIN
        method, path, body = question(door, site, document)
        status, answer = ask(world.crowded, method, path, world.readers[other][reader], body)
        assert status == 404
        assert MARK.encode() not in answer
        # Naming one's own site besides changes nothing: the first door that is asked about decides.
        share = world.readers[other][1]["X-Footfall-Share"]
        joint = "&" if "?" in path else "?"
        assert ask(world.crowded, method, f"{path}{joint}share={share}&site_id={other}", {}, body)[0] in (200, 400, 404)

    check()


def test_lists_hold_what_is_ones_own(world: World) -> None:
    for kind in ("goals", "funnels", "segments", "annotations"):
        for headers in world.readers[DOMAIN]:
            status, answer = ask(world.crowded, "GET", f"/api/sites/{DOMAIN}/{kind}", headers)
            assert (status, MARK.encode() in answer) == (200, False)
        for headers in world.readers[SECRET]:
            assert ask(world.crowded, "GET", f"/api/sites/{DOMAIN}/{kind}", headers)[0] == 404
    status, answer = ask(world.crowded, "GET", "/api/sites", world.readers[DOMAIN][2])
    domains = {site["domain"] for site in json.loads(answer)["sites"]}
    assert (status, DOMAIN in domains, SECRET in domains) == (200, True, False)
    for domain in (DOMAIN, SECRET):
        status, answer = ask(world.crowded, "GET", "/api/sites", world.readers[domain][3])
        assert (status, [site["domain"] for site in json.loads(answer)["sites"]]) == (200, [domain])
    status, answer = ask(world.crowded, "GET", "/api/v1/sites?limit=1000", world.readers[SECRET][0])
    assert json.loads(answer)["sites"] == [{"domain": SECRET, "timezone": "UTC"}]
    for method, path in (
        ("GET", f"/api/v1/sites/{DOMAIN}"),
        ("PUT", f"/api/v1/sites/{DOMAIN}"),
        ("DELETE", f"/api/v1/sites/{DOMAIN}"),
        ("GET", f"/api/v1/sites/goals?site_id={DOMAIN}"),
        ("PUT", f"/api/v1/sites/goals?site_id={DOMAIN}"),
        ("DELETE", f"/api/v1/sites/goals/1?site_id={DOMAIN}"),
        ("DELETE", f"/api/v1/sites/goals/1?site_id={SECRET}"),
        ("PUT", f"/api/v1/sites/shared-links?site_id={DOMAIN}"),
        ("GET", f"/api/v1/sites/custom-props?site_id={DOMAIN}"),
        ("PUT", f"/api/v1/sites/custom-props?site_id={DOMAIN}"),
        ("GET", f"/api/v1/sites/guests?site_id={DOMAIN}"),
        ("PUT", f"/api/v1/sites/guests?site_id={DOMAIN}"),
        ("DELETE", f"/api/v1/sites/guests/guest@{DOMAIN}?site_id={DOMAIN}"),
    ):
        assert ask(world.crowded, method, path, world.readers[SECRET][0])[0] == 404, (method, path)
