"""A row of small bars in SVG: durations of runs, hits by day. Styled by the page, read out by its label."""

from __future__ import annotations

from collections.abc import Sequence

from tornado.escape import xhtml_escape
from tornado.web import UIModule

BAR_WIDTH = 6
GAP = 2
HEIGHT = 28

# A value that is not zero is seen.
LEAST_HEIGHT = 2


class Bars(UIModule):
    """`bars`: (value, what it says, class) from left to right; `label` says what all of them are."""

    def render(self, bars: Sequence[tuple[float, str, str]], label: str, slots: int = 0) -> str:
        """`slots`: room for so many, filled from the right."""
        count = max(len(bars), slots, 1)
        width = count * (BAR_WIDTH + GAP) - GAP
        greatest = max((value for value, _, _ in bars), default=0) or 1
        parts = []
        for number, (value, said, kind) in enumerate(bars, count - len(bars)):
            height = max(LEAST_HEIGHT, round(HEIGHT * value / greatest)) if value else 1
            parts.append(
                f'<rect x="{number * (BAR_WIDTH + GAP)}" y="{HEIGHT - height}" width="{BAR_WIDTH}" height="{height}"'
                f' class="{xhtml_escape(kind or "plain")}"><title>{xhtml_escape(said)}</title></rect>'
            )
        return (
            f'<svg class="bars" role="img" aria-label="{xhtml_escape(label)}" viewBox="0 0 {width} {HEIGHT}"'
            f' width="{width}" height="{HEIGHT}">{"".join(parts)}</svg>'
        )
