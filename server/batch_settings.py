"""Batch settings that are reloaded while running, from a file that a ConfigMap mounts.

The file holds `name: value` lines (`#` starts a comment), or a JSON object. What it leaves out keeps the value of the
environment. An invalid file changes nothing: the values in force stay, the reason is logged once per content, and the
metric `footfall_batch_settings_invalid` is 1 until the file is right again. A file that is missing is invalid too: a
ConfigMap update swaps a link, so a healthy mount always has it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from server.config import BatchSettings
from server.metrics import BATCH_SETTINGS_INVALID, BATCH_SETTINGS_RELOADS

log = logging.getLogger(__name__)

# The file is a few hundred bytes: reading it each second costs nothing and needs no notification interface, which
# would not work on every volume.
POLL_INTERVAL_S = 1.0

# A file beyond this size is no settings file.
MAX_FILE_BYTES = 64 * 1024


class BatchSettingsError(ValueError):
    """The file's content is not allowed; `str()` is one line that names the setting and what is allowed."""


def parse_batch_settings(content: bytes, base: BatchSettings) -> BatchSettings:
    """The settings that the file asks for, on top of `base`. Raises `BatchSettingsError`."""
    if len(content) > MAX_FILE_BYTES:
        raise BatchSettingsError(f"the file has more than {MAX_FILE_BYTES} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise BatchSettingsError("the file is not UTF-8") from None
    values: dict[str, Any] = _json_values(content) if text.lstrip().startswith("{") else _line_values(text)
    for name in values:
        if name not in BatchSettings.model_fields:
            raise BatchSettingsError(f"{name} is not a batch setting; allowed: {', '.join(BatchSettings.model_fields)}")
    try:
        return BatchSettings(**{**base.model_dump(), **values})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        extra = BatchSettings.model_fields[name].json_schema_extra
        allowed = extra["allowed"] if isinstance(extra, dict) else ""
        raise BatchSettingsError(f"{name}={first['input']} is not allowed: expected {allowed}") from None


def _json_values(content: bytes) -> dict[str, Any]:
    try:
        values = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BatchSettingsError(f"the file is not valid JSON: {error}") from None
    return {str(name): value for name, value in values.items()}


def _line_values(text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.partition("#")[0].strip()
        if not stripped or stripped == "---":
            continue
        name, colon, value = stripped.partition(":")
        if not colon:
            raise BatchSettingsError(f"line {number} is not `name: value`")
        name = name.strip().lower()
        if name in values:
            raise BatchSettingsError(f"line {number} gives {name} a second time")
        values[name] = value.strip().strip("\"'")
    return values


class BatchSettingsWatcher(threading.Thread):
    """Reads the file every second; calls `apply`, from its own thread, with settings that are not in force yet."""

    def __init__(self, path: Path, base: BatchSettings, apply: Callable[[BatchSettings], None]) -> None:
        super().__init__(name="batch-settings", daemon=True)
        self._path = path
        self._base = base
        self._apply = apply
        self._in_force = base
        self._last_seen: bytes | None = None
        self._stopping = threading.Event()

    def check(self) -> None:
        """One look at the file."""
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            self._refuse(f"cannot be read: {error.strerror}", b"")
            return
        if content == self._last_seen:
            return
        try:
            settings = parse_batch_settings(content, self._base)
        except BatchSettingsError as error:
            self._refuse(str(error), content)
            return
        self._last_seen = content
        BATCH_SETTINGS_INVALID.set(0)
        if settings != self._in_force:
            self._apply(settings)
            self._in_force = settings
            BATCH_SETTINGS_RELOADS.inc()
            log.info("batch settings reloaded", extra=settings.model_dump(mode="json"))

    def run(self) -> None:
        """Look every second until `stop`."""
        while not self._stopping.wait(POLL_INTERVAL_S):
            self.check()

    def stop(self) -> None:
        """End the thread soon."""
        self._stopping.set()

    def _refuse(self, reason: str, content: bytes) -> None:
        BATCH_SETTINGS_INVALID.set(1)
        if content != self._last_seen:
            log.error("the batch settings file is not used", extra={"file": str(self._path), "reason": reason})
            self._last_seen = content
