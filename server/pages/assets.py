"""Styles and scripts that are part of the package, under names that carry a hash of their content.

`/assets/footfall.0123456789ab.css` never changes, so browsers keep it for a year; a new release has new names.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from tornado.web import HTTPError

from server.accounts.access import PUBLIC
from server.handler import AppContext, BaseHandler

PAGES_DIR = Path(__file__).parent

# RFC 9111 knows no "for ever"; a year is what caches take for it.
HASHED_CACHE_CONTROL = "public, max-age=31536000, immutable"

CONTENT_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

HASH_CHARS = 12

NAMES = frozenset(("footfall.css", "admin.css", "landing.css", "pages.js", "scheme.js", "imports.js", "demo.js"))


@cache
def asset_url(name: str) -> str:
    """The address of an asset as it is now."""
    path = Path(name)
    digest = hashlib.sha256((PAGES_DIR / name).read_bytes()).hexdigest()[:HASH_CHARS]
    return f"/assets/{path.stem}.{digest}{path.suffix}"


class AssetHandler(BaseHandler):
    """`/assets/<name>.<hash>.<ending>`; a hash of another release is not found, so nothing wrong is ever kept."""

    access = PUBLIC

    def get(self, stem: str, suffix: str) -> None:
        """Send the file."""
        name = f"{stem}{suffix}"
        if name not in NAMES or self.request.path != asset_url(name):
            raise HTTPError(404)
        self.set_header("Content-Type", CONTENT_TYPES[suffix])
        self.set_header("Cache-Control", HASHED_CACHE_CONTROL)
        self.write((PAGES_DIR / name).read_bytes())

    head = get


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    return [(r"/assets/([a-z]+)\.[0-9a-f]{12}(\.css|\.js)", AssetHandler, {"app_context": app_context})]
