"""The tracker, which pages of every origin load: `server/tracker/built/`, as `npm run build` left it there.

| address | file |
|---|---|
| the setting `script_path` | the core |
| the same with `?more` at the end of its query | what the core loads after the page's `load` |
| the same with `.mjs` in place of `.js` | all of it as a module |
| `/js/script.js`, `/js/script.hash.js` and other variants | the core under Plausible's names |

The second has no path of its own so that a proxy of the site's, and a Content-Security-Policy that names the script,
need to know one path only. Each answer has a strong ETag of its own, by content and encoding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from server.accounts.access import PUBLIC
from server.handler import AppContext, BaseHandler
from server.pages.assets import CONTENT_TYPES
from server.pages.built_assets import ENCODINGS, NotBuilt

TRACKER_DIR = Path(__file__).parent.parent / "tracker" / "built"

CORE, MORE, MODULE, PLAUSIBLE = "footfall.js", "footfall.more.js", "footfall.mjs", "footfall.plausible.js"

# What Plausible's own script is called, with the names of its extensions (plausible.io/docs/script-extensions).
PLAUSIBLE_PATH = r"/js/script(?:\.[a-z-]{1,30}){0,12}\.js"

# Scripts that pages of other sites load change with a release: an hour bounds how long a browser keeps the old one.
SCRIPT_MAX_AGE_S = 3600


@dataclass(frozen=True)
class Script:
    """One file in each encoding that there is, the best one first, and as it is under the last, empty name."""

    bodies: tuple[tuple[str, bytes], ...]


@cache
def script(name: str, folder: Path = TRACKER_DIR) -> Script:
    """A file of the build. Raises `NotBuilt`."""
    path = folder / name
    if not path.is_file():
        raise NotBuilt(f"{name} was not built: run `make build`")
    packed = [(encoding, path.with_name(f"{name}.{ending}")) for ending, encoding in ENCODINGS]
    return Script((*((encoding, at.read_bytes()) for encoding, at in packed if at.is_file()), ("", path.read_bytes())))


def accepted_encodings(header: str) -> frozenset[str]:
    """What an `Accept-Encoding` names, without what it refuses by a weight of 0 (RFC 9110, 12.5.3)."""
    parts = (part.partition(";") for part in header.lower().split(","))
    return frozenset(name.strip() for name, _, weight in parts if not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight))


class ScriptHandler(BaseHandler):
    """One of the files; Tornado answers 304 to a matching `If-None-Match`."""

    access = PUBLIC

    def initialize(self, app_context: AppContext, name: str = CORE) -> None:
        """`name`: the file at this address, unless the query asks for the rest."""
        super().initialize(app_context)
        self._name = name

    def get(self) -> None:
        """Send the file in the best encoding that the browser takes."""
        asked = MORE if self._name != MODULE and self.request.query.endswith("more") else self._name
        accepted = accepted_encodings(self.request.headers.get("Accept-Encoding", ""))
        encoding, body = next(form for form in script(asked).bodies if form[0] in accepted or not form[0])
        if encoding:
            self.set_header("Content-Encoding", encoding)
        self.set_header("Vary", "Accept-Encoding")
        self.set_header("Content-Type", CONTENT_TYPES[".js"])
        self.set_header("Cache-Control", f"public, max-age={SCRIPT_MAX_AGE_S}")
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")
        self.set_header("Access-Control-Allow-Origin", "*")
        self.write(body)

    head = get


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    path = app_context.settings.script_path
    module_path = path.removesuffix(".js") + ".mjs"
    return [
        (re.escape(path), ScriptHandler, {"app_context": app_context}),
        (re.escape(module_path), ScriptHandler, {"app_context": app_context, "name": MODULE}),
        (PLAUSIBLE_PATH, ScriptHandler, {"app_context": app_context, "name": PLAUSIBLE}),
    ]
