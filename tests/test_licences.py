"""The check of licences refuses what it should."""

import pytest

from tests.licences import is_allowed, problems

ALLOWED = frozenset(("MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"))
RULES = {
    "allowed": sorted(ALLOWED),
    "exceptions": {"lent": {"licence": "LGPL-3.0-only", "reason": "a library"}},
    "stated": {"silent": "MIT"},
    "banned": {"dill": "runs code out of data"},
}
FINE = {"lent": "LGPL-3.0-only", "silent": "", "free": "MIT"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("MIT/Apache-2.0", True),
        ("Apache-2.0 / MIT", True),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
        ("(GPL-3.0-only OR AGPL-3.0-only) AND Unicode-3.0", False),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0-only", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
    ],
)
def test_an_expression_is_met_or_not(expression: str, expected: bool) -> None:
    assert is_allowed(expression, ALLOWED) is expected


def test_allowed_excepted_and_stated_packages_pass() -> None:
    assert list(problems(FINE, RULES)) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"new": "GPL-3.0-only"}, "new has the licence 'GPL-3.0-only', which is not allowed"),
        ({"new": ""}, "new has the licence '', which is not allowed"),
        ({"dill": "MIT"}, "dill is banned: runs code out of data"),
        ({"lent": "GPL-3.0-only"}, "lent is excepted as 'LGPL-3.0-only' and says 'GPL-3.0-only'"),
        ({"silent": "MIT"}, "silent names its licence now: 'MIT'"),
    ],
)
def test_each_problem_is_named(changed: dict[str, str], said: str) -> None:
    assert list(problems({**FINE, **changed}, RULES)) == [said]


def test_an_exception_that_nothing_needs_is_a_problem() -> None:
    without = {name: licence for name, licence in FINE.items() if name != "lent"}
    assert list(problems(without, RULES)) == ["lent is in licences.toml and not installed"]
