"""SQL files and their placeholders. What fills a `$placeholder` is SQL of ours; values are bound, see `parameters`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from string import Template

_FOLDER = Path(__file__).parent


@cache
def sql_text(name: str) -> str:
    """The file `<name>.sql` without its comments."""
    lines = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("--")) + "\n"


def fill(text: str, **parts: str) -> str:
    """The text with its placeholders filled. Raises KeyError for one without a part."""
    return Template(text).substitute(parts)
