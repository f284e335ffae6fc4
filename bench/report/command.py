"""The command line of `python -m bench report`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.recorded import RECORD_FOLDER, ROOT, read_records
from bench.report.headline import headline, with_table
from bench.report.page import page
from bench.report.text import lines


def main(arguments: list[str]) -> int:
    """Print or write what was asked for. 2: the records or the document are not what they should be."""
    parser = argparse.ArgumentParser(
        prog="python -m bench report", description="The history of the results in bench/record."
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write it as one HTML file with charts")
    parser.add_argument("--headline", action="store_true", help="README's table, from the newest records")
    parser.add_argument("--write", action="store_true", help="with --headline: put it into README.md")
    parser.add_argument(
        "--folder", type=Path, default=RECORD_FOLDER, help="where the records are (default bench/record)"
    )
    asked = parser.parse_args(arguments)
    try:
        points = read_records(asked.folder)
        if asked.write:
            readme = ROOT / "README.md"
            readme.write_text(with_table(readme.read_text(), headline(points)))
        elif asked.headline:
            print(headline(points))
        elif asked.html:
            asked.html.write_text(page(points))
            print(asked.html)
        else:
            print("\n".join(lines(points)))
    except (OSError, ValueError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    return 0
