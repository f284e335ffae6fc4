"""The rows of `imports`, and how they change. Every change is one conditional statement, the same on both stores.

| from | to | when |
|---|---|---|
| – | uploaded | the file is there, and its task is queued |
| uploaded, running | running | an attempt begins |
| running | running | a part is stored: report and position in one statement |
| running | done | all of it is stored |
| uploaded, running | failed | the task gave up |
| failed | uploaded | somebody tries again |
| any | removing | somebody cancels it, or takes it back |
| removing | cancelled | nothing of it is left; the row stays, so that its number is not given out again |

`report` holds JSON: what pages show (`server.imports.report`), what was chosen, and, while it is not done, how to go on
(`resume`): position, chunk and frozen rules. So an attempt goes on where the last one stopped, whichever process makes
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from server.app_database import reading, writing
from server.imports.errors import AlreadyImported
from server.imports.report import ImportReport
from server.models import Import, Site

MAX_FILE_NAME_CHARS = 200

# Kinds whose files hold figures of days: rows of `daily`, where the others make events.
FIGURE_KINDS = ("plausible", "ga4")
KINDS = (*FIGURE_KINDS, "umami", "access_log")


class ImportState(StrEnum):
    """What a row says."""

    UPLOADED = "uploaded"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    REMOVING = "removing"
    CANCELLED = "cancelled"


# While one of these holds, the same file is not taken again.
ALIVE = (ImportState.UPLOADED, ImportState.RUNNING, ImportState.DONE, ImportState.FAILED, ImportState.REMOVING)
UNFINISHED = (ImportState.UPLOADED, ImportState.RUNNING)


@dataclass
class Saved:
    """What the column `report` holds; see the module."""

    report: ImportReport = field(default_factory=ImportReport)
    takes_live_days: bool = False
    error: str = ""
    resume: dict[str, Any] = field(default_factory=dict)

    def as_text(self) -> str:
        """For the column."""
        return orjson.dumps(
            {
                "report": self.report.as_json(),
                "takes_live_days": self.takes_live_days,
                "error": self.error,
                "resume": self.resume,
            }
        ).decode()

    @classmethod
    def from_text(cls, text: str) -> Saved:
        """What `as_text` made."""
        saved = orjson.loads(text or "{}")
        return cls(
            report=ImportReport.from_json(saved.get("report", {})),
            takes_live_days=saved.get("takes_live_days", False),
            error=saved.get("error", ""),
            resume=saved.get("resume", {}),
        )


def add_import(
    session: Session,
    site: Site,
    *,
    kind: str,
    file_name: str,
    content_hash: str,
    takes_live_days: bool,
    user_id: int | None,
    now_ms: int,
) -> Import:
    """Add an import that is to run. Raises `AlreadyImported` for a file that the site has, or is getting."""
    # One at a time for each site: of two uploads of one file the second sees the first.
    session.execute(select(Site.site_id).where(Site.site_id == site.site_id).with_for_update())
    same = select(Import).where(
        Import.site_id == site.site_id, Import.content_hash == content_hash, Import.state.in_(ALIVE)
    )
    present = session.execute(same).scalars().first()
    if present is not None:
        raise AlreadyImported(present.import_id, already_text(present))
    row = Import(
        site_id=site.site_id,
        kind=kind,
        state=ImportState.UPLOADED,
        file_name=file_name[-MAX_FILE_NAME_CHARS:],
        content_hash=content_hash,
        report=Saved(takes_live_days=takes_live_days).as_text(),
        created_by_user_id=user_id,
        created_at_ms=now_ms,
    )
    session.add(row)
    session.flush()
    return row


def already_text(present: Import) -> str:
    """Why a file is not taken again."""
    match present.state:
        case ImportState.DONE:
            return f"this file was imported already ({present.file_name}): remove that import first to do it again"
        case ImportState.REMOVING:
            return "an earlier import of this file is being removed: try again in a moment"
        case ImportState.FAILED:
            return f"an import of this file could not be finished ({present.file_name}): try that one again"
        case _:
            return f"this file is being imported ({present.file_name})"


def site_imports(session: Session, site_id: int) -> list[Import]:
    """A site's imports, the newest first; without those that were removed."""
    seen = (Import.site_id == site_id) & Import.kind.in_(KINDS) & (Import.state != ImportState.CANCELLED)
    ours = select(Import).where(seen).order_by(Import.import_id.desc())
    return list(session.execute(ours).scalars())


