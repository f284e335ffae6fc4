"""Which stores the settings may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.config import SettingError, load_settings
from server.store import configured_store

TWO = "clickhouse://a|b/footfall"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cluster": "stats"}, "FOOTFALL_CLUSTER=stats is not allowed: expected empty while clickhouse_url is empty"),
        ({"clickhouse_url": TWO, "cluster": "stats"}, "FOOTFALL_SHARDS=1 is not allowed: expected one shard, or as"),
        ({"clickhouse_url": TWO, "shards": 2}, "several shards are read through it"),
        (
            {"clickhouse_url": "clickhouse://a", "shards": 2, "cluster": "stats", "cluster_replicated": False},
            "FOOTFALL_CLUSTER_REPLICATED=false is not allowed",
        ),
        (
            {"clickhouse_url": "clickhouse://a,c|b", "shards": 2, "cluster": "stats", "cluster_replicated": False},
            "names one server for each of FOOTFALL_SHARDS",
        ),
    ],
)
def test_stores_that_cannot_be_are_refused(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError) as error:
        configured_store(load_settings(data_dir=tmp_path, **settings))
    assert said in str(error.value)


def test_shards_without_a_keeper_know_each_other(tmp_path: Path) -> None:
    store = configured_store(
        load_settings(data_dir=tmp_path, clickhouse_url=TWO, shards=2, cluster="stats", cluster_replicated=False)
    )
    first, second = (address() for address in store.addresses)
    assert [other.hosts for other in first.other_shards] == [second.hosts]
    assert [other.hosts for other in second.other_shards] == [first.hosts]
    assert store.form.stored("daily") == "daily_local"
