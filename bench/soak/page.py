"""A soak as one HTML file: each series over time with the faults behind it, and its figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bench.plots import Line, Span, page, plot, section, table
from bench.soak.faults import Happened
from bench.soak.sampling import Sample


def soak_page(
    title: str,
    introduction: str,
    samples: Sequence[Sample],
    latencies: Sequence[dict[str, float]],
    happened: Sequence[Happened],
    verdicts: Sequence[Sequence[object]],
) -> str:
    """The report."""
    spans = [Span(fault.begun_s, fault.ended_s, fault.name) for fault in happened]
    sections = [
        section(
            "Verdict",
            table(("what", "measured", "bound", "kept"), verdicts),
            table(("fault", "from s", "to s"), [(each.name, each.begun_s, each.ended_s) for each in happened]),
        )
    ]
    for name, attribute in (
        ("Anonymous memory, MiB", "memory_mib"),
        ("Descriptors", "descriptors"),
        ("Threads", "threads"),
    ):
        lines = defaultdict(list)
        for sample in samples:
            totals: dict[str, float] = defaultdict(float)
            for process in sample.processes:
                totals[process.role] += getattr(process, attribute)
            for role, value in totals.items():
                lines[role].append((sample.at_s, value))
        drawn = [Line(role, points) for role, points in lines.items()]
        sections.append(section(name, plot(name, "seconds", drawn, spans), extremes(drawn)))
    parts = [Line("parts", [(sample.at_s, sample.parts) for sample in samples])]
    sections.append(section("Active parts of events", plot("Parts", "seconds", parts, spans), extremes(parts)))
    spool = [Line("spool", [(sample.at_s, sample.spool_bytes / 2**20) for sample in samples])]
    sections.append(section("Spool, MiB", plot("Spool, MiB", "seconds", spool, spans), extremes(spool)))
    shown = [("p50", "p50_us"), ("p99", "p99_us")]
    latency = [Line(label, [(line["at_s"], line[key] / 1e3) for line in latencies]) for label, key in shown]
    sections.append(
        section("Latency from the due time, ms", plot("Latency, ms", "seconds", latency, spans), extremes(latency))
    )
    return page(title, introduction, sections)


def extremes(lines: Sequence[Line]) -> str:
    """First, lowest, highest and last value of each line."""
    rows = []
    for line in lines:
        values = [y for _, y in line.points if y is not None]
        if values:
            rows.append((line.label, float(values[0]), float(min(values)), float(max(values)), float(values[-1])))
    return table(("series", "first", "lowest", "highest", "last"), rows)