def find_import(session: Session, site_id: int, import_id: int) -> Import | None:
    """An import of this site."""
    row = session.get(Import, import_id)
    return row if row is not None and row.site_id == site_id and row.kind in KINDS else None


def load(engine: Engine, import_id: int) -> tuple[Import, Saved] | None:
    """An import with what it has come to; None when there is none."""
    with reading(engine) as session:
        row = session.get(Import, import_id)
        return None if row is None else (row, Saved.from_text(row.report))


def figure_versions(session: Session, site_id: int) -> list[int]:
    """The versions of `daily` that a site's imports of figures have: those that are done, and nothing else of them."""
    ours = (Import.site_id == site_id) & Import.kind.in_(FIGURE_KINDS) & (Import.state == ImportState.DONE)
    return list(session.execute(select(Import.import_id).where(ours).order_by(Import.import_id)).scalars())


def begin(engine: Engine, import_id: int) -> bool:
    """Mark an import as running. False when it is not to run: done, or being removed."""
    return _change(engine, import_id, UNFINISHED, state=ImportState.RUNNING)


def save(engine: Engine, import_id: int, saved: Saved) -> bool:
    """Keep how far it has come. False when it is not running any more: then nothing was kept."""
    report = saved.report
    return _change(
        engine,
        import_id,
        (ImportState.RUNNING,),
        report=saved.as_text(),
        rows=report.stored,
        first_day=report.first_day,
        last_day=report.last_day,
    )


def finish(engine: Engine, import_id: int, saved: Saved, now_ms: int) -> bool:
    """All of it is stored: forget how to go on. False when it is not running any more."""
    saved.resume = {}
    saved.error = ""
    report = saved.report
    return _change(
        engine,
        import_id,
        (ImportState.RUNNING,),
        state=ImportState.DONE,
        report=saved.as_text(),
        rows=report.stored,
        first_day=report.first_day,
        last_day=report.last_day,
        ended_at_ms=now_ms,
    )


def fail(session: Session, import_id: int, reason: str, now_ms: int) -> bool:
    """It will not be tried again by itself. What was stored stays until somebody decides."""
    row = session.execute(
        select(Import).where(Import.import_id == import_id, Import.state.in_(UNFINISHED)).with_for_update()
    ).scalar()
    if row is None:
        return False
    saved = Saved.from_text(row.report)
    saved.error = reason
    row.report, row.state, row.ended_at_ms = saved.as_text(), ImportState.FAILED, now_ms
    return True


def try_again(session: Session, import_id: int) -> bool:
    """Let a failed import go on. False when it is none."""
    return _change_in(session, import_id, (ImportState.FAILED,), state=ImportState.UPLOADED, ended_at_ms=None)


def begin_removal(session: Session, import_id: int) -> bool:
    """Nothing more is stored from now on. False when there is nothing to remove."""
    states = (ImportState.UPLOADED, ImportState.RUNNING, ImportState.DONE, ImportState.FAILED)
    return _change_in(session, import_id, states, state=ImportState.REMOVING)


def end_removal(session: Session, import_id: int, now_ms: int) -> None:
    """Nothing of it is left. The row stays, out of sight: readers and batches know imports by their numbers."""
    values = {"rows": 0, "first_day": "", "last_day": "", "report": Saved().as_text(), "ended_at_ms": now_ms}
    _change_in(session, import_id, (ImportState.REMOVING,), state=ImportState.CANCELLED, **values)


def set_task(session: Session, import_id: int, task_id: int) -> None:
    """The task that runs it, for its progress."""
    session.execute(update(Import).where(Import.import_id == import_id).values(task_id=task_id))


def _change(engine: Engine, import_id: int, states: tuple[ImportState, ...], **values: Any) -> bool:
    with writing(engine) as session:
        return _change_in(session, import_id, states, **values)


def _change_in(session: Session, import_id: int, states: tuple[ImportState, ...], **values: Any) -> bool:
    statement = (
        update(Import)
        .where(Import.import_id == import_id, Import.state.in_(states))
        .values(**values)
        .returning(Import.import_id)
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).scalar() is not None
