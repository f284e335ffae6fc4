"""The sweep as one HTML file: both grids as plots and tables, and the ConfigMap to copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from bench.plots import Line, page, plot, section, table
from bench.sweep.backlog import BatchPoint
from bench.sweep.live import LivePoint


def sweep_page(
    introduction: str,
    batches: Sequence[BatchPoint],
    live: Sequence[LivePoint],
    compared: Sequence[Sequence[object]],
    config_map: str,
) -> str:
    """The report."""
    sections = [
        section("Recommended", f"<pre>{escape(config_map)}</pre>", table(("settings", "default", "found"), compared))
    ]
    for title, read in (
        ("Rows stored per second, by rows of a batch", lambda point: point.rows_per_s),
        ("CPU for a row, µs, client and server, by rows of a batch", lambda point: point.client_us + point.server_us),
    ):
        by_threads = _by_threads(batches, read)
        rows = [
            (point.rows, point.parallelism, point.rows_per_s, point.client_us, point.server_us, point.parts)
            for point in batches
        ]
        header = ("rows", "threads", "rows/s", "client µs", "server µs", "parts")
        sections.append(section(title, plot(title, "rows", by_threads, log_x=True), table(header, rows)))
    figures: tuple[tuple[str, Callable[[LivePoint], float]], ...] = (
        ("Hits for a CPU second, Footfall and its store", lambda point: point.hits_per_cpu_s),
        ("Latency, p99, ms", lambda point: point.p99_ms),
        ("Freshness, p99, ms", lambda point: point.fresh_p99_ms),
        ("Active parts at the end", lambda point: point.parts),
        ("Merges meanwhile", lambda point: point.merges),
    )
    for title, value in figures:
        lines = [
            Line(
                durability,
                [(p.settings.batch_max_age_ms, value(p)) for p in live if p.settings.durability == durability],
            )
            for durability in dict.fromkeys(str(point.settings.durability.value) for point in live)
        ]
        rows_of = [(p.settings.batch_max_age_ms, p.settings.durability.value, value(p), p.got_per_s) for p in live]
        header_of = ("age ms", "durability", "value", "hits/s")
        sections.append(section(title, plot(title, "age of a batch, ms", lines, log_x=True), table(header_of, rows_of)))
    return page("Batch settings for this machine", introduction, sections)


def _by_threads(points: Sequence[BatchPoint], read: Callable[[BatchPoint], float]) -> list[Line]:
    threads = sorted({point.parallelism for point in points})
    return [
        Line(f"{count} threads", [(point.rows, read(point)) for point in points if point.parallelism == count])
        for count in threads
    ]
