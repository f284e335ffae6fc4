"""`dummy.site` of Plausible's documentation, with eleven visitors: few enough to count by hand.

| who | when (UTC) | from | system | source | utm | what they did |
|---|---|---|---|---|---|---|
| Ann | 08-14 10:00 | EE | GNU/Linux | Google | – | `/` (read 50 s), `/docs/start`; props is_customer=true |
| Bob | 08-14 11:00 | US | Mac | Twitter | social, twitter | `/pricing`, Signup; props is_customer=false |
| Cem | 08-16 09:00 | DE | Windows | – | – | `/Blog/one` (read 5 s): a bounce |
| Dee | 08-20 01:50 | EE | Mac | Google | cpc, google | `/blog/two`, 20 min later `/pricing` |
| Eli | 08-20 02:30 | – | GNU/Linux | – | – | `/`: a bounce |
| Fay | 08-20 11:56 | US | Windows | Twitter | social, twitter | `/docs/api` (60 s), PurchaseUSD 20.50, PurchaseEUR 10 |
| Gus | 08-05 08:00 | EE | Mac | Google | – | `/`, Signup |
| Hal | 07-20 12:00 | FR | Windows | Facebook | – | `/`, PurchaseUSD 100 |
| Ida | 06-10 10:00 | DE | Windows | – | – | `/order/confirmation`, Download by HTTP |
| Jan | 06-10 11:00 | FR | Mac | Google | – | `/`, Download by Magnet |
| Kim | 06-11 09:00 | EE | Windows | Google | – | `/order/confirmation`: a bounce |

All in 2024. The goals are Signup, PurchaseUSD, PurchaseEUR, Visit / and Download; segment 2 is who came from Twitter.
"""

from __future__ import annotations

from typing import Any

from server.accounts.keys import add_api_key
from server.app_database import writing
from server.clickhouse_url import ClickHouseAddress
from server.models import Goal, Segment
from server.services import Services
from server.sites import add_site, find_site
from tests.server.accounts.people import make_owner
from tests.server.stats_api.events import Visitor, store_visitors, visitor

NOW_MS = 1_724_155_200_000
"""2024-08-20 12:00:00 UTC, a Tuesday."""

DOMAIN = "dummy.site"


def dummy_visitors(site_id: int) -> list[Visitor]:
    """The table above."""
    google, twitter = {"referrer_source": "Google"}, {"referrer_source": "Twitter"}
    social: dict[str, Any] = {"utm_medium": "social", "utm_source": "twitter", **twitter}
    cpc: dict[str, Any] = {"utm_medium": "cpc", "utm_source": "google", **google}
    yes, no = {"is_customer": "true"}, {"is_customer": "false"}
    dollars, euros = {"revenue_currency": "USD"}, {"revenue_currency": "EUR"}
    return [
        visitor(site_id, "ann", "2024-08-14 10:00", country="EE", os="GNU/Linux", props=yes, **google)
        .view("/")
        .read("/", 50, 0.9)
        .view("/docs/start", 1),
        visitor(site_id, "bob", "2024-08-14 11:00", country="US", os="Mac", props=no, **social)
        .view("/pricing")
        .event("Signup", "/pricing", 2),
        visitor(site_id, "cem", "2024-08-16 09:00", country="DE", os="Windows")
        .view("/Blog/one")
        .read("/Blog/one", 5, 1),
        visitor(site_id, "dee", "2024-08-20 01:50", country="EE", os="Mac", **cpc)
        .view("/blog/two")
        .view("/pricing", 20),
        visitor(site_id, "eli", "2024-08-20 02:30", os="GNU/Linux").view("/"),
        visitor(site_id, "fay", "2024-08-20 11:56", country="US", os="Windows", **social)
        .view("/docs/api")
        .event("PurchaseUSD", "/docs/api", 1, revenue_micros=20_500_000, **dollars)
        .event("PurchaseEUR", "/docs/api", 2, revenue_micros=10_000_000, **euros)
        .read("/docs/api", 60, 3),
        visitor(site_id, "gus", "2024-08-05 08:00", country="EE", os="Mac", **google).view("/").event("Signup", "/", 1),
        visitor(site_id, "hal", "2024-07-20 12:00", country="FR", os="Windows", referrer_source="Facebook")
        .view("/")
        .event("PurchaseUSD", "/", 1, revenue_micros=100_000_000, **dollars),
        visitor(site_id, "ida", "2024-06-10 10:00", country="DE", os="Windows")
        .view("/order/confirmation")
        .event("Download", "/order/confirmation", 1, props={"method": "HTTP"}),
        visitor(site_id, "jan", "2024-06-10 11:00", country="FR", os="Mac", **google)
        .view("/")
        .event("Download", "/", 1, props={"method": "Magnet"}),
        visitor(site_id, "kim", "2024-06-11 09:00", country="EE", os="Windows", **google).view("/order/confirmation"),
    ]


def make_dummy_site(services: Services, event_store: ClickHouseAddress) -> None:
    """The site in the first account, with its goals, segments and visitors."""
    owner = make_owner(services)
    site = add_site(services.engine, DOMAIN, account_id=1)
    with writing(services.engine) as session:
        for name, currency in (("Signup", ""), ("PurchaseUSD", "USD"), ("PurchaseEUR", "EUR"), ("Download", "")):
            session.add(_goal(site.site_id, display_name=name, kind="event", event_name=name, currency=currency))
        session.add(_goal(site.site_id, display_name="Visit /", kind="page", page_pattern="/"))
        for name, source in (("Searchers", "Google"), ("Twitterers", "Twitter")):
            filters = [["is", "visit:source", [source]]]
            shared = {"is_personal": False, "created_by_user_id": owner, "created_at_ms": NOW_MS}
            session.add(Segment(site_id=site.site_id, name=name, filters=filters, **shared))
            session.flush()
    store_visitors(event_store, dummy_visitors(site.site_id))


def api_key(services: Services) -> str:
    """A new key of the first account, with every scope."""
    return add_api_key(services.engine, "test", 1)


def dummy_site_id(services: Services) -> int:
    """The number of the site."""
    site = find_site(services.engine, DOMAIN)
    assert site is not None
    return site.site_id


def _goal(site_id: int, **fields: Any) -> Goal:
    return Goal(site_id=site_id, created_at_ms=NOW_MS, **fields)
