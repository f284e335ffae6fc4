"""How much may be brought from elsewhere at once, and where it waits."""

from __future__ import annotations

from pydantic import BaseModel

from server.config.setting import setting


class ImportSettings(BaseModel):
    """Group `imports`."""

    imports_dir: str = setting(
        "",
        "imports",
        "folder of uploaded files until they are imported; empty: in the data folder. Several machines share one",
        "empty, or a folder this user may write to",
    )
    # A year of a busy site's access log, compressed.
    import_max_bytes: int = setting(
        2 * 1024 * 1024 * 1024,
        "imports",
        "bytes of one uploaded file",
        "a whole number from 1048576 to 1099511627776",
        ge=1024 * 1024,
        le=1024**4,
    )
    import_quota_bytes: int = setting(
        8 * 1024 * 1024 * 1024,
        "imports",
        "bytes of the files of one account that wait to be imported",
        "a whole number from 1048576 to 1099511627776",
        ge=1024 * 1024,
        le=1024**4,
    )
