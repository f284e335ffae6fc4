"""The real programs that tests and benchmarks run against: where they are, what installs them, what skips them.

As a module: `program("redis-server")` gives a test the path of a program, or skips the test when its service is named
in FOOTFALL_SKIP_SERVICES, or fails it. Nothing is ever skipped because it is merely absent.

As a command (`make test` calls it): `python -m tests.services --install [SERVICE …]` installs what is missing when it
is root on a machine with apt, otherwise it names what is missing and exits 1. Installing starts no system service:
tests start their own processes on free loopback ports.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SKIP_VARIABLE = "FOOTFALL_SKIP_SERVICES"

# Debian installs servers here, and an ordinary user's PATH lacks them.
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin")

# Debian asks this script whether a package may start its service; 101 is "no" (invoke-rc.d's documented answer).
POLICY_SCRIPT = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\nexit 101\n"


@dataclass(frozen=True)
class Service:
    """One service: the programs it consists of and the Debian packages that carry them."""

    programs: tuple[str, ...]
    debian_packages: tuple[str, ...]


SERVICES: dict[str, Service] = {
    "redis": Service(("redis-server",), ("redis-server",)),
    "nginx": Service(("nginx",), ("nginx",)),
    "wrk": Service(("wrk",), ("wrk",)),
    "chromium": Service(("chromium", "chromedriver"), ("chromium", "chromium-driver")),
    "postgresql": Service(("postgres", "initdb"), ("postgresql",)),
}


class MissingProgramError(RuntimeError):
    """A program is not installed. The message names it, its service and what installs it."""


def find_program(name: str) -> Path | None:
    """The path of a program, looked for on PATH, in the system folders and in Debian's versioned PostgreSQL folders."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *SYSTEM_FOLDERS]
    folders += sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    found = shutil.which(name, path=os.pathsep.join(folders))
    return Path(found) if found else None


def skipped_services() -> frozenset[str]:
    """The services named in FOOTFALL_SKIP_SERVICES; an unknown name is an error, since it would skip nothing."""
    names = frozenset(filter(None, (name.strip() for name in os.environ.get(SKIP_VARIABLE, "").split(","))))
    unknown = names - SERVICES.keys()
    if unknown:
        raise SystemExit(
            f"{SKIP_VARIABLE}: no such service: {', '.join(sorted(unknown))}; known: {', '.join(SERVICES)}"
        )
    return names


def missing_services(names: list[str]) -> list[str]:
    """Those of `names` that lack a program and are not skipped on purpose."""
    skipped = skipped_services()
    return [n for n in names if n not in skipped and not all(map(find_program, SERVICES[n].programs))]


def program(name: str) -> Path:
    """For tests: the path of `name`. Skips the running test when its service is skipped on purpose; fails it when
    absent.
    """
    import pytest

    service = next(key for key, value in SERVICES.items() if name in value.programs)
    if service in skipped_services():
        pytest.skip(f"{service} is named in {SKIP_VARIABLE}")
    found = find_program(name)
    if found is None:
        packages = " ".join(SERVICES[service].debian_packages)
        raise MissingProgramError(f"{name} is not installed (Debian: {packages}); {SKIP_VARIABLE}={service} skips it")
    return found


@contextlib.contextmanager
def services_stay_stopped() -> Iterator[None]:
    """While it is open, installing a package starts no daemon."""
    if POLICY_SCRIPT.exists():
        yield
        return
    POLICY_SCRIPT.write_text(POLICY_TEXT)
    POLICY_SCRIPT.chmod(0o755)
    try:
        yield
    finally:
        POLICY_SCRIPT.unlink()


def install(names: list[str]) -> int:
    """Install the missing ones of `names`; 0 when nothing is missing afterwards."""
    skipped = sorted(skipped_services() & set(names))
    if skipped:
        print(f"{SKIP_VARIABLE}: tests of {', '.join(skipped)} are skipped on purpose")
    missing = missing_services(names)
    packages = [package for name in missing for package in SERVICES[name].debian_packages]
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {' '.join(packages)}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        with services_stay_stopped():
            for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
                done = subprocess.run(
                    ["apt-get", "-qq", *arguments],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stdin=subprocess.DEVNULL,
                    check=False,
                )
                if done.returncode != 0:
                    print(f"apt-get {arguments[0]} failed ({done.returncode})", file=sys.stderr)
                    break
        missing = missing_services(names)
    for name in missing:
        service = SERVICES[name]
        print(
            f"missing: {name} ({', '.join(service.programs)}; Debian: {' '.join(service.debian_packages)}). "
            f"Install it, or skip its tests with {SKIP_VARIABLE}={name}",
            file=sys.stderr,
        )
    return 1 if missing else 0


def main() -> int:
    """The command `make test` runs before pytest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--install", nargs="*", metavar="SERVICE", required=True, choices=[*SERVICES, []], default=[])
    arguments = parser.parse_args()
    return install(arguments.install or list(SERVICES))
