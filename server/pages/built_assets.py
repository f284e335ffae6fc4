"""The scripts and styles that `dashboards/` is built into, as `server/pages/built` holds them.

`manifest.json` there says which hashed names belong to which entry. A name carries a hash of its content, so browsers
keep it for a year. Each file lies there compressed too and is sent as it lies.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tornado.web import HTTPError

from server.accounts.access import PUBLIC
from server.handler import AppContext, BaseHandler
from server.pages.assets import CONTENT_TYPES, HASHED_CACHE_CONTROL, PAGES_DIR

BUILT_DIR = PAGES_DIR / "built"
BUILT_URL = "/assets/built/"

# The better one first; each is the ending of the file and the name of the encoding (RFC 9110, 8.4.1).
ENCODINGS = (("br", "br"), ("gz", "gzip"))


class NotBuilt(RuntimeError):
    """`server/pages/built` lacks an entry: the dashboard was never built, or by another release. `make build` does."""


@dataclass(frozen=True)
class Entry:
    """What a page has to name: its script, what that imports, and its styles. All are addresses."""

    script: str
    imports: tuple[str, ...]
    styles: tuple[str, ...]


@cache
def entry(name: str, folder: Path = BUILT_DIR) -> Entry:
    """An entry of the build, such as `src/dashboard.tsx`. Raises `NotBuilt`."""
    try:
        manifest: dict[str, dict[str, Any]] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        found = manifest[name]
    except (OSError, KeyError, ValueError) as error:
        raise NotBuilt(f"{name} is not among what was built: run `make build`") from error
    seen: dict[str, None] = {}
    waiting = list(found.get("imports", ()))
    while waiting:
        part = waiting.pop(0)
        if part not in seen:
            seen[part] = None
            waiting += manifest[part].get("imports", ())
    styles = [*(style for part in seen for style in manifest[part].get("css", ())), *found.get("css", ())]
    return Entry(
        script=BUILT_URL + found["file"],
        imports=tuple(BUILT_URL + manifest[part]["file"] for part in seen),
        styles=tuple(BUILT_URL + style for style in styles),
    )


class BuiltAssetHandler(BaseHandler):
    """`/assets/built/<name>.<hash>.<ending>`"""

    access = PUBLIC

    def get(self, name: str, suffix: str) -> None:
        """Send the file in the best encoding that the browser takes; 404 for one of another release."""
        path = BUILT_DIR / f"{name}{suffix}"
        if not path.is_file():
            raise HTTPError(404)
        accepted = {
            part.partition(";")[0].strip() for part in self.request.headers.get("Accept-Encoding", "").split(",")
        }
        for ending, encoding in ENCODINGS:
            packed = path.with_name(f"{path.name}.{ending}")
            if encoding in accepted and packed.is_file():
                self.set_header("Content-Encoding", encoding)
                path = packed
                break
        self.set_header("Content-Type", CONTENT_TYPES[suffix])
        self.set_header("Cache-Control", HASHED_CACHE_CONTROL)
        self.set_header("Vary", "Accept-Encoding")
        self.write(path.read_bytes())

    head = get


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    return [
        (r"/assets/built/([A-Za-z_-]{1,40}\.[0-9a-f]{12})(\.css|\.js)", BuiltAssetHandler, {"app_context": app_context})
    ]
