"""Storing an export of figures: all of it is added up first, then written.

Nothing of it is seen before it is done, so an attempt begins with taking away what an earlier one wrote. Adding up
takes seconds for what people export; writing goes day by day, with a look at whether to stop after each.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from rust_ext import PastEvents
from server.app_database import reading
from server.imports.channels import ChannelFinder
from server.imports.errors import ImportRefused
from server.imports.figure_files import FigureDays, FigureSource
from server.imports.figures import FigureTable
from server.imports.ga4 import GoogleAnalytics
from server.imports.kinds import ImportKind
from server.imports.members import Member
from server.imports.plausible import Plausible
from server.imports.reading import total_bytes
from server.imports.report import ImportReport
from server.imports.rows import figure_versions
from server.imports.rules import RULES_PATH
from server.imports.stored_figures import FigureWriter, delete_figures
from server.imports.uploads import imports_folder

if TYPE_CHECKING:
    from server.imports.run import ImportRun


def store_figures(run: ImportRun, kind: ImportKind, members: Sequence[Member]) -> None:
    """Store all figures of the file. Raises `ImportRefused`, `NotRunning`, and what the stores raise."""
    site_id, form = run.rules.site_id, run.store.form
    retention_class = int(run.rules.site["retention_class"])
    total = total_bytes(members)
    # Each attempt reads all of it again, so the report is that of this attempt.
    run.saved.report = report = ImportReport(files=run.report.files)
    with closing(FigureTable(imports_folder(run.context.settings))) as table, closing(run.store.connection()) as store:
        source = _source(kind, members, run, _taken_days(run, site_id))
        source.read(table, report, lambda done: run.progress(done // 2, total, f"{report.lines:,} lines read"))
        days = table.days()
        if not days:
            raise ImportRefused(_nothing_text(report))
        delete_figures(store, form, site_id, run.import_id)
        writer = FigureWriter(store, site_id, run.import_id, retention_class)
        for number, day in enumerate(days):
            run.progress(total // 2 + total * number // (2 * len(days)), total, f"day {number + 1:,} of {len(days):,}")
            writer.add(day, table.of_day(day))
        writer.flush()
    run.save()


def _source(kind: ImportKind, members: Sequence[Member], run: ImportRun, taken_days: frozenset[str]) -> FigureSource:
    days = FigureDays(run.rules, taken_days)
    channels = ChannelFinder(PastEvents(str(RULES_PATH)), run.rules)
    match kind:
        case ImportKind.PLAUSIBLE:
            return Plausible(members, days, channels)
        case ImportKind.GA4:
            return GoogleAnalytics(members, days, channels)
        case _:
            raise ImportRefused(f"a file of kind {kind} has no figures")


def _taken_days(run: ImportRun, site_id: int) -> frozenset[str]:
    """Days of which another import of figures has the totals: two exports of one range would count twice."""
    with reading(run.context.engine) as session:
        versions = [version for version in figure_versions(session, site_id) if version != run.import_id]
    if not versions:
        return frozenset()
    with closing(run.store.connection()) as store:
        found = store.select(
            "SELECT DISTINCT toString(day) FROM daily WHERE site_id = %(site_id)s AND dimension = 'total' "
            "AND version IN %(versions)s",
            {"site_id": site_id, "versions": versions},
        )
    return frozenset(str(day) for (day,) in found)


def _nothing_text(report: ImportReport) -> str:
    if report.left_out:
        reason, number = report.left_out.most_common(1)[0]
        return f"nothing of it can be taken: {number:,} of its lines are {reason}"
    if report.malformed:
        return "nothing of it can be taken: no line is as it should be; the first ones are named below"
    return "it has no figures"
