"""What every step needs: a core of its own and a release build when it is timed, and the same traffic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.harness import WrongBuildError, choose_cpus, pinned, require_release_build
from bench.in_process import in_process_collector
from bench.micro.children import StepsChild, steps_child
from bench.traffic import Hit, TrafficMix, event_body, generate_hits, http_request

HITS = 5_000
PIPELINED = 50
SITE = "example.com"


@pytest.fixture(scope="session")
def is_timed(request: pytest.FixtureRequest) -> bool:
    """Whether steps are timed, or only run once."""
    return not request.config.getoption("benchmark_disable") or bool(request.config.getoption("benchmark_enable"))


def refuse_other_builds() -> None:
    """End the session when an extension is no release build."""
    try:
        require_release_build(any_build=False)
    except WrongBuildError as error:
        pytest.exit(str(error), returncode=2)


@pytest.fixture(scope="session", autouse=True)
def quiet_core(is_timed: bool) -> Iterator[None]:
    """A timed session is pinned; one of builds that mean nothing is refused."""
    if not is_timed:
        yield
        return
    refuse_other_builds()
    with pinned(choose_cpus().server):
        yield


@pytest.fixture(scope="session")
def hits() -> list[Hit]:
    """Traffic of one site, the same in every run."""
    return list(generate_hits(HITS, seed=99, mix=TrafficMix(sites=(SITE,))))


@pytest.fixture(scope="session")
def requests(hits: list[Hit]) -> list[bytes]:
    """The hits as what a socket of a busy proxy delivers: pipelined requests."""
    single = [http_request(hit, host="localhost") for hit in hits]
    return [b"".join(single[start : start + PIPELINED]) for start in range(0, HITS, PIPELINED)]


@pytest.fixture(scope="session")
def segment(requests: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real segment: what the collector wrote for these hits."""
    with in_process_collector(tmp_path_factory.mktemp("segment"), [SITE]) as running:
        for group in requests:
            running.feed(group)
            running.settle()
        return max((path.read_bytes() for path in running.segments()), key=len)


@pytest.fixture(scope="session")
def bodies(hits: list[Hit]) -> list[bytes]:
    """The hits as JSON."""
    return [event_body(hit) for hit in hits]


@pytest.fixture(scope="session")
def steps(
    is_timed: bool, bodies: list[bytes], hits: list[Hit], segment: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StepsChild]:
    """Steps of the pure crate that nothing public does alone."""
    folder: Path = tmp_path_factory.mktemp("steps")
    (folder / "bodies.ndjson").write_bytes(b"\n".join(bodies) + b"\n")
    (folder / "agents.txt").write_text("".join(f"{hit.agent.text}\n" for hit in hits))
    (folder / "segment.seg").write_bytes(segment)
    with steps_child(folder, is_timed=is_timed) as child:
        yield child
