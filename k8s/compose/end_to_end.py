"""The end-to-end suite: what a visitor and an operator do, through the proxy, against an installation that runs.

    cd k8s/compose
    python3 end_to_end.py --url http://localhost:8080 -- docker compose exec -T footfall footfall

What stands after `--` runs `footfall` in the installation. Python's own library is enough. Prints a line for each check
and exits 1 at the first that fails. It adds a site of its own name and leaves it there.
"""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

TIMEOUT_S = 10.0
# A batch waits a second, then is stored; a busy machine takes longer.
STORED_WITHIN_S = 60.0

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class CheckFailed(AssertionError):
    """An installation does not do what it should. The message says what was expected and what was seen."""


class Installation:
    """One that runs: its public address, and how to run a command in it."""

    def __init__(self, url: str, command: list[str]) -> None:
        self.url = url.rstrip("/")
        self._command = command

    def footfall(self, *arguments: str) -> str:
        """Run `footfall …`; its output. Raises `CheckFailed` when it fails."""
        done = subprocess.run([*self._command, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CheckFailed(f"footfall {' '.join(arguments)} exits {done.returncode}: {done.stderr[-500:]}")
        return done.stdout

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], str]:
        """A request; status, headers and body of the answer, whatever the status is."""
        content = None if body is None else json.dumps(body).encode()
        given = {"User-Agent": AGENT, **{name.replace("_", "-"): value for name, value in headers.items()}}
        # The address is the operator's own, given on the command line.
        request = urllib.request.Request(self.url + path, content, given)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return answer.status, dict(answer.headers), answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read().decode(errors="replace")


def expect(what: str, seen: object, expected: object) -> None:
    """Raise `CheckFailed` unless they are equal."""
    if seen != expected:
        raise CheckFailed(f"{what}: expected {expected!r}, saw {seen!r}")


def eventually(what: str, look: Callable[[], bool], within_s: float = STORED_WITHIN_S) -> None:
    """Look again and again until it is so."""
    ends_at_s = time.monotonic() + within_s
    while not look():
        if time.monotonic() > ends_at_s:
            raise CheckFailed(f"{what}: not within {within_s:.0f} s")
        time.sleep(0.5)


def probes(installation: Installation, domain: str) -> None:
    """It is live and ready, and shows no metrics to strangers."""
    eventually("/readyz answers 200", lambda: installation.ask("/readyz")[0] == 200)
    expect("/healthz", installation.ask("/healthz")[0], 200)
    expect("/metrics", installation.ask("/metrics")[0], 404)


def pages(installation: Installation, domain: str) -> None:
    """The start page and the script are there."""
    status, headers, _ = installation.ask("/")
    expect("the start page", status, 200)
    if "Content-Security-Policy" not in headers:
        raise CheckFailed("the start page has no Content-Security-Policy")
    status, _, script = installation.ask("/js/footfall.js")
    expect("the script", (status, "pageview" in script), (200, True))


def hits(installation: Installation, domain: str) -> None:
    """Hits by each of the ways that need no key are taken, and stored."""
    installation.footfall("sites", "add", domain)
    url = f"https://{domain}/"

    def first_hit_is_taken() -> bool:
        body = {"n": "pageview", "u": url, "d": domain}
        status, headers, _ = installation.ask("/api/event", body, Content_Type="text/plain")
        return status == 202 and "X-Footfall-Dropped" not in headers

    eventually("a hit of the new site is taken", first_hit_is_taken)
    for number in range(9):
        body = {"n": "pageview", "u": f"{url}page-{number}", "d": domain}
        status, headers, _ = installation.ask("/api/event", body, Content_Type="text/plain")
        expect("a hit", (status, headers.get("X-Footfall-Dropped")), (202, None))
    status, _, _ = installation.ask(f"/hit.gif?d={domain}&p=/mail")
    expect("the image", status, 200)
    eventually("eleven rows are stored", lambda: "11 rows" in installation.footfall("count", "--site", domain))


def the_client_is_who_connects(installation: Installation, domain: str) -> None:
    """Nobody can say to be somebody else."""
    body = {"n": "pageview", "u": f"https://{domain}/", "d": domain}
    _, _, answer = installation.ask(
        "/api/event", body, Content_Type="text/plain", X_Debug_Request="true", X_Forwarded_For="203.0.113.77"
    )
    if "203.0.113.77" in answer:
        raise CheckFailed("an address that the client made up is believed")


def unknown_sites(installation: Installation, domain: str) -> None:
    """A hit of nobody's site says so."""
    body = {"n": "pageview", "u": "https://nobody.invalid/", "d": "nobody.invalid"}
    status, headers, _ = installation.ask("/api/event", body, Content_Type="text/plain")
    expect("a hit of an unknown site", (status, headers.get("X-Footfall-Dropped")), (202, "unknown_site"))


def account(installation: Installation, domain: str) -> None:
    """Every answered hit is accounted for."""
    installation.footfall("audit")


CHECKS = (probes, pages, hits, the_client_is_who_connects, unknown_sites, account)


def main(arguments: list[str] | None = None) -> int:
    """Run every check; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", required=True, help="the public address")
    parser.add_argument("command", nargs="+", help="what runs `footfall` there")
    given = parser.parse_args(arguments)
    installation = Installation(given.url, given.command)
    domain = f"end-to-end-{secrets.token_hex(4)}.example"
    for check in CHECKS:
        try:
            check(installation, domain)
        except (CheckFailed, OSError) as error:
            print(f"FAILED {check.__name__}: {error}")
            return 1
        print(f"ok {check.__name__}")
    print(f"{len(CHECKS)} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
