"""Workflows may do no more than they need, name every action's version, and call what is there.

actionlint reads them too, in `.github/workflows/checks.yml`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.built import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))

# More than reading, and why: where a release is made, or a pull request.
WRITERS = {"image", "publish", "locks"}


def load(path: Path) -> dict[str, Any]:
    """YAML 1.1 reads the key `on` as true."""
    found = yaml.safe_load(path.read_text())
    return {("on" if key is True else str(key)): value for key, value in found.items()}


def steps(workflow: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, step) for name, job in workflow["jobs"].items() for step in job.get("steps", [])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_unless_it_says_why(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        if name not in WRITERS:
            assert "permissions" not in job, name
        if "uses" not in job:
            assert job["timeout-minutes"] <= 120, name
    assert "pull_request_target" not in workflow["on"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_have_a_version_and_leave_no_token_behind(path: Path) -> None:
    for name, step in steps(load(path)):
        if "uses" in step:
            action, _, version = step["uses"].partition("@")
            assert re.fullmatch(r"v\d+(\.\d+){0,2}|[0-9a-f]{40}|stable", version), step["uses"]
            assert version != "stable" or action == "dtolnay/rust-toolchain"
            if action == "actions/checkout":
                assert step["with"]["persist-credentials"] is False, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_event_text_gets_into_a_shell(path: Path) -> None:
    """Names of branches, titles and the like are anybody's: a script gets them by its environment alone."""
    for name, step in steps(load(path)):
        assert "${{" not in step.get("run", ""), name


def test_a_release_waits_for_everything() -> None:
    jobs = load(GITHUB / "workflows" / "release.yml")["jobs"]
    called = {Path(job["uses"]).stem for job in jobs.values() if "uses" in job}
    assert called == {"checks", "tests", "compose", "advisories", "wheels"}
    for name in called:
        assert "workflow_call" in load(GITHUB / "workflows" / f"{name}.yml")["on"]
    assert {"checks", "tests", "compose", "advisories", "notes"} <= set(jobs["image"]["needs"])
    assert {"image", "wheels"} <= set(jobs["publish"]["needs"])


def test_files_that_workflows_name_are_there() -> None:
    text = "\n".join(path.read_text() for path in WORKFLOWS)
    named = set(
        re.findall(
            r"(?<![\w./:$])((?:k8s|\.github|requirements)/[\w./-]+\.(?:py|yaml|yml|txt)|k8s/image/Dockerfile)", text
        )
    )
    assert len(named) > 6
    assert [name for name in named if not (ROOT / name).is_file()] == []
    makefiles = {"": (ROOT / "Makefile").read_text(), "k8s": (ROOT / "k8s" / "Makefile").read_text()}
    for folder, target in re.findall(r"\bmake (?:-C (k8s|\.\.) )?([a-z-]+)", text):
        makefile = makefiles["k8s" if folder else ""]
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_wheels_are_built_for_every_version_that_the_project_runs_on() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == ">=3.11"
    assert "cp311-*" in project["tool"]["cibuildwheel"]["build"]


def test_renovate_looks_at_files_that_are_there() -> None:
    config = json.loads((ROOT / "renovate.json").read_text())
    managers = [value for value in config.values() if isinstance(value, dict) and "managerFilePatterns" in value]
    files = [
        str(path.relative_to(ROOT))
        for folder in ("k8s", ".github", "tests/services")
        for path in (ROOT / folder).rglob("*")
    ]
    for manager in [*managers, *config["customManagers"]]:
        for pattern in manager["managerFilePatterns"]:
            matching = [name for name in files if re.search(pattern.strip("/").replace("\\/", "/"), name)]
            assert matching, pattern
            for found in manager.get("matchStrings", []):
                expression = found.replace("(?<", "(?P<")
                assert any(re.search(expression, (ROOT / name).read_text()) for name in matching), found


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_documents_for_strangers_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)#]+)", text):
        assert (ROOT / target).exists(), target
    for target in re.findall(r"`make ([a-z-]+)`", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_issue_forms_are_forms() -> None:
    forms = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
    assert len(forms) == 3
    for form in forms:
        content = yaml.safe_load(form.read_text())
        if form.stem == "config":
            assert content["blank_issues_enabled"] is False
            continue
        assert content.keys() >= {"name", "description", "body"}
        ids = [part["id"] for part in content["body"] if part["type"] != "markdown"]
        assert len(ids) == len(set(ids)) > 1
