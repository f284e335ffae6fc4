"""What became of a file: which parts were understood, how many lines became what, and what is wrong with which line.

Invariant: every line (or row, or object) is counted in exactly one of `taken`, `left_out` and `malformed`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

# Problems that are named; the others are counted by reason.
MAX_PROBLEMS = 100

# Files of an archive that are named.
MAX_FILES = 50

MAX_REASON_CHARS = 200
# Reasons may quote the line: the report stays small whatever is in it.
MAX_REASONS = 200


@dataclass(frozen=True)
class Problem:
    """A line that is not what it should be. `number` counts from 1 within the file."""

    file: str
    number: int
    reason: str


@dataclass
class FileReport:
    """One file of an archive, or the file itself: what it was taken for, and why not."""

    name: str
    what: str = ""
    note: str = ""


@dataclass
class ImportReport:
    """See the module. Days are the site's local dates, empty without any."""

    files: list[FileReport] = field(default_factory=list)
    more_files: int = 0
    taken: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """By why: assets, other requests, days that have live hits."""
    malformed: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    """What the site's rules made of the lines that were taken, by the ledger's labels."""
    guessed_lines: int = 0
    first_day: str = ""
    last_day: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def lines(self) -> int:
        """All of them."""
        return self.taken + self.left_out.total() + self.malformed.total()

    @property
    def stored(self) -> int:
        """Lines that are figures now."""
        return self.outcomes["accepted"] if self.outcomes else self.taken

    def note_file(self, name: str, what: str = "", note: str = "") -> None:
        """Name a file once, however often it is looked at."""
        if any(each.name == name for each in self.files):
            return
        if len(self.files) < MAX_FILES:
            self.files.append(FileReport(name, what, note))
        else:
            self.more_files += 1

    def name_problem(self, file: str, number: int, reason: str) -> None:
        """Count a malformed line, and name it while there are few."""
        shown = reason[:MAX_REASON_CHARS]
        is_counted_alone = shown in self.malformed or len(self.malformed) < MAX_REASONS
        self.malformed[shown if is_counted_alone else "other reasons"] += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(file, number, shown))

    def note(self, text: str) -> None:
        """Say something about the import as a whole, once."""
        if text not in self.notes:
            self.notes.append(text)

    def saw_day(self, day: str) -> None:
        """Figures of this day were taken."""
        self.first_day = min(self.first_day or day, day)
        self.last_day = max(self.last_day, day)

    def as_json(self) -> dict[str, Any]:
        """For the app database."""
        # `asdict` would take a Counter's items for things to be counted.
        return {
            each.name: dict(value) if isinstance(value := getattr(self, each.name), Counter) else value
            for each in fields(self)
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> ImportReport:
        """What `as_json` made."""
        return cls(
            files=[FileReport(**each) for each in saved.get("files", ())],
            more_files=saved.get("more_files", 0),
            taken=saved.get("taken", 0),
            left_out=Counter(saved.get("left_out", {})),
            malformed=Counter(saved.get("malformed", {})),
            problems=[Problem(**each) for each in saved.get("problems", ())],
            outcomes=Counter(saved.get("outcomes", {})),
            guessed_lines=saved.get("guessed_lines", 0),
            first_day=saved.get("first_day", ""),
            last_day=saved.get("last_day", ""),
            notes=list(saved.get("notes", ())),
        )
