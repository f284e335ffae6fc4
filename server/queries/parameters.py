"""Values on their way into a statement: bound on the server, never part of its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Value = str | int | Sequence[str] | Sequence[int]


@dataclass
class Parameters:
    """The parameters of one statement. Equal values share one."""

    values: dict[str, Value] = field(default_factory=dict)
    _names: dict[tuple[str, object], str] = field(default_factory=dict)

    def bind(self, value: Value, type_: str) -> str:
        """The placeholder that stands for the value: `{p3:String}`."""
        key = (type_, value if isinstance(value, str | int) else tuple(value))
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"p{len(self.values)}"
            # The driver writes a tuple as one, and the server wants an array.
            self.values[name] = value if isinstance(value, str | int) else [*value]
        return f"{{{name}:{type_}}}"

    def text(self, value: str) -> str:
        """A text."""
        return self.bind(value, "String")

    def texts(self, values: Sequence[str]) -> str:
        """A list of texts."""
        return self.bind(values, "Array(String)")

    def number(self, value: int) -> str:
        """A whole number."""
        return self.bind(value, "Int64")

    def numbers(self, values: Sequence[int]) -> str:
        """A list of whole numbers."""
        return self.bind(values, "Array(Int64)")
