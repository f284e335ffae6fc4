"""From queueing to the row's end: sealed while it waits, erased afterwards, one bounce stops no other mail."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from server.app_database import reading, writing
from server.config import Settings
from server.mail import (
    ContextMismatch,
    HeaderRefused,
    MailDeferred,
    Mailer,
    MailRefused,
    QueuedMail,
    UnknownTemplate,
    send_test,
    watch_mails,
)
from server.mail.mailer import MAX_WATCHED, SEND_ATTEMPTS
from server.mail.transport import OutgoingMail
from server.models import Mail, Task
from server.tasks import Cancelled
from server.tasks.runner import Outcome
from tests.server.tasks.fixtures import NOON_MS, SECRET_KEY, Bench, Clock, make_bench

if TYPE_CHECKING:
    from server.services import Services

LINK = "https://footfall.example/reset/finish?token=open-sesame"


@dataclass
class ScriptedTransport:
    """Takes mails, or raises what the test put in."""

    sent: list[OutgoingMail] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def send(self, mail: OutgoingMail) -> None:
        """Raise the next error, or keep the mail."""
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(mail)


@dataclass
class Post:
    """A mailer with a runner beside it."""

    bench: Bench
    mailer: Mailer
    transport: ScriptedTransport
    engine: Engine

    def queue(self, to_address: str = "ann@example.com", template: str = "reset_password", **options: Any) -> int:
        """Queue a mail that carries a link."""
        context: dict[str, Any] = {"name": "Ann", "link": LINK, "expires_in": "an hour"}
        with writing(self.engine) as session:
            return self.mailer.queue(
                session, to_address, template, **(context if template == "reset_password" else {}), **options
            )

    def row(self, mail_id: int) -> Mail:
        """The mail's row as it stands."""
        with reading(self.engine) as session:
            return session.get_one(Mail, mail_id)

    def run(self) -> list[Outcome | None]:
        """Carry out all tasks whose messages wait."""
        return [self.bench.runner.run(task_id) for task_id in self.bench.broker.taken()]


@pytest.fixture
def post(settings: Settings, engine: Engine, clock: Clock) -> Post:
    bench = make_bench(settings, engine, clock)
    transport = ScriptedTransport()
    mailer = Mailer(settings, SECRET_KEY, bench.queue, transport=transport, pause=lambda _: None)
    bench.services.__dict__["mailer"] = mailer
    return Post(bench, mailer, transport, engine)


def test_a_mail_is_sealed_while_it_waits_and_erased_once_it_is_sent(post: Post) -> None:
    mail_id = post.queue()
    row = post.row(mail_id)
    assert (row.state, row.to_address, row.template) == ("queued", "ann@example.com", "reset_password")
    assert row.subject == "Set a new password"
    assert row.body_sealed is not None
    with post.engine.connect() as connection:
        everything = str(connection.execute(text("SELECT * FROM mails")).all()) + str(
            connection.execute(text("SELECT * FROM tasks")).all()
        )
    assert "open-sesame" not in everything
    assert b"open-sesame" not in row.body_sealed
    assert post.run() == [Outcome.SUCCEEDED]
    row = post.row(mail_id)
    assert (row.state, row.body_sealed, row.error, row.ended_at_ms) == ("sent", None, "", NOON_MS)
    (mail,) = post.transport.sent
    assert (mail.to_address, mail.from_address) == ("ann@example.com", "footfall@localhost")
    assert b"open-sesame" in mail.content


