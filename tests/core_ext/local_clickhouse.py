"""`clickhouse local` in a child process, by hand as an operator would: the program, or libchdb from npm."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

from server.embedded import find_engine

CHECKOUT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60


def run_local(folder: Path, query: str) -> str:
    """What the queries print. `folder` is the working folder and holds the data."""
    engine = find_engine(os.environ.get("FOOTFALL_CHDB_LIBRARY", ""))
    if engine.kind == "binary":
        command = [str(engine.path), "local"]
    else:
        command = [sys.executable, "-m", "tests.core_ext.local_clickhouse", str(engine.path)]
    done = subprocess.run(
        [*command, f"--path={folder}/data", "--query", query],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    # libchdb prints some errors and still returns a result.
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


def main() -> int:
    """The child: libchdb's command line, its result on standard output."""
    path, *arguments = sys.argv[1:]
    library = ctypes.CDLL(path)
    library.chdb_query_cmdline.restype = ctypes.c_void_p
    library.chdb_result_error.restype = ctypes.c_char_p
    library.chdb_result_buffer.restype = ctypes.c_void_p
    library.chdb_result_length.restype = ctypes.c_size_t
    command = ["clickhouse", *arguments]
    arguments_c = (ctypes.c_char_p * len(command))(*(argument.encode() for argument in command))
    result = ctypes.c_void_p(library.chdb_query_cmdline(len(command), arguments_c))
    error = library.chdb_result_error(result)
    if error:
        print(error.decode(errors="replace"), file=sys.stderr)
        return 1
    size = library.chdb_result_length(result)
    if size:
        sys.stdout.buffer.write(ctypes.string_at(library.chdb_result_buffer(result), size))
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    os._exit(main())
