"""`footfall users`, on each app database."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from server.accounts.users import check_login, create_owner, reset_password
from server.app_database import reading
from server.cli import program
from server.clock import now_ms
from server.config import Settings
from server.models import AuditEntry, User
from server.services import Services, open_services
from tests.server.accounts.people import PASSWORD, mails_to, make_owner
from tests.server.pages.test_login import turn_on_two_factor


@pytest.fixture
def services(database_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    monkeypatch.setenv("FOOTFALL_DATA_DIR", str(database_settings.data_dir))
    monkeypatch.setenv("FOOTFALL_APP_DATABASE_URL", database_settings.app_database_url)
    opened = open_services(database_settings)
    yield opened
    opened.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program, ["users", *arguments])


def token_of(link: str) -> str:
    return link.strip().partition("token=")[2]


def test_the_first_link_makes_the_owner_and_a_later_one_a_password(services: Services) -> None:
    done = run("link")
    assert done.exit_code == 0, done.output
    assert "/first-run?token=" in done.output
    create_owner(services, token_of(done.output), "owner@example.com", "Olga", PASSWORD, now_ms())
    assert run("link").exit_code == 2, "there is somebody now"
    done = run("link", "Owner@Example.com")
    assert "/reset/finish?token=" in done.output
    reset_password(services, token_of(done.output), "a completely new pass phrase", now_ms())
    assert check_login(services, "owner@example.com", "a completely new pass phrase")
    missing = run("link", "nobody@example.com")
    assert (missing.exit_code, "nobody@example.com" in missing.output) == (2, True)


def test_people_are_listed(services: Services) -> None:
    assert json.loads(run("list", "--json").stdout) == []
    user_id = make_owner(services)
    (person,) = json.loads(run("list", "--json").stdout)
    assert person == {
        "user_id": user_id,
        "email": "owner@example.com",
        "name": "Olga Owner",
        "accounts": ["1: owner"],
        "is_staff": True,
        "has_two_factor": False,
        "state": "active",
        "seen_at_ms": None,
    }
    assert "owner@example.com" in run("list").output


def test_staff_is_given_and_taken_and_a_lost_phone_replaced(services: Services) -> None:
    user_id = make_owner(services)
    turn_on_two_factor(services, user_id)
    assert run("staff", "owner@example.com", "--off").exit_code == 0
    assert run("two-factor-off", "owner@example.com").exit_code == 0
    with reading(services.engine) as session:
        user = session.get_one(User, user_id)
        assert (user.is_staff, user.totp_enabled_at_ms) == (False, None)
        actions = session.execute(select(AuditEntry.action).order_by(AuditEntry.entry_id)).scalars().all()
    assert actions[-2:] == ["staff.changed", "two_factor.off"]
    assert "turned off" in mails_to(services, "owner@example.com")[0].subject
    assert run("staff", "owner@example.com").exit_code == 0
    with reading(services.engine) as session:
        assert session.get_one(User, user_id).is_staff
    assert run("staff", "nobody@example.com").exit_code == 2


def test_a_database_that_is_away_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("FOOTFALL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FOOTFALL_APP_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    done = run("list")
    assert done.exit_code == 1
    assert "the app database does not answer" in done.output