def test_a_mail_leaves_with_the_transaction_or_not_at_all(post: Post) -> None:
    with writing(post.engine) as session:
        post.mailer.queue(session, "ann@example.com", "test")
        session.rollback()
    assert post.bench.broker.messages == []
    with reading(post.engine) as session:
        assert session.query(Mail).count() == session.query(Task).count() == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"template": "newsletter"}, UnknownTemplate),
        ({"template": "test", "name": "Ann"}, ContextMismatch),
        ({"to_address": "ann@example.com\r\nBcc: eve@example.com"}, ValueError),
        ({"to_address": "Ann <ann@example.com>"}, ValueError),
        ({"to_address": "ann@example.com,eve@example.com"}, ValueError),
        ({"headers": {"Bcc": "eve@example.com"}}, HeaderRefused),
        ({"headers": {"bad name": "x"}}, HeaderRefused),
        ({"headers": {"List-Id": "x\r\nBcc: eve@example.com"}}, HeaderRefused),
        ({"headers": {"List-Id": ""}}, HeaderRefused),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_queued(
    post: Post, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        post.queue(**options)
    with reading(post.engine) as session:
        assert session.query(Mail).count() == session.query(Task).count() == 0


def test_a_bounce_ends_its_mail_and_stops_no_other(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    post.transport.errors = [MailRefused("550 no such user nobody@example.com")]
    first, second = post.queue("nobody@example.com"), post.queue("ann@example.com")
    assert post.run() == [Outcome.SUCCEEDED, Outcome.SUCCEEDED]
    row = post.row(first)
    assert (row.state, row.body_sealed) == ("failed", None)
    assert row.error == "550 no such user nobody@example.com"
    assert post.row(second).state == "sent"
    assert post.bench.services.alerts.raised == [], "a mistyped address is no alarm"
    assert "a mail was refused for good" in caplog.text
    assert "example.com" not in str([vars(record) for record in caplog.records])


def test_a_busy_server_gets_the_same_mail_again(post: Post) -> None:
    post.transport.errors = [MailDeferred("451 try later")]
    mail_id = post.queue()
    assert post.run() == [Outcome.RETRIED]
    row = post.row(mail_id)
    assert (row.state, row.error) == ("queued", "451 try later")
    assert row.body_sealed is not None
    post.bench.clock.advance(s=30)
    assert post.bench.queue.sweep(post.bench.clock()) == 1
    assert post.run() == [Outcome.SUCCEEDED]
    assert (post.row(mail_id).state, post.row(mail_id).error) == ("sent", "")


def test_a_mail_sent_twice_has_one_message_id(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server took it, and then the app database was away for longer than we waited."""
    mail_id = post.queue()

    def dead(*_: object) -> None:
        raise OperationalError("statement", {}, Exception())

    with monkeypatch.context() as broken:
        broken.setattr(post.mailer, "_end", dead)
        assert post.run() == [Outcome.RETRIED]
    post.bench.clock.advance(s=30)
    post.bench.queue.sweep(post.bench.clock())
    assert post.run() == [Outcome.SUCCEEDED]
    first, second = post.transport.sent
    assert first.content == second.content
    assert post.row(mail_id).state == "sent"


def test_a_short_outage_after_sending_does_not_send_again(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    from server.mail import mailer

    failures = [OperationalError("statement", {}, Exception())] * 2

    def flaky(engine: Engine) -> Any:
        if post.transport.sent and failures:
            raise failures.pop()
        return writing(engine)

    post.queue()
    monkeypatch.setattr(mailer, "writing", flaky)
    assert post.run() == [Outcome.SUCCEEDED]
    assert (len(post.transport.sent), failures) == (1, [])


def test_a_mail_that_is_given_up_has_failed_and_is_erased(post: Post) -> None:
    post.transport.errors = [MailDeferred("421 away")] * SEND_ATTEMPTS
    mail_id = post.queue()
    outcomes = []
    for _ in range(SEND_ATTEMPTS):
        outcomes += post.run()
        post.bench.clock.advance(s=4 * 3600)
        post.bench.queue.sweep(post.bench.clock())
    assert outcomes == [Outcome.RETRIED] * (SEND_ATTEMPTS - 1) + [Outcome.FAILED]
    row = post.row(mail_id)
    assert (row.state, row.body_sealed, row.error) == ("failed", None, "given up: MailDeferred; 421 away")
    assert [raised[1] for raised in post.bench.services.alerts.raised] == ["mail.send"]


def test_an_alerts_mail_that_is_given_up_raises_no_alert(post: Post) -> None:
    post.transport.errors = [MailDeferred("421 away")] * SEND_ATTEMPTS
    context: dict[str, Any] = {
        "kind": "k",
        "summary": "s",
        "detail": "",
        "at_ms": NOON_MS,
        "repeated": "",
        "is_urgent": False,
    }
    post.queue(template="alert", **context)
    for _ in range(SEND_ATTEMPTS):
        outcomes = post.run()
        post.bench.clock.advance(s=4 * 3600)
        post.bench.queue.sweep(post.bench.clock())
    assert outcomes == [Outcome.FAILED]
    assert post.bench.services.alerts.raised == []


def test_a_cancelled_mail_is_erased(post: Post) -> None:
    mail_id = post.queue()
    (task_id,) = post.bench.broker.taken()
    assert post.bench.queue.cancel(task_id) is Cancelled.AT_ONCE
    row = post.row(mail_id)
    assert (row.state, row.body_sealed, row.error) == ("failed", None, "given up: cancelled")


def test_another_secret_key_opens_nothing(post: Post, settings: Settings) -> None:
    mail_id = post.queue()
    stranger = Mailer(settings, "x" * 32, post.bench.queue, transport=post.transport)
    post.bench.services.__dict__["mailer"] = stranger
    assert post.run() == [Outcome.FAILED]
    assert (post.row(mail_id).state, post.transport.sent) == ("failed", [])
    assert "another secret key" in post.row(mail_id).error


def test_a_body_belongs_to_its_row(post: Post) -> None:
    first, second = post.queue(), post.queue("bob@example.com")
    with writing(post.engine) as session:
        session.get_one(Mail, second).body_sealed = session.get_one(Mail, first).body_sealed
    assert post.run() == [Outcome.SUCCEEDED, Outcome.FAILED]
    assert [mail.to_address for mail in post.transport.sent] == ["ann@example.com"]


def test_a_mail_that_was_sent_is_not_sent_again(post: Post) -> None:
    mail_id = post.queue()
    post.run()
    post.mailer.send(post.engine, mail_id)
    post.mailer.send(post.engine, 999)
    assert len(post.transport.sent) == 1


def test_the_test_mail(post: Post) -> None:
    services = cast("Services", post.bench.services)
    mail_id = send_test(services, "staff@example.com")
    assert post.run() == [Outcome.SUCCEEDED]
    assert (post.row(mail_id).template, post.row(mail_id).state) == ("test", "sent")


def test_who_watches_sees_what_was_queued_also_from_a_threads_copy(post: Post) -> None:
    def in_thread(function: Callable[[], object]) -> None:
        thread = threading.Thread(target=contextvars.copy_context().run, args=(function,))
        thread.start()
        thread.join(10)

    def watched() -> tuple[list[QueuedMail], int]:
        mails = watch_mails()
        first = post.queue()
        in_thread(lambda: post.queue(template="test"))
        in_thread(lambda: [post.queue(template="test") for _ in range(MAX_WATCHED)])
        return mails, first

    post.queue(template="test")
    mails, first = contextvars.copy_context().run(watched)
    post.queue(template="test")
    assert (mails[0].mail_id, mails[0].template, mails[0].subject) == (first, "reset_password", "Set a new password")
    assert mails[1].template == "test"
    assert len(mails) == MAX_WATCHED
