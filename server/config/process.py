"""What the processes are: their folder, number, role, log and key."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, field_validator

from server.config.setting import setting


class Role(StrEnum):
    """What the processes of this `serve` do."""

    ALL = "all"
    COLLECT = "collect"
    WEB = "web"


class ProcessSettings(BaseModel):
    """Group `process`."""

    data_dir: Path = setting(
        Path(".footfall"),
        "process",
        "folder of the spool, the quarantine and the embedded stores",
        "a folder this user may write to",
    )
    role: Role = setting(
        Role.ALL, "process", "what the processes do: take hits, show pages, or both", "all, collect or web"
    )
    processes: int = setting(1, "process", "processes that share the port", "a whole number from 1 to 64", ge=1, le=64)
    # The work is waiting for databases and mail servers, so threads serve it; a fleet runs `footfall worker` instead.
    worker_threads: int = setting(
        2,
        "process",
        "threads of the worker process beside the others: jobs, mail, imports, exports; 0: none here",
        "a whole number from 0 to 64",
        ge=0,
        le=64,
    )
    stop_grace_s: float = setting(
        20.0,
        "process",
        "seconds a stopping process may spend on open requests and on flushing",
        "a number from 0 to 3600",
        ge=0,
        le=3600,
    )
    log_level: str = setting(
        "info", "process", "least severe log line that is written", "debug, info, warning or error"
    )
    secret_key: str = setting(
        "",
        "process",
        "encrypts the saved salts; empty: made at first start in the data folder. A fleet shares one",
        "empty, or at least 32 characters",
        hidden="whole",
    )
    first_site_domain: str = setting(
        "localhost", "process", "domain of the site that the first start makes", "a domain name"
    )

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        # Children have working folders of their own.
        return value.absolute()

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("unknown level")
        return value.lower()

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: str) -> str:
        if value and len(value) < 32:
            raise ValueError("too short")
        return value

    @property
    def spool_root(self) -> Path:
        """One folder per process stands in it."""
        return self.data_dir / "spool"

    @property
    def quarantine_dir(self) -> Path:
        """Segments and damaged ranges that the store refused for good."""
        return self.data_dir / "quarantine"
