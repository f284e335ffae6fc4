"""`python -m bench NAME… [--json]`: run suites and print one line, or one table row, per result.

`python -m bench compare BASE HEAD` holds two commits against each other (`bench.compare`), `python -m bench report`
draws what `--record` kept (`bench.report`).
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import suites
from bench.harness import (
    DEFAULT_ROUNDS,
    Result,
    Run,
    WrongBuildError,
    choose_cpus,
    pinned,
    require_release_build,
)
from bench.recorded import load_now, write_record


def suite_names() -> list[str]:
    """Every module of `bench.suites`."""
    return sorted(module.name for module in pkgutil.iter_modules(suites.__path__) if not module.name.startswith("_"))


def suites_of_all() -> list[str]:
    """The suites that `all` stands for: those too long for it say so with `IN_ALL = False`."""
    modules = {name: importlib.import_module(f"bench.suites.{name}") for name in suite_names()}
    return [name for name, module in modules.items() if getattr(module, "IN_ALL", True)]


def run_suite(name: str, run: Run) -> Iterator[Result]:
    """The results of one suite, as they are measured."""
    module = importlib.import_module(f"bench.suites.{name}")
    with pinned(run.cpus.server):
        yield from module.measure(run)


def table_row(result: Result) -> tuple[str, ...]:
    """One row of the readable table."""
    verdict = {None: "", True: "kept", False: "[bold red]MISSED[/]"}[result.kept]
    return (
        result.name,
        f"{result.ours:,.4g}" if result.ours < 1e4 else f"{result.ours:,.0f}",
        "" if result.theirs is None else f"{result.theirs:,.4g}" if result.theirs < 1e4 else f"{result.theirs:,.0f}",
        "" if result.ratio is None else f"{result.ratio:.3g}",
        result.unit,
        "" if result.budget is None else str(result.budget),
        verdict,
    )


def main(given: list[str] | None = None) -> int:
    """Parse the command line, run, print. Exits 1 when --enforce finds a missed budget, 2 when nothing could be
    measured.
    """
    given = sys.argv[1:] if given is None else given
    if given[:1] == ["compare"]:
        from bench.compare.command import main as compare

        return compare(given[1:])
    if given[:1] == ["report"]:
        from bench.report.command import main as report

        return report(given[1:])
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        choices=[*suite_names(), "all"],
        help=f"{', '.join(suite_names())}; all: those that say nothing else",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per result and line")
    parser.add_argument(
        "--rounds", type=int, default=DEFAULT_ROUNDS, help=f"measured rounds (default {DEFAULT_ROUNDS})"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small amounts: shows that the suite works, not how fast we are"
    )
    parser.add_argument("--events", type=int, default=0, help="rows that suites over a filled store make (queries)")
    parser.add_argument("--seconds", type=float, default=0, help="how long suites of a stated length take (soak)")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="leave the filled store there, and measure it again the next time (queries)",
    )
    parser.add_argument(
        "--any-build", action="store_true", help="measure builds other than release, and say so in the results"
    )
    parser.add_argument("--enforce", action="store_true", help="exit 1 when a budget is missed")
    parser.add_argument("--record", action="store_true", help="keep the results in bench/record")
    arguments = parser.parse_args(given)
    if arguments.record and (arguments.quick or arguments.any_build):
        parser.error("--record: results of --quick and --any-build are not worth keeping")
    console = Console(stderr=True)
    try:
        notes = require_release_build(any_build=arguments.any_build)
    except WrongBuildError as error:
        console.print(f"bench: {error}", markup=False)
        return 2
    run = Run(
        cpus=choose_cpus(),
        rounds=arguments.rounds,
        quick=arguments.quick,
        notes=notes,
        events=arguments.events,
        keep=arguments.keep,
        seconds=arguments.seconds,
    )
    names = list(
        dict.fromkeys(each for name in arguments.names for each in (suites_of_all() if name == "all" else [name]))
    )
    load = load_now()
    by_suite: dict[str, list[Result]] = {}
    for name in names:
        by_suite[name] = []
        with console.status(f"measuring {name}"):
            for result in run_suite(name, run):
                by_suite[name].append(result)
                if arguments.json:
                    print(json.dumps(result.as_json(), ensure_ascii=False), flush=True)
    results = [result for found in by_suite.values() for result in found]
    if not arguments.json:
        table = Table("name", "ours", "theirs", "ratio", "unit", "budget", "", box=None, header_style="bold")
        for result in results:
            table.add_row(*table_row(result))
        Console().print(table)
    if arguments.record:
        console.print(f"kept in {write_record(by_suite, load=load)}")
    return 1 if arguments.enforce and any(result.kept is False for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
