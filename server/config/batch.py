"""The settings that may change while running; `server.batch_settings` reloads them from a mounted file."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from server.config.setting import setting


class Durability(StrEnum):
    """What the answer to a hit promises: it survives the process, or the loss of power too."""

    PROCESS = "process"
    POWER = "power"


class BatchSettings(BaseModel):
    """The settings that may change while running: how hits are gathered into batches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # A batch is one INSERT: fewer rows cost ClickHouse parts, more cost memory while a block is built.
    batch_max_rows: int = setting(
        100_000,
        "batches",
        "rows in a segment before it is sealed",
        "a whole number from 1 to 1000000",
        ge=1,
        le=1_000_000,
    )
    batch_max_bytes: int = setting(
        24 * 1024 * 1024,
        "batches",
        "bytes in a segment before it is sealed",
        "a whole number from 65536 to 268435456",
        ge=64 * 1024,
        le=256 * 1024 * 1024,
    )
    batch_max_age_ms: int = setting(
        1000,
        "batches",
        "age of a segment before it is sealed; a fleet multiplies it by its pods: at most 2 INSERTs/s per shard",
        "a whole number from 50 to 600000",
        ge=50,
        le=600_000,
    )
    spool_max_bytes: int = setting(
        4 * 1024 * 1024 * 1024,
        "batches",
        "bytes the spool of one process may hold; beyond it hits are answered 503",
        "a whole number of at least 1048576",
        ge=1024 * 1024,
    )
    durability: Durability = setting(
        Durability.PROCESS,
        "batches",
        "what an answered hit survives: a killed process, or the loss of power",
        "process or power",
    )
    flush_parallelism: int = setting(
        1, "batches", "INSERTs under way at once per process", "a whole number from 1 to 16", ge=1, le=16
    )


class BatchFileSettings(BaseModel):
    """Where the live reload reads from."""

    batch_settings_file: str = setting(
        "",
        "batches",
        "mounted file that overrides the batch settings while running",
        "empty, or the path of a file of `name: value` lines or JSON",
    )
