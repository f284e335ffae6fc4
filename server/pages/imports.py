"""`/sites/<domain>/imports`: figures brought from elsewhere, how far they have come, and taking them back.

A file comes in pieces, because a request's body has a limit, here and in proxies: the page's script begins an upload,
sends piece after piece, each of which may be sent again, and finishes it. Without scripts the form sends a small file
at once.
"""

from __future__ import annotations

from typing import Any

import orjson
from tornado.web import HTTPError

from server.accounts.access import by_method, member
from server.accounts.errors import FormError
from server.app_database import reading
from server.handler import AppContext, BaseHandler
from server.imports import rows
from server.imports.errors import ImportBusy, ImportRefused, QuotaExceeded
from server.imports.kinds import EXPECTED, ImportKind
from server.imports.rows import ImportState, Saved
from server.imports.starting import repeat_import, start_import, take_back
from server.imports.uploads import OffsetWrong, Upload, UploadGone, UploadTooLarge, check_quota
from server.models import Import, MemberRole
from server.pages.page import PageHandler
from server.rate_limit import rate_limit
from server.tasks import task_status

# Well below what the front and usual proxies take (20 MiB, 10 MB with a line in nginx).
PIECE_BYTES = 8 * 1024 * 1024

# A form without scripts sends its file as one body.
FORM_FILE_BYTES = 16 * 1024 * 1024

ADMINS = member(MemberRole.ADMIN)


class ImportsBase(BaseHandler):
    """What page and JSON have in common."""

    def read_imports(self) -> list[dict[str, Any]]:
        """The site's imports, the newest first, as they are shown."""
        assert self.site is not None
        engine = self.app_context.engine
        with reading(engine) as session:
            found = rows.site_imports(session, self.site.site_id)
        return [self._shown(row) for row in found]

    def _shown(self, row: Import) -> dict[str, Any]:
        status = None if row.task_id is None else task_status(self.app_context.engine, row.task_id)
        saved = Saved.from_text(row.report)
        report = saved.report
        is_running = row.state in (ImportState.UPLOADED, ImportState.RUNNING)
        return {
            "import_id": row.import_id,
            "kind": row.kind,
            "kind_shown": ImportKind(row.kind).shown,
            "state": row.state,
            "file_name": row.file_name,
            "created_at_ms": row.created_at_ms,
            "first_day": row.first_day,
            "last_day": row.last_day,
            "rows": row.rows,
            "error": saved.error,
            "share": status.share if status is not None and is_running else None,
            "message": status.message if status is not None and is_running else "",
            "taken": report.taken,
            "left_out": dict(report.left_out.most_common()),
            "outcomes": {label: hits for label, hits in report.outcomes.items() if label != "accepted"},
            "malformed": report.malformed.total(),
            "problems": [
                {"file": problem.file, "line": problem.number, "reason": problem.reason} for problem in report.problems
            ],
            "files": [{"name": file.name, "what": file.what, "note": file.note} for file in report.files],
            "more_files": report.more_files,
            "guessed_lines": report.guessed_lines,
            "notes": report.notes,
        }


class ImportsHandler(ImportsBase, PageHandler):
    """The page, and its form."""

    is_open_to_stand_ins = True
    access = by_method(GET=ADMINS, POST=ADMINS)
    template = "imports.html"

    async def get(self, domain: str) -> None:
        """The page."""
        await self._show()

    @rate_limit("20/m", "200/h")
    async def post(self, domain: str) -> None:
        """Take a small file at once."""
        login, place = self.member
        assert self.site is not None
        files = self.request.files.get("file", [])
        if not files or not files[0].body:
            await self._show(error=FormError("file", "Choose a file."))
            return
        file = files[0]
        if len(file.body) > FORM_FILE_BYTES:
            megabytes = FORM_FILE_BYTES // 1024**2
            text = f"Without scripts a file may have {megabytes} MB: allow scripts for this page, or compress the file."
            await self._show(error=FormError("file", text))
            return
        takes_live_days = bool(self.get_body_argument("takes_live_days", ""))
        services, site_id = self.app_context.services, self.site.site_id

        def take() -> None:
            check_quota(services.engine, services.settings, place.account_id, len(file.body))
            upload = Upload.begin(services.settings, place.account_id)
            upload.append(0, file.body)
            start_import(
                services,
                site_id,
                upload,
                file.filename,
                takes_live_days=takes_live_days,
                user_id=login.user_id,
            )

        try:
            await self.in_thread(take)
        except ImportRefused as refused:
            await self._show(error=FormError("file", sentence(refused)))
            return
        self.done(f"/sites/{self.site.domain}/imports", "import-started")

    async def _show(self, error: FormError | None = None) -> None:
        imports = await self.in_thread(self.read_imports)
        self.show(
            error=error,
            imports=imports,
            expected=EXPECTED,
            is_moving=any(each["state"] in ("uploaded", "running", "removing") for each in imports),
            max_bytes=self.app_context.settings.import_max_bytes,
        )


class ImportChangeHandler(PageHandler):
    """`/sites/<domain>/imports/<id>/remove|again`"""

    is_open_to_stand_ins = True
    access = by_method(POST=ADMINS)

    @rate_limit("60/m")
    async def post(self, domain: str, import_id: str, what: str) -> None:
        """Take an import back, or let a failed one go on."""
        login, _ = self.member
        assert self.site is not None
        change = take_back if what == "remove" else repeat_import
        services = self.app_context.services
        try:
            await self.in_thread(change, services, self.site.site_id, int(import_id), login.user_id)
        except ImportBusy as busy:
            raise HTTPError(409, sentence(busy)) from None
        self.done(f"/sites/{self.site.domain}/imports", "import-removing" if what == "remove" else "import-started")


