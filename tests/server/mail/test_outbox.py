"""The outbox: whole files that only this user can read, the newest of them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from server.config import Settings, load_settings
from server.mail import MailDeferred, OutboxMailMissing, list_outbox, outbox_dir, read_outbox
from server.mail.message import build, new_body
from server.mail.outbox import OutboxTransport
from server.mail.rendering import render
from server.mail.transport import OutgoingMail

NOON_MS = 1_795_435_200_000


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "data")


def a_mail(mail_id: int, at_ms: int = NOON_MS, summary: str = "Grüße") -> OutgoingMail:
    context = {"kind": "k", "summary": summary, "detail": "d", "at_ms": at_ms, "repeated": "", "is_urgent": False}
    rendered = render("alert", context, "https://footfall.example", at_ms)
    body = new_body(rendered, {}, "f@footfall.example")
    message = build(
        body, subject=rendered.subject, to_address="ann@example.com", from_email="f@e.example", created_at_ms=at_ms
    )
    return OutgoingMail(mail_id, at_ms, "f@e.example", "ann@example.com", message.as_bytes())


def test_a_mail_is_a_file_for_this_user_alone(home: Settings) -> None:
    OutboxTransport(outbox_dir(home)).send(a_mail(7))
    (path,) = outbox_dir(home).iterdir()
    assert path.name == f"{NOON_MS}-7.eml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(outbox_dir(home).stat().st_mode) == 0o700
    mail = read_outbox(home, path.name)
    assert (mail.at_ms, mail.to_address, mail.subject) == (NOON_MS, "ann@example.com", "[Footfall] Grüße")
    assert mail.text.startswith("Grüße\n")
    assert "<html" in mail.html


def test_a_folder_that_was_open_is_closed(home: Settings) -> None:
    outbox_dir(home).mkdir(parents=True, mode=0o755)
    OutboxTransport(outbox_dir(home)).send(a_mail(1))
    assert stat.S_IMODE(outbox_dir(home).stat().st_mode) == 0o700


def test_a_repeated_mail_is_one_file(home: Settings) -> None:
    transport = OutboxTransport(outbox_dir(home))
    transport.send(a_mail(1, summary="first"))
    transport.send(a_mail(1, summary="second"))
    assert [mail.subject for mail in list_outbox(home)] == ["[Footfall] second"]


def test_the_newest_come_first_and_the_oldest_go(home: Settings) -> None:
    transport = OutboxTransport(outbox_dir(home), max_mails=3)
    for number, at_ms in ((9, NOON_MS), (10, NOON_MS), (11, NOON_MS - 5), (12, NOON_MS + 1)):
        transport.send(a_mail(number, at_ms, f"mail {number}"))
    assert [mail.subject[-2:] for mail in list_outbox(home)] == ["12", "10", " 9"]
    assert [mail.subject[-2:] for mail in list_outbox(home, limit=1)] == ["12"]


def test_an_empty_outbox(home: Settings) -> None:
    assert list_outbox(home) == []


@pytest.mark.parametrize("name", ["1795435200000-9.eml", "../footfall.sqlite", "x.eml", "", "/etc/passwd", ".tmp"])
def test_a_mail_that_is_not_there(home: Settings, name: str) -> None:
    with pytest.raises(OutboxMailMissing):
        read_outbox(home, name)


def test_other_files_are_no_mails(home: Settings) -> None:
    OutboxTransport(outbox_dir(home)).send(a_mail(1))
    (outbox_dir(home) / ".half.eml.1.tmp").write_bytes(b"half")
    (outbox_dir(home) / "notes.txt").write_text("notes")
    assert len(list_outbox(home)) == 1


def test_a_mail_that_makes_room_while_the_list_is_read_is_left_out(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.mail import outbox

    OutboxTransport(outbox_dir(home)).send(a_mail(1))
    monkeypatch.setattr(outbox, "_names", lambda folder: [f"{NOON_MS}-2.eml", f"{NOON_MS}-1.eml"])
    assert [mail.name for mail in list_outbox(home)] == [f"{NOON_MS}-1.eml"]


def test_a_disk_that_takes_nothing_means_later(home: Settings) -> None:
    home.data_dir.mkdir(parents=True)
    outbox_dir(home).write_text("a file where the folder should be")
    with pytest.raises(MailDeferred, match="FileExistsError"):
        OutboxTransport(outbox_dir(home)).send(a_mail(1))
