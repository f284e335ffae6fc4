"""Mails through a real SMTP server: taken, refused, put off, dropped; never in clear where that was not asked for."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.config import load_settings
from server.mail import MailDeferred, Mailer, MailRefused
from server.mail.mailer import configured_transport
from server.mail.outbox import OutboxTransport
from server.mail.smtp import Security, SmtpServer, SmtpTransport, smtp_server
from server.mail.transport import OutgoingMail
from server.tasks.runner import Outcome
from tests.server.mail.test_mailer import Post
from tests.server.tasks.fixtures import NOON_MS, SECRET_KEY, Clock, make_bench, opened
from tests.services import smtp
from tests.services.app_databases import copy_sqlite
from tests.services.closed_port import closed_port
from tests.services.smtp import PASSWORD, USER, running_smtp


def a_mail(to_address: str = "ann@example.com") -> OutgoingMail:
    content = f"From: footfall@example.com\r\nTo: {to_address}\r\nSubject: Hello\r\n\r\nHello.\r\n.\r\nEnd.\r\n"
    return OutgoingMail(1, NOON_MS, "footfall@example.com", to_address, content.encode())


def transport(port: int, security: Security, ca_file: Path | None = None, **options: str) -> SmtpTransport:
    server = SmtpServer("127.0.0.1", port, security, **options)
    return SmtpTransport(
        server, "footfall.example", timeout_s=5, tls=lambda: ssl.create_default_context(cafile=ca_file)
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[smtp.SmtpServer]:
    with running_smtp(tmp_path) as server:
        yield server


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example", SmtpServer("mail.example", 587, Security.STARTTLS)),
        ("smtp://mail.example:25?starttls=never", SmtpServer("mail.example", 25, Security.NONE)),
        ("smtp://localhost", SmtpServer("localhost", 587, Security.NONE)),
        ("smtp://127.0.0.9:2525", SmtpServer("127.0.0.9", 2525, Security.NONE)),
        ("smtp://[::1]", SmtpServer("::1", 587, Security.NONE)),
        ("smtp://localhost.example", SmtpServer("localhost.example", 587, Security.STARTTLS)),
        ("smtps://a%40b:p%2Fw@mail.example", SmtpServer("mail.example", 465, Security.TLS, "a@b", "p/w")),
        ("smtps://localhost:1465", SmtpServer("localhost", 1465, Security.TLS)),
    ],
)
def test_what_the_url_says(url: str, expected: SmtpServer) -> None:
    assert smtp_server(load_settings(smtp_url=url).smtp_url) == expected


def test_without_a_server_mails_go_to_the_outbox(tmp_path: Path) -> None:
    assert isinstance(configured_transport(load_settings(data_dir=tmp_path)), OutboxTransport)
    assert isinstance(configured_transport(load_settings(smtp_url="smtp://mail.example")), SmtpTransport)


def test_a_mail_is_taken(server: smtp.SmtpServer) -> None:
    transport(server.port, Security.NONE).send(a_mail())
    (mail,) = server.mails
    assert (mail.from_address, mail.to_addresses, mail.was_encrypted) == (
        "footfall@example.com",
        ["ann@example.com"],
        False,
    )
    assert mail.message.get_content().splitlines() == ["Hello.", ".", "End."]


@pytest.mark.parametrize("answer", ["550 5.1.1 no such user", "554 5.7.1 not wanted"])
def test_a_refused_recipient_is_a_bounce(server: smtp.SmtpServer, answer: str) -> None:
    server.refused["nobody@example.com"] = answer
    with pytest.raises(MailRefused, match=answer[:3]):
        transport(server.port, Security.NONE).send(a_mail("nobody@example.com"))
    transport(server.port, Security.NONE).send(a_mail())
    assert len(server.mails) == 1


def test_a_refused_content_is_a_bounce(server: smtp.SmtpServer) -> None:
    server.answers.append("554 looks like spam")
    with pytest.raises(MailRefused, match="554 looks like spam"):
        transport(server.port, Security.NONE).send(a_mail())


@pytest.mark.parametrize("answer", ["451 try later", "421 going down", "drop"])
def test_a_server_that_is_busy_gets_it_again(server: smtp.SmtpServer, answer: str) -> None:
    server.answers.append(answer)
    sender = transport(server.port, Security.NONE)
    with pytest.raises(MailDeferred):
        sender.send(a_mail())
    sender.send(a_mail())
    assert len(server.mails) == 1


def test_a_recipient_that_is_put_off_is_tried_again(server: smtp.SmtpServer) -> None:
    server.refused["grey@example.com"] = "450 4.2.0 greylisted"
    with pytest.raises(MailDeferred, match=r"450 4\.2\.0 greylisted"):
        transport(server.port, Security.NONE).send(a_mail("grey@example.com"))


def test_a_refused_sender_is_the_operators_to_mend(server: smtp.SmtpServer) -> None:
    server.sender_answers.append("550 not from you")
    with pytest.raises(MailDeferred, match="SMTPSenderRefused: 550 not from you"):
        transport(server.port, Security.NONE).send(a_mail())


def test_nobody_listens(tmp_path: Path) -> None:
    with closed_port() as port, pytest.raises(MailDeferred, match="ConnectionRefusedError"):
        transport(port, Security.NONE).send(a_mail())


def test_a_silent_server_is_waited_for_within_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sender = SmtpTransport(SmtpServer("127.0.0.1", silent.getsockname()[1], Security.NONE), "me", timeout_s=0.1)
        with pytest.raises(MailDeferred, match=r"TimeoutError|timed out"):
            sender.send(a_mail())


def test_starttls_and_a_login(tmp_path: Path) -> None:
    with running_smtp(tmp_path, "starttls", wants_login=True) as server:
        login = {"user": USER, "password": PASSWORD}
        transport(server.port, Security.STARTTLS, server.ca_file, **login).send(a_mail())
        (mail,) = server.mails
        assert (mail.was_encrypted, mail.was_authenticated) == (True, True)
        with pytest.raises(MailDeferred, match="SMTPAuthenticationError: 535") as caught:
            transport(server.port, Security.STARTTLS, server.ca_file, user=USER, password="wrong").send(a_mail())
        assert "wrong" not in str(caught.value)


def test_tls_from_the_start(tmp_path: Path) -> None:
    with running_smtp(tmp_path, "implicit") as server:
        transport(server.port, Security.TLS, server.ca_file).send(a_mail())
        assert [mail.was_encrypted for mail in server.mails] == [True]


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_a_certificate_that_nobody_vouches_for(tmp_path: Path, security: Security) -> None:
    with running_smtp(tmp_path, "starttls" if security is Security.STARTTLS else "implicit") as server:
        with pytest.raises(MailDeferred, match="CERTIFICATE_VERIFY_FAILED"):
            transport(server.port, security).send(a_mail())
        assert server.mails == []


def test_a_server_without_starttls_gets_nothing_in_clear(server: smtp.SmtpServer) -> None:
    with pytest.raises(MailDeferred, match="STARTTLS"):
        transport(server.port, Security.STARTTLS, user=USER, password=PASSWORD).send(a_mail())
    assert server.mails == []


def test_starttls_that_is_refused_sends_nothing_in_clear() -> None:
    """Somebody between us and the server says that it has no STARTTLS after all."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb") as stream:
                stream.write(b"220 hello\r\n")
                stream.flush()
                for line in stream:
                    heard.append(line)
                    answer = b"250-hello\r\n250 STARTTLS\r\n" if line.startswith(b"ehlo") else b"454 not now\r\n"
                    stream.write(answer)
                    stream.flush()

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        with pytest.raises(MailDeferred, match="454"):
            transport(listener.getsockname()[1], Security.STARTTLS, user=USER, password=PASSWORD).send(a_mail())
        thread.join(10)
    assert [line.split()[0].lower() for line in heard] == [b"ehlo", b"starttls", b"quit"]