class ImportListHandler(ImportsBase):
    """`/api/sites/<domain>/imports`: what the page asks while something is under way, and where an upload begins."""

    is_open_to_stand_ins = True
    access = by_method(GET=ADMINS, POST=ADMINS)

    async def get(self, domain: str) -> None:
        """Every import of the site."""
        self.write_json({"imports": await self.in_thread(self.read_imports)})

    @rate_limit("20/m", "200/h")
    async def post(self, domain: str) -> None:
        """Begin an upload of `size_bytes`."""
        _, place = self.member
        size_bytes = json_body(self).get("size_bytes")
        settings, engine = self.app_context.settings, self.app_context.engine
        if not isinstance(size_bytes, int) or size_bytes < 1:
            raise HTTPError(400, "size_bytes is the size of the file: a whole number from 1.")
        if size_bytes > settings.import_max_bytes:
            raise HTTPError(413, f"A file may have {settings.import_max_bytes:,} bytes: compress it, or send parts.")

        def begin() -> Upload:
            check_quota(engine, settings, place.account_id, size_bytes)
            return Upload.begin(settings, place.account_id)

        try:
            upload = await self.in_thread(begin)
        except QuotaExceeded as refused:
            raise HTTPError(409, sentence(refused)) from None
        self.write_json({"upload": upload.token, "piece_bytes": PIECE_BYTES}, 201)


class PieceHandler(BaseHandler):
    """`/api/sites/<domain>/imports/uploads/<token>/pieces?offset=`"""

    is_open_to_stand_ins = True
    access = by_method(POST=ADMINS)

    @rate_limit("600/m")
    async def post(self, domain: str, token: str) -> None:
        """Add the body at `offset`. 409 names where the next piece has to begin."""
        _, place = self.member
        offset = self.get_query_argument("offset", "")
        body = self.request.body
        if not offset.isdecimal() or len(offset) > 15:
            raise HTTPError(400, "offset is the number of bytes before this piece.")
        if not 0 < len(body) <= PIECE_BYTES:
            raise HTTPError(413, f"A piece has 1 to {PIECE_BYTES:,} bytes.")
        settings, engine = self.app_context.settings, self.app_context.engine
        upload = Upload(settings, place.account_id, token)

        def append() -> int:
            check_quota(engine, settings, place.account_id, len(body))
            return upload.append(int(offset), body)

        try:
            size_bytes = await self.in_thread(append)
        except OffsetWrong as wrong:
            self.write_json({"error": {"status": 409, "message": str(wrong)}, "size_bytes": wrong.size_bytes}, 409)
            return
        except UploadGone as gone:
            raise HTTPError(404, sentence(gone)) from None
        except UploadTooLarge as large:
            raise HTTPError(413, sentence(large)) from None
        except QuotaExceeded as refused:
            raise HTTPError(409, sentence(refused)) from None
        self.write_json({"size_bytes": size_bytes})


class UploadHandler(BaseHandler):
    """`/api/sites/<domain>/imports/uploads/<token>`: the end of an upload."""

    is_open_to_stand_ins = True
    access = by_method(POST=ADMINS)

    @rate_limit("20/m", "200/h")
    async def post(self, domain: str, token: str) -> None:
        """The file is complete: import it."""
        login, place = self.member
        assert self.site is not None
        given = json_body(self)
        name = given.get("file_name")
        if not isinstance(name, str) or not name:
            raise HTTPError(400, "file_name is the name of the file.")
        upload = Upload(self.app_context.settings, place.account_id, token)
        services, site_id = self.app_context.services, self.site.site_id

        def start() -> int:
            return start_import(
                services,
                site_id,
                upload,
                name,
                takes_live_days=given.get("takes_live_days") is True,
                user_id=login.user_id,
            )

        try:
            import_id = await self.in_thread(start)
        except UploadGone as gone:
            raise HTTPError(404, sentence(gone)) from None
        except ImportRefused as refused:
            raise HTTPError(422, sentence(refused)) from None
        self.write_json({"import_id": import_id}, 201)


def json_body(handler: BaseHandler) -> dict[str, Any]:
    """The request's body, a JSON object. Raises `HTTPError` 400."""
    try:
        given = orjson.loads(handler.request.body)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise HTTPError(400, "The body is a JSON object.")
    return given


def sentence(error: Exception) -> str:
    """An error's text as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?')) else '.'}"


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [
        (r"/sites/(?P<domain>[^?]+)/imports", ImportsHandler, given),
        (
            r"/sites/(?P<domain>[^?]+)/imports/(?P<import_id>[0-9]{1,9})/(?P<what>remove|again)",
            ImportChangeHandler,
            given,
        ),
        (r"/api/sites/(?P<domain>[^?]+)/imports", ImportListHandler, given),
        (r"/api/sites/(?P<domain>[^?]+)/imports/uploads/(?P<token>[0-9a-f]{32})", UploadHandler, given),
        (r"/api/sites/(?P<domain>[^?]+)/imports/uploads/(?P<token>[0-9a-f]{32})/pieces", PieceHandler, given),
    ]
