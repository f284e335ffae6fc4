"""The examples of Plausible's references that need imported data: `dummy_site` with an import of Plausible's export.

Two days before and between the live ones, in which five and three people came (the export's own figures):

| day | visitors | visits | views | bounces | seconds | sources |
|---|---|---|---|---|---|---|
| 2024-06-05 | 5 | 6 | 12 | 2 | 340 | Google 3 and 1 by its ads, nobody 1 |
| 2024-06-12 | 3 | 3 | 4 | 1 | 60 | Hacker News 3 |

Sources: plausible.io/docs/stats-api ("Including imported data"), plausible.io/docs/stats-api-v1 (`with_imported`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from server.app_database import writing
from server.clickhouse_url import ClickHouseAddress
from server.imports import rows as import_rows
from server.imports.run import ImportContext, run_import
from server.imports.starting import start_import
from server.imports.uploads import Upload, upload_path
from server.models import Site
from server.services import Services
from server.store import Store, configured_store
from tests.server.imports.desk import csv, zipped
from tests.server.pages.site_host import Host
from tests.server.stats_api.asking import Client
from tests.server.stats_api.dummy_site import api_key, dummy_site_id
from tests.server.stats_api.test_v2_examples import ask, rows

V1 = "/api/v1/stats"
SITE = "site_id=dummy.site&with_imported=true"
RANGE = "20240605_20240612"
EXPORT: dict[str, str | bytes] = {
    f"imported_visitors_{RANGE}.csv": csv(
        "date,visitors,pageviews,bounces,visits,visit_duration", "2024-06-05,5,12,2,6,340", "2024-06-12,3,4,1,3,60"
    ),
    f"imported_sources_{RANGE}.csv": csv(
        "date,source,referrer,utm_source,utm_medium,utm_campaign,utm_content,utm_term,pageviews,visitors,visits,"
        "visit_duration,bounces",
        "2024-06-05,Google,,,,,,,7,3,3,200,1",
        "2024-06-05,Google,google.com,google,cpc,spring,,,2,1,1,40,0",
        "2024-06-05,,,,,,,,3,1,2,100,1",
        "2024-06-12,Hacker News,news.ycombinator.com/item,,,,,,4,3,3,60,1",
    ),
    f"imported_pages_{RANGE}.csv": csv(
        "date,hostname,page,visits,visitors,pageviews,total_scroll_depth,total_scroll_depth_visits,"
        "total_time_on_page,total_time_on_page_visits",
        "2024-06-05,dummy.site,/,5,4,8,210,3,90,4",
        "2024-06-05,dummy.site,/pricing,2,2,4,0,0,0,0",
        "2024-06-12,dummy.site,/,3,3,4,0,0,0,0",
    ),
}


@pytest.fixture(scope="module")
def client(host: Host, services: Services, event_store: ClickHouseAddress) -> Client:
    """A client of the site once the import is done."""
    site_id = dummy_site_id(services)
    with writing(services.engine) as session:
        # Kept long enough for days of 2024.
        session.get_one(Site, site_id).retention_class = 3
    upload = Upload.begin(services.settings, 1)
    upload.append(0, zipped(EXPORT))
    import_id = start_import(services, site_id, upload, "dummy.site.zip", takes_live_days=True)
    settings = services.settings.model_copy(update={"clickhouse_url": str(event_store)})

    @contextmanager
    def open_store() -> Iterator[Store]:
        yield configured_store(settings)

    context = ImportContext(settings, services.engine, services.secret_key, open_store)
    run_import(context, import_id, upload_path(services.settings, import_id), lambda *_: None)
    loaded = import_rows.load(services.engine, import_id)
    assert loaded is not None
    assert (loaded[0].state, loaded[0].first_day, loaded[0].last_day) == ("done", "2024-06-05", "2024-06-12")
    assert loaded[1].report.left_out.total() == 0
    return Client(host, api_key(services))


def test_including_imported_data(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors"],
  "date_range": "all",
  "dimensions": ["visit:source"],
  "include": {
    "imports": true
  }
}""",
    )
    assert rows(answer) == [
        (["Google"], [9]),  # 5 live, 3 and 1 imported
        (["Direct / None"], [4]),  # 3 and 1
        (["Hacker News"], [3]),
        (["Twitter"], [2]),
        (["Facebook"], [1]),
    ]
    assert answer["query"]["date_range"] == ["2024-06-05T00:00:00+00:00", "2024-08-20T23:59:59+00:00"]
    assert answer["meta"] == {"imports_included": True}


