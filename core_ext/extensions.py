"""What there is to compile, for setup.py: `extensions()`.

`FOOTFALL_CHECKED=1` builds with Cython's bounds and overflow checks, and with AddressSanitizer and
UndefinedBehaviorSanitizer; the test suite runs itself once against such a build.
"""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension

_MODULES = ("frames", "native", "plan")
# Cython compares unsigned loop counters with its own signed enum values; Python's own flags would warn of each.
_RELEASE_FLAGS = ["-O3", "-g0", "-std=c11", "-Wno-sign-compare"]
_CHECKED_FLAGS = [
    "-O1",
    "-g",
    "-std=c11",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-Wno-sign-compare",
    "-DFOOTFALL_CHECKED",
]


def extensions(root: Path | None = None, *, build_dir: str | None = None) -> list[Extension]:
    """The Cython modules of core_ext, cythonized. `root` is the checkout's folder."""
    folder = (root or Path(__file__).resolve().parent.parent) / "core_ext"
    checked = os.environ.get("FOOTFALL_CHECKED") == "1"
    modules = [
        Extension(
            f"core_ext.{name}",
            [os.path.relpath(folder / f"{name}.pyx")],
            extra_compile_args=_CHECKED_FLAGS if checked else _RELEASE_FLAGS,
            extra_link_args=["-fsanitize=address,undefined"] if checked else [],
        )
        for name in _MODULES
    ]
    result: list[Extension] = cythonize(  # type: ignore[no-untyped-call]  # Cython ships its types without this one
        modules,
        force=checked,
        build_dir=build_dir,
        language_level=3,
        compiler_directives={
            "boundscheck": checked,
            "initializedcheck": checked,
            "wraparound": False,
            "cdivision": True,
            "nonecheck": False,
            "auto_pickle": False,
            "emit_code_comments": False,
        },
    )
    return result
