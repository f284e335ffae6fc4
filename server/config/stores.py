"""Where events, sites and shared state are kept."""

from __future__ import annotations

import re

from pydantic import BaseModel, field_validator

from server.config.setting import checked_url, setting


class StoreSettings(BaseModel):
    """Group `stores`."""

    clickhouse_url: str = setting(
        "",
        "stores",
        "where events go; empty: an embedded ClickHouse beside serve",
        "empty, or clickhouse://user:password@host:9000/database (?secure=1 for TLS)",
        hidden="password",
    )
    chdb_library: str = setting(
        "",
        "stores",
        "libchdb.so for the embedded ClickHouse; empty: clickhouse on PATH, else the library that npm installed",
        "empty, or the path of a file",
    )
    cluster: str = setting(
        "",
        "stores",
        "ClickHouse cluster: tables become Replicated and Distributed",
        "empty, or a cluster name of letters, digits, _ and -",
    )
    cluster_replicated: bool = setting(
        True,
        "stores",
        "false: each shard of the cluster is one server and none has a Keeper; its tables are not replicated, and what "
        "concerns all shards is sent to each that clickhouse_url names",
        "true or false",
    )
    shards: int = setting(
        1, "stores", "ClickHouse shards that hits are spread over", "a whole number from 1 to 1024", ge=1, le=1024
    )
    app_database_url: str = setting(
        "",
        "stores",
        "sites, keys and salts; empty: SQLite in the data folder",
        "empty, postgresql://user:password@host/database or sqlite:///path",
        hidden="password",
    )
    redis_url: str = setting(
        "",
        "stores",
        "shares cache, rate limits and the task queue, and pushes changes at once; empty: each process has its own, "
        "the queue is a file, and changes are seen within a second",
        "empty, redis:// or rediss:// URL",
        hidden="password",
    )

    cache_max_bytes: int = setting(
        32 * 1024 * 1024,
        "stores",
        "bytes of remembered answers in each process",
        "a whole number from 0 to 1073741824",
        ge=0,
        le=1024 * 1024 * 1024,
    )

    @field_validator("cluster")
    @classmethod
    def _cluster_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]*", value):
            raise ValueError("not a cluster name")
        return value

    @field_validator("clickhouse_url")
    @classmethod
    def _clickhouse(cls, value: str) -> str:
        # Several shards and replicas may be named, which no general URL parser takes apart.
        if value and not re.match(r"clickhouses?://[^/]", value):
            raise ValueError("not such a URL")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str) -> str:
        return checked_url(value, ("redis", "rediss", "unix"))

    @field_validator("app_database_url")
    @classmethod
    def _app_database(cls, value: str) -> str:
        if value.startswith("sqlite:///") and len(value) > len("sqlite:///"):
            return value
        return checked_url(value, ("postgresql", "postgres", "postgresql+psycopg"))
