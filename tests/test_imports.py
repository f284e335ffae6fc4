"""The arrows of the data path, held by the syntax trees: who may import whom.

`rust_ext` and `core_ext` import nothing of ours and meet only in the segment format; `server` imports both; `jobs` and
`dashboards` reach event data only through `server.queries`; nothing that runs in production imports `bench` or `tests`.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Package → ours it may import. A package that is not named here may not exist: a new one needs a line.
MAY_IMPORT: dict[str, set[str]] = {
    "rust_ext": set(),
    "core_ext": set(),
    "server": {"rust_ext", "core_ext"},
    "jobs": {"server"},
    "dashboards": {"server"},
    "bench": {"server", "jobs", "rust_ext", "core_ext", "tests"},
    # CronJobs are made from the job table.
    "k8s": {"jobs"},
    "tests": {"server", "rust_ext", "core_ext", "jobs", "dashboards", "bench", "k8s"},
}

# The ways to event data beside server.queries, closed to jobs and dashboards.
EVENT_DATA_INTERNALS = re.compile(
    r"(server\.(clickhouse_tcp|sink|flusher|flush_queue|spool|store|embedded|segment_replay)|clickhouse_driver)(\.|$)"
)

# Folders without a Python package of ours in them.
OTHER_FOLDERS = {"node_modules", "target", "build", "dist", "requirements"}


def sources(package: str) -> Iterator[Path]:
    """The Python files of a package."""
    return (path for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts)


def imported_modules(path: Path) -> Iterator[str]:
    """Every absolute module a file imports, wherever in the file; `from a import b` gives `a.b`, as b may be a
    module.
    """
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                folder = path.relative_to(ROOT).parent.parts
                module = ".".join((*folder[: len(folder) - node.level + 1], *filter(None, [module])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def forbidden_imports(package: str) -> Iterator[str]:
    """One line per import that breaks a rule."""
    ours = MAY_IMPORT.keys() - {package} - MAY_IMPORT[package]
    for path in sources(package):
        for module in imported_modules(path):
            if module.partition(".")[0] in ours:
                yield f"{path.relative_to(ROOT)} imports {module}"
            if package in ("jobs", "dashboards") and EVENT_DATA_INTERNALS.match(module):
                yield f"{path.relative_to(ROOT)} reaches events through {module} instead of server.queries"


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_follow_the_data_path(package: str) -> None:
    assert list(forbidden_imports(package)) == []


def test_accounts_know_no_http() -> None:
    web = re.compile(r"(tornado|http|server\.(app|handler|pages|front))(\.|$)")
    for path in (ROOT / "server" / "accounts").glob("*.py"):
        assert [module for module in imported_modules(path) if web.match(module)] == [], path.name


def test_every_package_has_its_rule() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - OTHER_FOLDERS
    assert packages <= MAY_IMPORT.keys()


def test_core_ext_cimports_only_itself_and_the_c_libraries() -> None:
    allowed = re.compile(r"(core_ext|cpython|libc|cython)(\.|$)")
    for path in (ROOT / "core_ext").glob("*.p[yx][xd]"):
        for module in re.findall(r"^\s*(?:from\s+(\S+)\s+cimport|cimport\s+(\S+))", path.read_text(), re.MULTILINE):
            assert allowed.match("".join(module).lstrip(".") or "core_ext"), f"{path.name} cimports {module}"


def test_the_pure_crate_knows_no_python() -> None:
    manifest = tomllib.loads((ROOT / "rust_ext" / "ingest" / "Cargo.toml").read_text())
    assert not [name for name in manifest["dependencies"] if name.startswith(("pyo3", "footfall"))]


def test_the_rules_see_through_every_form_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "closing.py").write_text(
        "import server.queries\nfrom server import sink\ndef late():\n    from bench.harness import Run\n"
        "import clickhouse_driver\nfrom . import schedule\nfrom server import queries\n"
    )
    # ast.walk goes breadth first, so the import inside the function comes last.
    assert list(forbidden_imports("jobs")) == [
        "jobs/closing.py reaches events through server.sink instead of server.queries",
        "jobs/closing.py reaches events through clickhouse_driver instead of server.queries",
        "jobs/closing.py imports bench.harness.Run",
    ]
