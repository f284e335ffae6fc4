"""The data folder: made at the first start for this user alone, with a key and a name of its own.

| file | what |
|---|---|
| `secret_key` | encrypts the saved salts, unless the setting names a key; losing it costs the saved snapshot only |
| `home_id` | names this folder's watermarks in the app database, which other machines share |
| `local_key` | the API key of the `curl` line that the first start prints |
| `footfall.sqlite`, `spool/`, `quarantine/`, `clickhouse/`, `snapshot.json` | each told by its own module |
"""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Callable
from pathlib import Path

from server.config import PREFIX, SettingError, Settings
from server.snippet import LOCAL_KEY_NAME


def prepare_data_folder(settings: Settings) -> None:
    """Make the folder with its subfolders, readable by this user alone. Raises `SettingError` when it cannot be."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.data_dir.chmod(0o700)
        settings.spool_root.mkdir(mode=0o700, exist_ok=True)
        settings.quarantine_dir.mkdir(mode=0o700, exist_ok=True)
        load_secret_key(settings)
        home_id(settings)
    except OSError as error:
        value = f"{settings.data_dir} ({error.strerror})"
        raise SettingError(f"{PREFIX}DATA_DIR", value, "a folder this user may write to") from None


def load_secret_key(settings: Settings) -> str:
    """The secret key: of the settings, else of the data folder, where it is made when missing."""
    return settings.secret_key or _kept(settings.data_dir / "secret_key", lambda: secrets.token_hex(32))


def home_id(settings: Settings) -> str:
    """The data folder's name: 32 hex digits that no other has."""
    return _kept(settings.data_dir / "home_id", lambda: uuid.uuid4().hex)


def local_key(settings: Settings) -> str:
    """The API key of the first start."""
    return _kept(settings.data_dir / LOCAL_KEY_NAME, lambda: "ff_" + secrets.token_urlsafe(32))


def _kept(path: Path, make: Callable[[], str]) -> str:
    """The text of a file that is written once, whole or not at all."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(make() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)  # the first process wins
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return path.read_text().strip()
