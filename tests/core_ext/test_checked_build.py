"""The suite once more, against a build with Cython's bounds checks, AddressSanitizer and UndefinedBehaviorSanitizer.

A read or a write outside a buffer, which might pass unseen in the release build, ends that run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from core_ext.native import build_profile

CHECKOUT = Path(__file__).resolve().parents[2]
SUITES = ("test_encode_segment.py", "test_bad_records.py", "test_frames.py", "test_encode_ledger.py")
BUILD = """
import sys
from setuptools.dist import Distribution
from core_ext.extensions import extensions

target = sys.argv[1]
modules = extensions(build_dir=target + "/c")
command = Distribution({"name": "core_ext", "ext_modules": modules}).get_command_obj("build_ext")
command.build_lib = target
command.build_temp = target + "/o"
command.ensure_finalized()
command.run()
"""


def runtime_libraries() -> list[str]:
    """The sanitizers' runtimes, which must be loaded before Python is."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    found = []
    for name in ("libasan.so", "libubsan.so"):
        answer = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        path = answer.stdout.strip()
        if not Path(path).is_absolute():
            pytest.skip(f"{compiler} has no {name}: only GCC's sanitizers are used here")
        found.append(path)
    return found


@pytest.mark.slow
@pytest.mark.skipif(build_profile() == "checked", reason="this is the checked build already")
def test_the_suite_passes_on_a_checked_build(tmp_path: Path) -> None:
    libraries = runtime_libraries()
    environment = {**os.environ, "FOOTFALL_CHECKED": "1", "PYTHONPATH": str(CHECKOUT)}
    subprocess.run([sys.executable, "-c", BUILD, str(tmp_path)], check=True, cwd=CHECKOUT, env=environment)
    for source in (CHECKOUT / "core_ext").glob("*.py"):
        shutil.copy(source, tmp_path / "core_ext")

    environment |= {
        "PYTHONPATH": f"{tmp_path}:{CHECKOUT}",
        "LD_PRELOAD": " ".join(libraries),
        # CPython keeps memory until the end, by design; leaks are test_memory.py's business.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
        # So that every Python object is an allocation of its own, with borders.
        "PYTHONMALLOC": "malloc",
        "FOOTFALL_EXPECTED_CORE_EXT": str(tmp_path),
    }
    # -P, append and no pythonpath: nothing may put the checkout, with its release build, before the temporary folder.
    arguments = ["-q", "-p", "no:cacheprovider", "-o", "pythonpath=", "--import-mode=append"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", *arguments, *(f"tests/core_ext/{suite}" for suite in SUITES)],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    assert " passed" in done.stdout
