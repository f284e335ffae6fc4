"""Alerts are sent once per key and repeat time, through every channel, and never get in the way of who raises them."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Engine, select

from server.alerts import AlertKind, Alerts
from server.alerts.alerts import MAX_DETAIL_CHARS, SMS_CHARS
from server.app_database import open_app_database, reading
from server.config import Settings, load_settings
from server.mail import Mailer
from server.mail.transport import MailDeferred, OutgoingMail
from server.metrics import REGISTRY
from server.models import Alert, Mail, Task
from server.tasks.runner import Outcome
from tests.server.tasks import kinds  # noqa: F401 - registers test.act
from tests.server.tasks.fixtures import NOON_MS, SECRET_KEY, Bench, Clock, make_bench, opened, run_in_threads
from tests.services.webhook import running_webhook

SECRET_PATH = "/services/T00/B00/secret-token"


class AwayTransport:
    """A mail server that is always busy."""

    def send(self, mail: OutgoingMail) -> None:
        """Raise."""
        raise MailDeferred("421 away")


@dataclass
class Desk:
    """Alerts with everything that delivers them."""

    alerts: Alerts
    bench: Bench
    engine: Engine
    settings: Settings

    def rows(self) -> list[Alert]:
        """All alerts."""
        with reading(self.engine) as session:
            return list(session.execute(select(Alert).order_by(Alert.alert_id)).scalars())

    def tasks(self) -> list[tuple[str, dict[str, Any]]]:
        """All deliveries."""
        with reading(self.engine) as session:
            tasks = session.execute(select(Task).order_by(Task.task_id)).scalars()
            return [(task.kind, task.arguments) for task in tasks]

    def deliver(self) -> list[Outcome | None]:
        """Carry out what waits."""
        return [self.bench.runner.run(task_id) for task_id in self.bench.broker.taken()]


def make_desk(settings: Settings, engine: Engine, clock: Clock, **more: Any) -> Desk:
    settings = settings.model_copy(update=more)
    bench = make_bench(settings, engine, clock)
    mailer = Mailer(settings, SECRET_KEY, bench.queue)
    alerts = Alerts(engine, settings, bench.queue, mailer)
    bench.services.__dict__.update(settings=settings, mailer=mailer, alerts=alerts)
    return Desk(alerts, bench, engine, settings)


@pytest.fixture
def desk(settings: Settings, engine: Engine, clock: Clock) -> Desk:
    """One mail address and no webhook."""
    return make_desk(settings, engine, clock, alert_emails="ops@example.com")


def mail_subjects(desk: Desk) -> list[str]:
    with reading(desk.engine) as session:
        return list(session.execute(select(Mail.subject).order_by(Mail.mail_id)).scalars())


def test_the_same_alert_is_sent_once_and_counted(desk: Desk) -> None:
    for _ in range(3):
        desk.alerts.raise_alert(AlertKind.JOB_LATE, "daily", "job daily is late", "due 06:00")
        desk.bench.clock.advance(s=1)
    desk.alerts.raise_alert(AlertKind.JOB_FAILED, "daily", "job daily failed")
    desk.alerts.raise_alert(AlertKind.JOB_LATE, "weekly", "job weekly is late")
    first, *others = desk.rows()
    assert (first.key, first.kind, first.count, first.count_at_sending) == ("job_late daily", "job_late", 3, 1)
    assert (first.first_at_ms, first.last_at_ms, first.sent_at_ms) == (NOON_MS, NOON_MS + 2000, NOON_MS)
    assert [row.count for row in others] == [1, 1]
    assert mail_subjects(desk) == [
        "[Footfall] job daily is late",
        "[Footfall] job daily failed",
        "[Footfall] job weekly is late",
    ]


def test_after_the_window_it_is_sent_again_and_says_how_often(desk: Desk, clock: Clock, tmp_path: Path) -> None:
    for _ in range(5):
        desk.alerts.raise_alert(AlertKind.SECURITY, "k", "again")
    clock.advance(s=desk.settings.alert_repeat_s - 0.001)
    desk.alerts.raise_alert(AlertKind.SECURITY, "k", "again")
    assert len(mail_subjects(desk)) == 1
    clock.advance(s=0.001)
    desk.alerts.raise_alert(AlertKind.SECURITY, "k", "again")
    assert len(mail_subjects(desk)) == 2
    (row,) = desk.rows()
    assert (row.count, row.count_at_sending, row.sent_at_ms) == (7, 7, clock())
    clock.advance(s=desk.settings.alert_repeat_s)
    desk.alerts.raise_alert(AlertKind.SECURITY, "k", "again")
    assert desk.deliver() == [Outcome.SUCCEEDED] * 3
    texts = [path.read_text() for path in sorted((desk.settings.data_dir / "outbox").iterdir())]
    assert "It happened" not in texts[0]
    assert "It happened 6 times since the last message, of 2026-11-23 12:00 UTC." in texts[1].replace("=\n", "")
    assert "It happened once since the last message, of 2026-11-23 13:00 UTC." in texts[2].replace("=\n", "")


def test_of_many_at_once_one_sends(settings: Settings, desk: Desk, clock: Clock) -> None:
    def raise_alert(number: int) -> None:
        engine = open_app_database(settings)
        other = make_desk(settings, engine, clock, alert_emails="ops@example.com")
        other.alerts.raise_alert(AlertKind.EXCEPTION, "k", f"from thread {number}")
        engine.dispose()

    for window in range(1, 4):
        assert run_in_threads(6, raise_alert) == [None] * 6
        (row,) = desk.rows()
        assert row.count == 6 * window
        assert len(mail_subjects(desk)) == window
        clock.advance(s=desk.settings.alert_repeat_s)


def test_without_a_channel_it_is_only_logged(
    settings: Settings, engine: Engine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    desk = make_desk(settings, engine, clock)
    before = REGISTRY.get_sample_value("footfall_alerts_total", {"kind": "security"}) or 0
    desk.alerts.raise_alert(AlertKind.SECURITY, "key", "what happened", is_urgent=True)
    assert desk.tasks() == []
    (record,) = [record for record in caplog.records if record.name == "server.alerts.alerts"]
    logged = vars(record)
    assert (record.getMessage(), logged["kind"], logged["key"], logged["summary"]) == (
        "alert",
        "security",
        "key",
        "what happened",
    )
    assert (logged["count"], logged["is_sent"]) == (1, True)
    assert REGISTRY.get_sample_value("footfall_alerts_total", {"kind": "security"}) == before + 1


def test_every_address_gets_a_mail_of_its_own(settings: Settings, engine: Engine, clock: Clock) -> None:
    desk = make_desk(settings, engine, clock, alert_emails="a@example.com,b@example.com")
    desk.alerts.raise_alert(AlertKind.SECURITY, "key", "what happened")
    with reading(engine) as session:
        assert list(session.execute(select(Mail.to_address)).scalars()) == ["a@example.com", "b@example.com"]
    assert [kind for kind, _ in desk.tasks()] == ["mail.send_alert", "mail.send_alert"]


@pytest.mark.parametrize("is_urgent", [True, False])
def test_slack_gets_all_and_sms_what_is_urgent(
    settings: Settings, engine: Engine, clock: Clock, is_urgent: bool
) -> None:
    with running_webhook() as receiver:
        desk = make_desk(
            settings,
            engine,
            clock,
            slack_webhook_url=receiver.url + SECRET_PATH,
            sms_webhook_url=receiver.url + "/sms",
            public_url="https://footfall.example",
        )
        desk.alerts.raise_alert(AlertKind.CONSERVATION_GAP, "k", "<!channel> & co", "a < b\nc", is_urgent=is_urgent)
        assert set(desk.deliver()) == {Outcome.SUCCEEDED}
        by_path = {request.path: request for request in receiver.requests}
        urgent = "Urgent: " if is_urgent else ""
        assert by_path[SECRET_PATH].document == {
            "text": f"*{urgent}&lt;!channel&gt; &amp; co*\n"
            "conservation_gap, 2026-11-23 12:00 UTC, https://footfall.example\n```a &lt; b\nc```"
        }
        assert by_path[SECRET_PATH].headers["Content-Type"] == "application/json"
        assert ("/sms" in by_path) is is_urgent
        if is_urgent:
            assert by_path["/sms"].document == {"text": "Footfall: <!channel> & co"}


def test_what_is_too_long_is_cut(settings: Settings, engine: Engine, clock: Clock) -> None:
    desk = make_desk(settings, engine, clock, sms_webhook_url="http://127.0.0.1:1/sms", alert_emails="a@example.com")
    for end in ("x", "y"):
        desk.alerts.raise_alert(
            AlertKind.EXCEPTION, "k" * 500 + end, "line one\nline two\0 " * 90, "d" * 10_000 + "\0", is_urgent=True
        )
    first, second = desk.rows()
    assert first.key != second.key, "long keys stay apart"
    assert len(first.key) <= 200
    assert len(first.summary) == 300
    assert "\n" not in first.summary
    assert len(first.detail) == MAX_DETAIL_CHARS
    text = next(arguments["text"] for kind, arguments in desk.tasks() if kind == "alert.sms")
    assert len(text) == SMS_CHARS
    assert text.endswith("...")


def test_a_channel_that_is_down_holds_up_no_other(settings: Settings, engine: Engine, clock: Clock) -> None:
    with running_webhook() as receiver:
        receiver.answers.extend([500, 200])
        desk = make_desk(
            settings,
            engine,
            clock,
            alert_emails="a@example.com",
            slack_webhook_url=receiver.url,
            sms_webhook_url="http://127.0.0.1:1/sms",
        )
        mailer = Mailer(desk.settings, SECRET_KEY, desk.bench.queue, transport=AwayTransport())
        cast(Any, desk.bench.services).mailer = mailer
        desk.alerts.raise_alert(AlertKind.SECURITY, "k", "what happened", is_urgent=True)
        assert desk.deliver() == [Outcome.RETRIED] * 3
        clock.advance(s=30)
        desk.bench.queue.sweep(clock())
        outcomes = desk.deliver()
        assert sorted(map(str, outcomes)) == ["retried", "retried", "succeeded"]
        assert len(receiver.requests) == 2


def test_a_delivery_that_fails_for_good_raises_no_alert(
    settings: Settings, engine: Engine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with running_webhook() as receiver:
        receiver.answers.append(404)
        desk = make_desk(settings, engine, clock, slack_webhook_url=receiver.url + SECRET_PATH)
        desk.alerts.raise_alert(AlertKind.SECURITY, "k", "what happened")
        assert desk.deliver() == [Outcome.FAILED]
    assert [row.count for row in desk.rows()] == [1]
    assert "a task failed for good" in caplog.text
    with reading(engine) as session:
        assert session.execute(select(Task.message)).scalar() == "the webhook answered 404"


def test_the_webhooks_address_is_in_no_line_and_no_row(
    settings: Settings, engine: Engine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with running_webhook() as receiver:
        receiver.answers.extend([500, None, 429, 302, 404])
        desk = make_desk(settings, engine, clock, slack_webhook_url=receiver.url + SECRET_PATH)
        desk.alerts.raise_alert(AlertKind.SECURITY, "k", "what happened")
        for _ in range(5):
            desk.deliver()
            clock.advance(s=3600)
            desk.bench.queue.sweep(clock())
        assert len(receiver.requests) == 5
    desk.alerts.raise_alert(AlertKind.SECURITY, "other", "nobody listens any more")
    assert desk.deliver() == [Outcome.RETRIED]
    logged = "\n".join(str(vars(record)) for record in caplog.records)
    assert "a task failed" in logged
    with engine.connect() as connection:
        rows = str([connection.exec_driver_sql(f"SELECT * FROM {table}").all() for table in ("tasks", "alerts")])
    assert "secret-token" not in logged + rows


def test_with_the_app_database_away_there_is_one_error_line(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings(data_dir=tmp_path, alert_emails="a@example.com", app_database_url="sqlite:////nowhere/x")
    with opened(settings) as engine:
        desk = make_desk(settings, engine, clock)
        desk.alerts.raise_alert(AlertKind.JOB_STUCK, "daily", "job daily is stuck", "detail")
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    logged = vars(record)
    assert (logged["kind"], logged["key"], logged["summary"]) == ("job_stuck", "daily", "job daily is stuck")
    assert logged["reason"] == "OperationalError"


def test_deliveries_leave_with_the_count_or_not_at_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A queue of deliveries that cannot be written leaves the alert unsent, so that the next one sends."""
    from sqlalchemy.exc import OperationalError

    def dead(*_: object, **__: object) -> int:
        raise OperationalError("statement", {}, Exception())

    with monkeypatch.context() as broken:
        broken.setattr(desk.bench.queue, "enqueue", dead)
        desk.alerts.raise_alert(AlertKind.SECURITY, "k", "what happened")
    assert (desk.rows(), desk.bench.broker.messages) == ([], [])
    desk.alerts.raise_alert(AlertKind.SECURITY, "k", "what happened")
    assert len(mail_subjects(desk)) == 1


def test_a_failed_task_alerts_through_all_of_this(desk: Desk) -> None:
    desk.bench.services.extra = None  # calling it fails
    task_id = desk.bench.enqueue("test.act")
    for _ in range(4):
        desk.bench.runner.run(task_id)
        desk.bench.clock.advance(s=3600)
    assert [row.key for row in desk.rows()] == ["task_failed test.act"]
    assert mail_subjects(desk) == ["[Footfall] task test.act failed for good"]


def test_raising_from_several_threads_of_one_process(desk: Desk) -> None:
    threads = [
        threading.Thread(target=desk.alerts.raise_alert, args=(AlertKind.SECURITY, f"k{number}", "s"))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(desk.rows()) == 8


def test_a_worker_shows_what_others_raised(desk: Desk, clock: Clock) -> None:
    desk.alerts.raise_alert(AlertKind.CONSERVATION_GAP, "audit", "gaps")
    clock.advance(s=60)
    desk.alerts.raise_alert(AlertKind.CONSERVATION_GAP, "audit", "gaps")
    desk.alerts.show_last_raised()
    name = "footfall_alert_raised_timestamp_seconds"
    assert REGISTRY.get_sample_value(name, {"kind": "conservation_gap"}) == (NOON_MS + 60_000) / 1000
