"""Settings: every wrong value is one line that names the setting, the value and what is allowed, and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from server.config import SettingError, Settings, child_environment, load_settings, setting_lines, unknown_names

CHECKOUT = Path(__file__).resolve().parents[2]

WRONG = [
    ("PORT", "eighty"),
    ("PORT", "0"),
    ("PORT", "tcp://10.0.0.1:8000"),
    ("PROCESSES", "65"),
    ("ROLE", "everything"),
    ("DURABILITY", "always"),
    ("BATCH_MAX_ROWS", "0"),
    ("BATCH_MAX_BYTES", "24MiB"),
    ("BATCH_MAX_AGE_MS", "1"),
    ("SPOOL_MAX_BYTES", "-1"),
    ("STOP_GRACE_S", "soon"),
    ("LOG_LEVEL", "loud"),
    ("SECRET_KEY", "short"),
    ("TRUSTED_PROXIES", "10.0.0.0/8,proxy.local"),
    ("FORWARDED_HEADER", "X Forwarded"),
    ("PROXY_PROTOCOL", "perhaps"),
    ("ENDPOINT_ALIASES", "/x=/api/other"),
    ("ENDPOINT_ALIASES", "x"),
    ("SCRIPT_PATH", "footfall.js"),
    ("CLICKHOUSE_URL", "http://host:8123"),
    ("APP_DATABASE_URL", "mysql://host/db"),
    ("REDIS_URL", "localhost:6379"),
    ("PUBLIC_URL", "ftp://host"),
    ("CLUSTER", "my cluster"),
    ("SHARDS", "0"),
    ("WORKER_THREADS", "65"),
    ("CACHE_MAX_BYTES", "-1"),
    ("ENV", "staging"),
    ("INVITE_ONLY", "perhaps"),
    ("SESSION_IDLE_DAYS", "0"),
    ("SESSION_MAX_DAYS", "400"),
    ("API_REQUESTS_PER_HOUR", "0"),
    ("IMPORT_MAX_BYTES", "1"),
    ("IMPORT_QUOTA_BYTES", "2GB"),
    ("DEFAULT_FROM_EMAIL", "Footfall"),
    ("DEFAULT_FROM_EMAIL", "Footfall <a@b.example>\nBcc: x@y.example"),
    ("SMTP_URL", "mail.example:587"),
    ("SMTP_URL", "smtp://mail.example?starttls=perhaps"),
    ("ALERT_EMAILS", "ops@example.com,nobody"),
    ("ALERT_REPEAT_S", "1"),
    ("SLACK_WEBHOOK_URL", "hooks.slack.example"),
    ("MONITOR_API_URL", "ftp://monitor.example"),
    ("SENTRY_DSN", "key@sentry"),
    ("SENTRY_TRACES_SAMPLE_RATE", "2"),
    ("BACKUP_TARGET", "file:///mnt/backups"),
    ("BACKUP_TARGET", "s3://b/prefix"),
    ("BACKUP_KEY", "dG9vIHNob3J0"),
    ("BACKUP_S3_ENDPOINT_URL", "s3.example:9000"),
    ("BACKUP_KEEP_DAYS", "0"),
    ("BACKUP_KEEP_COUNT", "0"),
    ("BACKUP_SAFETY_HOURS", "721"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"FOOTFALL_{name}", value)
    with pytest.raises(SettingError) as error:
        load_settings()
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith(f"FOOTFALL_{name}=")
    assert "expected" in line
    if name in ("SECRET_KEY", "SLACK_WEBHOOK_URL", "SENTRY_DSN", "BACKUP_KEY"):
        assert line.startswith(f"FOOTFALL_{name}=*** is not allowed")
    else:
        assert value.replace("\n", "\\n") in line


@pytest.mark.parametrize("command", ["serve", "config"])
def test_the_program_says_it_in_one_line_and_exits_2(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", command],
        env={**os.environ, "FOOTFALL_PORT": "http"},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "FOOTFALL_PORT=http is not allowed: expected a whole number from 1 to 65535\n"
    assert done.stdout == ""


def test_passwords_and_keys_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_CLICKHOUSE_URL", "clickhouse://me:hunter2@host:9000,other:9000/db")
    monkeypatch.setenv("FOOTFALL_APP_DATABASE_URL", "postgresql://me:hunter2@host/db")
    monkeypatch.setenv("FOOTFALL_REDIS_URL", "redis://:hunter2@host/0")
    monkeypatch.setenv("FOOTFALL_SECRET_KEY", "hunter2" * 6)
    shown = "\n".join(f"{line.name}={line.value}" for line in setting_lines(load_settings()))
    assert "hunter2" not in shown
    assert "clickhouse://me:***@host:9000,other:9000/db" in shown
    for name in ("SLACK_WEBHOOK_URL", "SMS_WEBHOOK_URL", "MONITOR_PING_URL", "SENTRY_DSN"):
        monkeypatch.setenv(f"FOOTFALL_{name}", "https://hooks.example/hunter2")
    monkeypatch.setenv("FOOTFALL_MONITOR_API_KEY", "hunter2")
    monkeypatch.setenv("FOOTFALL_SMTP_URL", "smtp://me:hunter2@mail.example:587")
    settings = load_settings()
    shown = "\n".join(f"{line.name}={line.value}" for line in setting_lines(settings))
    assert "hunter2" not in shown
    assert "smtp://me:***@mail.example:587" in shown
    assert "hunter2" not in repr(settings), "a settings object in a traceback gives nothing away"
    wrong = {
        "BACKUP_TARGET": "s3://me:hunter2@bucket/prefix",
        "BACKUP_S3_ENDPOINT_URL": "https://me:hunter2@s3.example",
        "REDIS_URL": "rediss-typo://:hunter2@host/0",
    }
    for name, value in wrong.items():
        with monkeypatch.context() as patch:
            patch.setenv(f"FOOTFALL_{name}", value)
            with pytest.raises(SettingError) as error:
                load_settings()
        assert "hunter2" not in str(error.value)


def test_the_place_of_backups_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for target in ("/mnt/backups", "s3://bucket.of-us/prefix"):
        monkeypatch.setenv("FOOTFALL_BACKUP_TARGET", target)
        assert target in [line.value for line in setting_lines(load_settings())]


def test_every_setting_has_a_meaning_and_what_is_allowed() -> None:
    for line in setting_lines(Settings()):
        assert line.meaning, line.name
        assert line.allowed, line.name


def test_a_typing_error_in_a_name_is_told() -> None:
    lines = list(unknown_names({"FOOTFALL_PROT": "1", "FOOTFALL_PORT": "1", "FOOTFALL_SERVICE_HOST": "x"}))
    assert lines == ["FOOTFALL_PROT is not a setting; did you mean FOOTFALL_PORT?"]


def test_no_group_takes_the_place_of_a_check_of_another() -> None:
    groups = [group for group in Settings.__bases__ if issubclass(group, BaseModel)]
    checks = [name for group in groups for name in group.__pydantic_decorators__.field_validators]
    assert sorted(set(checks)) == sorted(checks)
    assert set(checks) == set(Settings.__pydantic_decorators__.field_validators)


def test_a_child_loads_equal_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(port=1234, trusted_proxies="10.0.0.0/8", proxy_protocol=True, role="collect")
    for name, value in child_environment(settings, {}).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_PORT", "1111")
    assert load_settings(port=2222).port == 2222
    assert load_settings(port=None).port == 1111
