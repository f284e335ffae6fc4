"""Umami's own tracker script, as Umami publishes it, for the tests that send its hits to Footfall unchanged.

npm's package `umami` (MIT) is Umami itself: installing it would bring its whole server with fifty dependencies. Only
the archive is fetched, once, by `npm pack`; its checksum is the one npm's lock files would carry. The tracker's source
is a plain script that browsers run as it is: Umami's own build only makes it smaller.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
from pathlib import Path

VERSION = "2.10.0"
INTEGRITY = "sha512-+lmrnV0751R6U2rkIgVAlE1nWI7yZawlMlJDguW9tlFacCKhnGeCyc7tCMIhNNYIiGIQy4DEX5IzJhm4b3+dPA=="
TRACKER = "package/src/tracker/index.js"

# Beside the Makefile's stamps, which `make clean` removes.
FOLDER = Path(__file__).resolve().parents[2] / ".make"


class WrongArchiveError(RuntimeError):
    """What npm fetched is not the archive we pinned. It was removed."""


def umami_tracker() -> str:
    """The script that a page includes with `data-website-id`; it posts to /api/send beside its own address."""
    archive = FOLDER / f"umami-{VERSION}.tgz"
    if not archive.exists():
        FOLDER.mkdir(exist_ok=True)
        command = ["npm", "pack", "--silent", f"umami@{VERSION}", "--pack-destination", str(FOLDER)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        archive.unlink()
        raise WrongArchiveError(f"umami {VERSION} has checksum sha512-{digest}")
    with tarfile.open(archive) as package:
        member = package.extractfile(TRACKER)
        assert member is not None, TRACKER
        return member.read().decode()