def test_including_imported_data_failed(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors"],
  "date_range": "all",
  "dimensions": ["visit:source"],
  "filters": [["is", "visit:country_name", ["Estonia"]]],
  "include": {
    "imports": true
  }
}""",
    )
    assert rows(answer) == [(["Google"], [4])]  # live alone: a source of a country is in no file of the export
    assert answer["meta"]["imports_included"] is False
    assert answer["meta"]["imports_skip_reason"] == "unsupported_query"
    assert "Imported" in answer["meta"]["imports_warning"]


def test_without_being_asked_for_they_are_left_out(client: Client) -> None:
    answer = client.query(
        site_id="dummy.site", metrics=["visitors", "pageviews"], date_range=["2024-06-01", "2024-06-30"]
    )
    assert rows(answer) == [([], [3, 3])]  # Ida, Jan, Kim
    whole = client.query(
        site_id="dummy.site",
        metrics=["visitors", "visits", "pageviews", "bounce_rate", "visit_duration"],
        date_range=["2024-06-01", "2024-06-30"],
        include={"imports": True},
    )
    # Bounces: Kim and 3 imported of 3 + 9 visits; nobody live was read in June, so 400 s of 12 visits.
    assert rows(whole) == [([], [11, 12, 19, 33, 33])]


def test_v1_aggregate(client: Client) -> None:
    path = f"{V1}/aggregate?{SITE}&period=6mo&metrics=visitors,pageviews,bounce_rate,visit_duration"
    assert client.get(path)["results"] == {
        "visitors": {"value": 19},  # 11 and 8
        "pageviews": {"value": 29},  # 13 and 16
        "bounce_rate": {"value": 30},  # 3 and 3 of 11 and 9 visits
        "visit_duration": {"value": 26},  # 115 s and 400 s of 20 visits
    }


def test_v1_timeseries(client: Client) -> None:
    assert client.get(f"{V1}/timeseries?{SITE}&period=6mo") == {
        "results": [
            {"date": "2024-03-01", "visitors": 0},
            {"date": "2024-04-01", "visitors": 0},
            {"date": "2024-05-01", "visitors": 0},
            {"date": "2024-06-01", "visitors": 11},  # 3 and 8
            {"date": "2024-07-01", "visitors": 1},
            {"date": "2024-08-01", "visitors": 7},
        ]
    }


def test_v1_breakdown(client: Client) -> None:
    path = f"{V1}/breakdown?{SITE}&period=6mo&property=visit:source&metrics=visitors,bounce_rate&limit=5"
    assert client.get(path)["results"] == [
        {"source": "Google", "visitors": 9, "bounce_rate": 22},  # Kim and 1 of 5 and 4 visits
        {"source": "Direct / None", "visitors": 4, "bounce_rate": 60},  # Cem, Eli and 1 of 3 and 2
        {"source": "Hacker News", "visitors": 3, "bounce_rate": 33},
        {"source": "Twitter", "visitors": 2, "bounce_rate": 0},
        {"source": "Facebook", "visitors": 1, "bounce_rate": 0},
    ]


def test_v1_top_pages_and_what_cannot_be_told_with_imports(client: Client) -> None:
    path = (
        f"{V1}/breakdown?{SITE}&period=custom&date=2024-06-01,2024-06-30&property=event:page&metrics=visitors,pageviews"
    )
    assert client.get(path)["results"] == [
        {"page": "/", "visitors": 8, "pageviews": 13},  # Jan, 4 and 3 imported
        {"page": "/order/confirmation", "visitors": 2, "pageviews": 2},
        {"page": "/pricing", "visitors": 2, "pageviews": 4},
    ]
    filtered = client.get(f"{V1}/aggregate?{SITE}&period=6mo&metrics=visitors&filters=visit:os==Mac")
    assert filtered["results"] == {"visitors": {"value": 4}}  # Bob, Dee, Gus, Jan: that file was not in the export
