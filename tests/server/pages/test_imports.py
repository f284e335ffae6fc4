"""The page of imports: a file by form and in pieces, progress and problems as they are shown, taking back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from server.app_database import reading, writing
from server.config import Settings
from server.imports.report import ImportReport
from server.imports.rows import Saved
from server.imports.uploads import upload_path
from server.models import Import, MemberRole, Task
from server.services import Services, open_services
from server.sites import add_site
from tests.server.accounts.people import add_member, make_owner
from tests.server.pages.site_host import Answer, Browser, Host, hosted
from tests.server.pages.test_authorization import sign_in

PAGE = "/sites/shop.example/imports"
API = "/api/sites/shop.example/imports"
LOG = b'203.0.113.9 - - [01/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "Mozilla/5.0 Firefox/140.0"\n'


@pytest.fixture
def services(database_settings: Settings) -> Iterator[Services]:
    """Services on each store, with a site."""
    opened = open_services(database_settings.model_copy(update={"import_max_bytes": 2_000_000}))
    make_owner(opened)
    add_site(opened.engine, "shop.example", account_id=1)
    yield opened
    opened.close()


@pytest.fixture
def host(services: Services) -> Iterator[Host]:
    """The application."""
    with hosted(services) as running:
        yield running


@pytest.fixture
def admin(services: Services, host: Host) -> Browser:
    """An admin of the site's account, with the page open."""
    browser = sign_in(services, host, add_member(services, 1, "admin@example.com", MemberRole.ADMIN))
    browser.get(PAGE)
    return browser


