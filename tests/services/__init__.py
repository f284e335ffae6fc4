"""The real programs that tests and benchmarks run against: where they are, what installs them, what skips them.

As a module: `program("redis-server")` gives a test the path of a program, or skips the test when its service is named
in FOOTFALL_SKIP_SERVICES, or fails it. Nothing is ever skipped because it is merely absent.

As a command (`make test` calls it): `python -m tests.services --install [SERVICE …]` installs what is missing: Debian
packages when it is root on a machine with apt, Go modules into `.make/bin` where there is a Go toolchain. Otherwise it
names what is missing and exits 1. Installing starts no system service: tests start their own processes on free loopback
ports.
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
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/share/zookeeper/bin")

# Where programs that are built from Go modules are put.
GO_BIN = Path(__file__).resolve().parents[2] / ".make" / "bin"

# Debian asks this script whether a package may start its service; 101 is "no" (invoke-rc.d's documented answer).
POLICY_SCRIPT = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\nexit 101\n"


@dataclass(frozen=True)
class Service:
    """One service: the programs it consists of, and the Debian packages or the Go module that carry them."""

    programs: tuple[str, ...]
    debian_packages: tuple[str, ...] = ()
    go_module: str = ""
    instead: tuple[str, ...] = ()
    """Programs of which any one does as well."""

    @property
    def source(self) -> str:
        """What installs it, for people."""
        if self.go_module:
            return f"go install {self.go_module}"
        return f"Debian: {' '.join(self.debian_packages)}"

    @property
    def is_here(self) -> bool:
        """Whether nothing needs to be installed."""
        return all(map(find_program, self.programs)) or any(map(find_program, self.instead))


SERVICES: dict[str, Service] = {
    "redis": Service(("redis-server",), ("redis-server",)),
    "nginx": Service(("nginx",), ("nginx",)),
    "wrk": Service(("wrk",), ("wrk",)),
    "chromium": Service(("chromium", "chromedriver"), ("chromium", "chromium-driver")),
    "zookeeper": Service(("zkServer.sh",), ("zookeeper",)),
    "postgresql": Service(("postgres", "initdb"), ("postgresql",)),
    # Stripe's own double of its API: it knows the specification and remembers nothing.
    "stripe-mock": Service(("stripe-mock",), go_module="github.com/stripe/stripe-mock@v0.203.0"),
    # Checks alert rules, and runs them over made-up series.
    "promtool": Service(("promtool",), ("prometheus",)),
    # Builds the overlays; kubectl has it built in.
    "kustomize": Service(("kustomize",), go_module="sigs.k8s.io/kustomize/kustomize/v5@v5.5.0", instead=("kubectl",)),
}


class MissingProgramError(RuntimeError):
    """A program is not installed. The message names it, its service and what installs it."""


def find_program(name: str) -> Path | None:
    """The path of a program: on PATH, in the system folders, in Debian's PostgreSQL folders, or built here."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *SYSTEM_FOLDERS, str(GO_BIN)]
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
    return [n for n in names if n not in skipped and not SERVICES[n].is_here]


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
        source = SERVICES[service].source
        raise MissingProgramError(f"{name} is not installed ({source}); {SKIP_VARIABLE}={service} skips it")
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
        if SERVICES[name].go_module:
            install_go_module(SERVICES[name].go_module)
    missing = missing_services(names)
    for name in missing:
        service = SERVICES[name]
        print(
            f"missing: {name} ({', '.join(service.programs)}; {service.source}). "
            f"Install it, or skip its tests with {SKIP_VARIABLE}={name}",
            file=sys.stderr,
        )
    return 1 if missing else 0


def install_go_module(module: str) -> None:
    """Build a program of a Go module at a version into `GO_BIN`, as far as there is a Go toolchain."""
    go = shutil.which("go")
    if go is None:
        print("there is no Go toolchain here", file=sys.stderr)
        return
    print(f"building {module}", flush=True)
    GO_BIN.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(GO_BIN), "GOFLAGS": "-trimpath"}
    done = subprocess.run([go, "install", module], env=environment, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        print(f"go install failed ({done.returncode})", file=sys.stderr)


def main() -> int:
    """The command `make test` runs before pytest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--install", nargs="*", metavar="SERVICE", required=True, choices=[*SERVICES, []], default=[])
    arguments = parser.parse_args()
    return install(arguments.install or list(SERVICES))
