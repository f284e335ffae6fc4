"""One attempt at an import: from the file to what readers see, going on where the last attempt stopped.

Events: a part is read, judged, encoded and stored; then report and position are saved in one statement, and only then
the next part is read. A part that was stored without being saved is made again, with the same batch ids, and the store
is asked for each of them before it is sent (`server.sink`): so a run that is killed anywhere and taken again counts
once.

Whoever carries it out (a task, a command) gives `progress`, which may raise to stop: between parts, never within one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from sqlalchemy import Engine

from rust_ext import PastEvents
from server.app_database import writing
from server.batch import Batch
from server.clock import now_ms as wall_clock_ms
from server.closed_days import mark_dirty
from server.config import Settings
from server.imports import rows
from server.imports.access_logs import AccessLogs
from server.imports.batches import import_batches, import_sink
from server.imports.errors import FileMissing, ImportRefused
from server.imports.event_days import EventDays
from server.imports.figure_run import store_figures
from server.imports.kinds import ImportKind
from server.imports.members import Member, open_members
from server.imports.past_events import EventJudge, Judged
from server.imports.reading import EventSource, Part, Position, total_bytes
from server.imports.report import ImportReport
from server.imports.rows import Saved
from server.imports.rules import RULES_PATH, ImportRules, freeze_rules
from server.imports.umami import Umami
from server.imports.uploads import imports_folder
from server.queries import run_query
from server.sink import Sink
from server.store import Store

log = logging.getLogger(__name__)

# A part is a block or a few: enough rows for one INSERT, little enough to cancel within a second.
PART_LINES = 40_000

Progress = Callable[[int, int | None, str], None]
"""(done, total, message), in bytes of the file. Raises to stop."""


class NotRunning(Exception):
    """The import was cancelled, or is not to run: nothing more was stored. Not a failure."""


@dataclass(frozen=True)
class ImportContext:
    """What an attempt works with. `open_store` gives the store for as long as its `with` lasts."""

    settings: Settings
    engine: Engine
    secret_key: str = field(repr=False)
    open_store: Callable[[], AbstractContextManager[Store]]
    now_ms: Callable[[], int] = wall_clock_ms
    part_lines: int = PART_LINES


def run_import(context: ImportContext, import_id: int, path: Path, progress: Progress) -> ImportReport:
    """Import the file at `path`. Raises `ImportRefused`, `NotRunning`, `FileMissing`, whatever `progress` raises, and
    what the stores raise when they are away.
    """
    if not rows.begin(context.engine, import_id):
        raise NotRunning
    loaded = rows.load(context.engine, import_id)
    assert loaded is not None, "it has just begun"
    row, saved = loaded
    kind = ImportKind(row.kind)
    try:
        opening = open_members(path, row.file_name)
        with opening as opened, context.open_store() as store:
            for name, reason in opened.ignored:
                saved.report.note_file(name, note=reason)
            run = ImportRun(context, store, import_id, row.created_at_ms, saved, progress)
            run.freeze(row.site_id)
            if kind.is_events:
                run.store_events(kind, opened.members)
            else:
                store_figures(run, kind, opened.members)
    except ImportRefused:
        _keep_what_was_seen(context, import_id, saved.report, is_all=not kind.is_events)
        raise
    except FileNotFoundError as error:
        raise FileMissing(
            f"the file of import {import_id} is not on this machine: FOOTFALL_IMPORTS_DIR must be a folder that every "
            "machine shares"
        ) from error
    if not rows.finish(context.engine, import_id, saved, context.now_ms()):
        raise NotRunning
    return saved.report


def _keep_what_was_seen(context: ImportContext, import_id: int, seen: ImportReport, *, is_all: bool) -> None:
    """Keep what a refused file was taken for; its lines only where none was stored (`is_all`)."""
    loaded = rows.load(context.engine, import_id)
    if loaded is None:
        return
    _, kept = loaded
    if is_all:
        kept.report = seen
    else:
        kept.report.files, kept.report.more_files, kept.report.notes = seen.files, seen.more_files, seen.notes
    rows.save(context.engine, import_id, kept)


class ImportRun:
    """An attempt under way."""

    def __init__(
        self,
        context: ImportContext,
        store: Store,
        import_id: int,
        created_at_ms: int,
        saved: Saved,
        progress: Progress,
    ) -> None:
        self.context = context
        self.store = store
        self.import_id = import_id
        self.created_at_ms = created_at_ms
        self.saved = saved
        self.progress = progress
        self.rules: ImportRules

    @property
    def report(self) -> ImportReport:
        """What became of the file so far."""
        return self.saved.report

    def freeze(self, site_id: int) -> None:
        """The rules of the import: of its first attempt, or as they are now."""
        resume = self.saved.resume
        if "rules" not in resume:
            context = self.context
            with closing(self.store.connection()) as connection:
                found = run_query(connection, "first_live_hit", site_id=site_id)
            rules = freeze_rules(
                context.engine,
                context.settings,
                context.secret_key,
                site_id,
                context.now_ms(),
                first_live_ms=int(found[0][0]) * 1000 if found else None,
                takes_live_days=self.saved.takes_live_days,
            )
            resume["rules"] = rules.as_json()
            resume["part_lines"] = context.part_lines
            self.save()
        self.rules = ImportRules.from_json(resume["rules"])

    def save(self) -> None:
        """Keep how far it has come. Raises `NotRunning`."""
        if not rows.save(self.context.engine, self.import_id, self.saved):
            raise NotRunning

    # -- events --------------------------------------------------------------------------------------------------

    def store_events(self, kind: ImportKind, members: Sequence[Member]) -> None:
        """Store every part that is not stored yet."""
        resume = self.saved.resume
        position = Position.from_json(resume["position"]) if "position" in resume else Position()
        salt = self.rules.salt(self.context.secret_key)
        judge = EventJudge(PastEvents(str(RULES_PATH)), self.rules, salt)
        days = EventDays(self.rules)
        total = total_bytes(members)
        with self._source(kind, members) as source, self._sinks() as sinks:
            for part in source.parts(position, self.report, resume["part_lines"]):
                chunk = resume.get("chunk", 0)
                judged, touched = self._judge(part, judge, days)
                self._store(import_batches(
                    judged,
                    import_id=self.import_id,
                    created_at_ms=self.created_at_ms,
                    chunk=chunk,
                    retention_class=int(self.rules.site["retention_class"]),
                    now_ms=self.context.now_ms(),
                ), sinks)  # fmt: skip
                with writing(self.context.engine) as session:
                    mark_dirty(session, self.rules.site_id, touched, self.context.now_ms())
                resume["position"], resume["chunk"] = part.position.as_json(), chunk + 1
                self.save()
                self.progress(part.done_bytes, total, f"{self.report.lines:,} lines read")

    def _judge(self, part: Part, judge: EventJudge, days: EventDays) -> tuple[list[Judged], set[date]]:
        """The records of a part, and the days on which they are rows."""
        within = list(days.within(part.events, self.report))
        if not within:
            return [], set()
        judge.aim(min(event.time_ms for event, _ in within), max(event.time_ms for event, _ in within))
        judged: list[Judged] = []
        touched: set[date] = set()
        for event, day in within:
            record = judge.judge(event, day)
            self.report.outcomes[record.outcome] += 1
            judged.append(record)
            if record.outcome == "accepted":
                touched.add(day)
        for day in touched:
            self.report.saw_day(str(day))
        return judged, touched

    def _store(self, batches: Sequence[Batch], sinks: dict[int, Sink]) -> None:
        for batch in batches:
            sink = sinks.get(batch.shard) or sinks.setdefault(batch.shard, import_sink(self.store, batch.shard))
            # Whatever happened before, the store is asked first: it costs two look-ups by primary key for each batch.
            sink.store(batch, sent_before=True)

    @contextmanager
    def _source(self, kind: ImportKind, members: Sequence[Member]) -> Iterator[EventSource]:
        match kind:
            case ImportKind.ACCESS_LOG:
                yield AccessLogs(members, self.rules.domain)
            case ImportKind.UMAMI:
                with closing(Umami(members, self.rules.domain, imports_folder(self.context.settings))) as source:
                    yield source
            case _:
                raise ImportRefused(f"a file of kind {kind} has no events")

    @contextmanager
    def _sinks(self) -> Iterator[dict[int, Sink]]:
        sinks: dict[int, Sink] = {}
        try:
            yield sinks
        finally:
            for sink in sinks.values():
                sink.close()