def test_from_the_queue_to_the_server(tmp_path: Path, server: smtp.SmtpServer, sqlite_to_copy: Path) -> None:
    settings = load_settings(
        data_dir=tmp_path / "data",
        smtp_url=f"smtp://127.0.0.1:{server.port}",
        default_from_email="Footfall <hello@footfall.example>",
    )
    copy_sqlite(sqlite_to_copy, settings.data_dir)
    with opened(settings) as engine:
        bench = make_bench(settings, engine, Clock())
        mailer = Mailer(settings, SECRET_KEY, bench.queue)
        bench.services.__dict__["mailer"] = mailer
        post = Post(bench, mailer, None, engine)  # type: ignore[arg-type]
        server.refused["nobody@example.com"] = "550 no such user"
        server.answers.append("451 try later")
        numbers = [post.queue(address) for address in ("nobody@example.com", "ann@example.com", "bob@example.com")]
        assert post.run() == [Outcome.SUCCEEDED, Outcome.RETRIED, Outcome.SUCCEEDED]
        bench.clock.advance(s=30)
        bench.queue.sweep(bench.clock())
        assert post.run() == [Outcome.SUCCEEDED]
        assert [post.row(number).state for number in numbers] == ["failed", "sent", "sent"]
    assert [mail.to_addresses for mail in server.mails] == [["bob@example.com"], ["ann@example.com"]]
    message = server.mails[0].message
    assert message["From"] == "Footfall <hello@footfall.example>"
    text = message.get_body(("plain",))
    assert text is not None
    assert "open-sesame" in text.get_content()