def call(browser: Browser, path: str, body: bytes | dict[str, object]) -> tuple[int, dict[str, object]]:
    """What the page's script does."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = browser.ask("POST", path, content, X_Xsrftoken=browser.cookies["_xsrf"])
    return answer.status, json.loads(answer.text)


def send_form(browser: Browser, content: bytes, name: str = "access.log") -> Answer:
    """The form without scripts."""
    mark = "boundary7"
    parts = [f'--{mark}\r\nContent-Disposition: form-data; name="_xsrf"\r\n\r\n{browser.cookies["_xsrf"]}\r\n'.encode()]
    disposition = f'form-data; name="file"; filename="{name}"'
    parts.append(f"--{mark}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n")
    parts.append(f"--{mark}--\r\n".encode())
    return browser.ask("POST", PAGE, b"".join(parts), Content_Type=f"multipart/form-data; boundary={mark}")


def imports_of(services: Services) -> list[Import]:
    """All rows."""
    with reading(services.engine) as session:
        return list(session.execute(select(Import).order_by(Import.import_id)).scalars())


def test_a_file_by_the_form_waits_for_its_task(services: Services, admin: Browser) -> None:
    assert "Nothing was imported yet" in admin.get(PAGE).text
    answer = send_form(admin, LOG)
    assert (answer.status, answer.location) == (303, f"{PAGE}?done=import-started")
    page = admin.get(answer.location).text
    assert "The import is under way" in page
    assert "access.log" in page
    assert "waiting for its turn" in page
    (row,) = imports_of(services)
    assert (row.kind, row.state, row.file_name) == ("access_log", "uploaded", "access.log")
    assert upload_path(services.settings, row.import_id).read_bytes() == LOG
    with reading(services.engine) as session:
        assert session.get_one(Task, row.task_id).kind == "import.run"
    again = send_form(admin, LOG, "same.log")
    assert again.status == 400
    assert again.error_at("file") == "This file is being imported (access.log)."


def test_what_is_no_export_is_refused_at_its_field(services: Services, admin: Browser) -> None:
    answer = send_form(admin, b"hello\n" * 9, "../../etc/passwd")
    assert answer.status == 400
    assert answer.error_at("file").startswith("Nothing in it tells what it is. Taken are: Plausible")
    assert send_form(admin, b"").error_at("file") == "Choose a file."
    assert imports_of(services) == []


def test_a_file_in_pieces(services: Services, admin: Browser) -> None:
    status, begun = call(admin, API, {"size_bytes": 3 * len(LOG)})
    assert status == 201
    address = f"{API}/uploads/{begun['upload']}"
    assert call(admin, f"{address}/pieces?offset=0", LOG) == (200, {"size_bytes": len(LOG)})
    # The answer was lost: the same piece once more.
    assert call(admin, f"{address}/pieces?offset=0", LOG) == (200, {"size_bytes": len(LOG)})
    status, said = call(admin, f"{address}/pieces?offset=7000", LOG)
    assert (status, said["size_bytes"]) == (409, len(LOG))
    call(admin, f"{address}/pieces?offset={len(LOG)}", LOG * 2)
    assert call(admin, address, {"file_name": "a/b/access.log"})[0] == 201
    (row,) = imports_of(services)
    assert row.file_name == "access.log"
    assert upload_path(services.settings, row.import_id).read_bytes() == LOG * 3
    assert call(admin, address, {"file_name": "access.log"})[0] == 404


def test_pieces_that_do_not_fit_are_refused(services: Services, admin: Browser) -> None:
    assert call(admin, API, {"size_bytes": 2_000_001})[0] == 413
    for wrong in (b"", b"[]", b"{}", b'{"size_bytes": "7"}', b'{"size_bytes": 0}'):
        assert call(admin, API, wrong)[0] == 400
    _, begun = call(admin, API, {"size_bytes": 7})
    address = f"{API}/uploads/{begun['upload']}"
    assert call(admin, f"{address}/pieces?offset=x", LOG)[0] == 400
    assert call(admin, f"{address}/pieces?offset=0", b"")[0] == 413
    assert call(admin, f"{address}/pieces?offset=0", bytes(2_000_001))[0] == 413
    assert call(admin, address, {})[0] == 400
    assert call(admin, address, {"file_name": "x"})[0] == 422
    without = admin.ask("POST", f"{address}/pieces?offset=0", LOG)
    assert without.status == 403, "a request of another site's page was taken"


def test_progress_problems_and_taking_back(services: Services, admin: Browser) -> None:
    send_form(admin, LOG)
    (row,) = imports_of(services)
    report = ImportReport(taken=5, first_day="2026-11-01", last_day="2026-11-02")
    report.note_file("access.log", "access log in combined format")
    report.name_problem("access.log", 17, "it is no <line>")
    report.left_out["empty lines"] += 3
    report.outcomes.update({"accepted": 4, "blocked_path": 1})
    with writing(services.engine) as session:
        kept = session.get_one(Import, row.import_id)
        kept.state, kept.report, kept.rows = "running", Saved(report=report).as_text(), 4
        task = session.get_one(Task, row.task_id)
        task.state, task.progress_done, task.progress_total, task.message = "running", 25, 100, "9 lines read"
    said = json.loads(admin.get(API).text)["imports"][0]
    assert (said["state"], said["share"], said["message"]) == ("running", 0.25, "9 lines read")
    page = admin.get(PAGE).text
    assert 'value="25"' in page
    for text in ("9 lines read", "<td>17</td>", "it is no &lt;line&gt;", "3 left out: empty lines", "blocked path"):
        assert text in page
    answer = admin.post(f"{PAGE}/{row.import_id}/remove")
    assert (answer.status, answer.location) == (303, f"{PAGE}?done=import-removing")
    assert "Being removed." in admin.get(PAGE).text
    with reading(services.engine) as session:
        assert "import.remove" in set(session.execute(select(Task.kind)).scalars())
    assert admin.post(f"{PAGE}/{row.import_id}/remove").status == 409
    assert admin.post(f"{PAGE}/{row.import_id}/again").status == 409


def test_imports_of_other_sites_are_out_of_reach(services: Services, admin: Browser) -> None:
    send_form(admin, LOG)
    (row,) = imports_of(services)
    add_site(services.engine, "other.example", account_id=1)
    assert admin.post(f"/sites/other.example/imports/{row.import_id}/remove").status == 409
    assert json.loads(admin.get("/api/sites/other.example/imports").text) == {"imports": []}
    assert imports_of(services)[0].state == "uploaded"
