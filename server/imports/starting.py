"""Starting, repeating and ending imports: what pages and commands call. Each is written to the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.blocks import blocked_site_ids
from server.app_database import writing
from server.clock import now_ms
from server.imports import rows
from server.imports.errors import ImportBusy, ImportRefused
from server.imports.kinds import kind_of
from server.imports.members import open_members, shown_name
from server.imports.rows import ImportState
from server.imports.rules import REFUSED_STATES
from server.imports.uploads import Upload, upload_path
from server.models import Import, Site

if TYPE_CHECKING:
    from server.services import Services


def start_import(
    services: Services,
    site_id: int,
    upload: Upload,
    file_name: str,
    *,
    takes_live_days: bool = False,
    user_id: int | None = None,
) -> int:
    """Import a file that has been uploaded into a site: the import's number. The upload is kept or dropped.

    Raises `ImportRefused` (of another kind, imported already, damaged) and `UploadGone`.
    """
    content_hash = upload.finish()
    try:
        name = shown_name(file_name)
        with open_members(upload.path, name) as opened:
            if not opened.members:
                raise ImportRefused("there is no file in it")
            kind = kind_of(opened.members)
        with writing(services.engine) as session:
            site = session.get(Site, site_id)
            if site is None or site.state in REFUSED_STATES or site_id in blocked_site_ids(session):
                raise ImportRefused("the site takes no hits: it is blocked, or destroyed")
            row = rows.add_import(
                session,
                site,
                kind=kind,
                file_name=name,
                content_hash=content_hash,
                takes_live_days=takes_live_days,
                user_id=user_id,
                now_ms=now_ms(),
            )
            _queue(services, session, row, site)
            _log(session, Action.IMPORT_STARTED, site, row, user_id)
            # Before the commit: once there is a task, there is its file.
            upload.keep_as(row.import_id)
            return row.import_id
    finally:
        upload.drop()


def repeat_import(services: Services, site_id: int, import_id: int, user_id: int | None = None) -> None:
    """Let a failed import go on where it stopped. Raises `ImportBusy` when it did not fail, or its file is gone."""
    if not upload_path(services.settings, import_id).exists():
        raise ImportBusy("its file is not kept any more: remove the import, then send the file again")
    with writing(services.engine) as session:
        row = rows.find_import(session, site_id, import_id)
        if row is None or not rows.try_again(session, import_id):
            raise ImportBusy("it has not failed")
        site = session.get_one(Site, site_id)
        _queue(services, session, row, site)
        _log(session, Action.IMPORT_STARTED, site, row, user_id)


def take_back(services: Services, site_id: int, import_id: int, user_id: int | None = None) -> None:
    """Stop an import if it is under way, and take all of it away. Raises `ImportBusy` when that is being done."""
    with writing(services.engine) as session:
        row = rows.find_import(session, site_id, import_id)
        if row is None or not rows.begin_removal(session, import_id):
            raise ImportBusy("it is gone, or being removed already")
        was_done = row.state == ImportState.DONE
        site = session.get_one(Site, site_id)
        task_id = row.task_id
        services.tasks.enqueue(
            session,
            "import.remove",
            arguments={"import_id": import_id},
            account_id=site.account_id,
            unique_key=f"import.remove {import_id}",
        )
        _log(session, Action.IMPORT_REMOVED if was_done else Action.IMPORT_CANCELLED, site, row, user_id)
    if task_id is not None:
        services.tasks.cancel(task_id)


def _queue(services: Services, session: Session, row: Import, site: Site) -> None:
    task_id = services.tasks.enqueue(
        session,
        "import.run",
        arguments={"import_id": row.import_id},
        account_id=site.account_id,
        unique_key=f"import.run {row.import_id}",
    )
    rows.set_task(session, row.import_id, task_id)


def _log(session: Session, action: Action, site: Site, row: Import, user_id: int | None) -> None:
    write_entry(
        session,
        action,
        now_ms(),
        actor=user_id,
        account_id=site.account_id,
        target=site.domain,
        import_id=row.import_id,
        kind=row.kind,
    )
