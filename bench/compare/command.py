"""The command line of `python -m bench compare`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.compare import callgrind, timed
from bench.compare.builds import Build, BuildError, built
from bench.compare.callgrind import Count, NoValgrindError
from bench.compare.front import running_front
from bench.compare.inputs import prepared
from bench.compare.intervals import Compared
from bench.compare.probe import PATHS
from bench.harness import Run, choose_cpus, pinned
from bench.suites.front import Load

# How many of the largest and of the most changed functions are listed.
FUNCTIONS = 8

FRONT = "front"
UNITS = {"record": "ns/hit", "encode": "ns/row", "agents": "ns/agent", FRONT: "ns/hit"}


def parse(arguments: list[str]) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench compare", description="What a change costs, hit by hit; exits 1 on a regression."
    )
    parser.add_argument("base", metavar="BASE", help="the commit to compare with, such as origin/main or HEAD~3")
    parser.add_argument("head", metavar="HEAD", nargs="?", default="HEAD", help="the commit to judge (default: HEAD)")
    parser.add_argument("--instructions", action="store_true", help="count instructions (valgrind) instead of CPU time")
    parser.add_argument(
        "--paths", default="", help=f"some of {', '.join(UNITS)}, by commas (default: all that can be measured here)"
    )
    parser.add_argument("--blocks", type=int, default=timed.DEFAULT_BLOCKS, help="blocks of A, B, B, A; at least 2")
    parser.add_argument(
        "--noise",
        type=float,
        help="what HEAD may be dearer by, as a share "
        f"(default {timed.DEFAULT_NOISE:g}; of instructions {callgrind.DEFAULT_NOISE:g})",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per path and line")
    asked = parser.parse_args(arguments)
    if asked.blocks < 2:
        parser.error("--blocks: an interval needs at least two")
    asked.paths = [name for name in asked.paths.split(",") if name] or default_paths(counted=asked.instructions)
    for name in asked.paths:
        if name not in (PATHS if asked.instructions else UNITS):
            parser.error(f"--paths: {name!r} cannot be {'counted' if asked.instructions else 'measured'}")
    if asked.noise is None:
        asked.noise = callgrind.DEFAULT_NOISE if asked.instructions else timed.DEFAULT_NOISE
    return asked


def default_paths(*, counted: bool) -> list[str]:
    """All of them; the front needs nothing but wrk here, and cannot be counted."""
    return [*PATHS, *([FRONT] if not counted and shutil.which("wrk") else [])]


def main(arguments: list[str]) -> int:
    """Build, measure, print. 1: a regression; 2: nothing could be measured."""
    asked = parse(arguments)
    console = Console(stderr=True)
    try:
        with tempfile.TemporaryDirectory(prefix="footfall-compare-") as name, ExitStack() as stack:
            folder = Path(name)
            cpu = "x86-64-v3" if asked.instructions else "native"
            builds = []
            for side, revision in (("base", asked.base), ("head", asked.head)):
                with console.status(f"building {side}: {revision}"):
                    builds.append(stack.enter_context(built(side, revision, folder / side, cpu=cpu)))
            base, head = builds
            console.print(
                f"base {base.commit[:12]}, head {head.commit[:12]}, load {os.getloadavg()[0]:.1f}", markup=False
            )
            with console.status("measuring"):
                if asked.instructions:
                    counts = counted(base, head, folder, asked.paths)
                    results = list(callgrind.compare_counts(*counts, noise=asked.noise))
                else:
                    counts = None
                    results = measured(base, head, folder, asked)
    except (BuildError, NoValgrindError) as error:
        console.print(f"compare: {error}", markup=False)
        return 2
    print_results(results, counts, as_json=asked.json)
    return 1 if any(result.is_regression for result in results) else 0


def measured(base: Build, head: Build, folder: Path, asked: argparse.Namespace) -> list[Compared]:
    """CPU time, the probe's paths first, then the front."""
    cpus = choose_cpus()
    results: list[Compared] = []
    in_process = {name: UNITS[name] for name in asked.paths if name != FRONT}
    sides = {"base": base, "head": head}
    if in_process:
        inputs = {side: prepared(build, folder, counted=False) for side, build in sides.items()}

        def start(side: str) -> AbstractContextManager[timed.Round]:
            return timed.running_probe(sides[side], inputs[side])

        with pinned(cpus.server):
            results += timed.compare_blocks(in_process, start, blocks=asked.blocks, noise=asked.noise)
    if FRONT in asked.paths:
        load = Load(Run(cpus=cpus), folder)

        def start_front(side: str) -> AbstractContextManager[timed.Round]:
            return running_front(sides[side], load, folder)

        with pinned(cpus.server):
            results += timed.compare_blocks({FRONT: UNITS[FRONT]}, start_front, blocks=asked.blocks, noise=asked.noise)
    return results


def counted(base: Build, head: Build, folder: Path, names: list[str]) -> tuple[dict[str, Count], dict[str, Count]]:
    """Instructions of both."""
    first, second = (
        callgrind.count_paths(build, prepared(build, folder, counted=True), names) for build in (base, head)
    )
    return first, second


def print_results(
    results: list[Compared], counts: tuple[dict[str, Count], dict[str, Count]] | None, *, as_json: bool
) -> None:
    """The paths, and of counts the functions."""
    if as_json:
        for result in results:
            print(json.dumps(result.as_json(), ensure_ascii=False))
        return
    console = Console()
    table = Table("path", "base", "head", "unit", "head / base", "verdict", box=None, header_style="bold")
    for result in results:
        table.add_row(
            result.name,
            f"{result.base:,.1f}",
            f"{result.head:,.1f}",
            result.unit,
            str(result.interval),
            f"[bold red]{result.verdict}[/]" if result.is_regression else result.verdict,
        )
    console.print(table)
    if counts is None:
        return
    for result in results:
        before, after = counts[0][result.name], counts[1][result.name]
        listed = Table("function", "base", "head", "change", box=None, header_style="bold", title=result.name)
        for name, base, head in callgrind.moved_functions(before, after, count=FUNCTIONS):
            listed.add_row(name[-90:], f"{base:,.1f}", f"{head:,.1f}", f"{head - base:+,.1f}")
        console.print(listed)
