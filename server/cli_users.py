"""Commands about people, for whoever runs the installation: `users list`, `link`, `staff`, `two-factor-off`.

They need no login: who can run them can read the app database anyway. What they change is in the audit log.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.tokens import make_token
from server.accounts.two_factor import disable
from server.accounts.users import find_user, first_run_link, make_first_run_token, reset_link
from server.app_database import migrate_app_database, reading, writing
from server.clock import now_ms, time_text
from server.config import load_settings
from server.data_folder import prepare_data_folder
from server.logs import first_line
from server.models import LoginSession, Membership, TokenPurpose, User
from server.services import Services, open_services

Result = TypeVar("Result")


@click.group("users")
def users_group() -> None:
    """The people who can log in."""


@dataclass(frozen=True)
class Person:
    """One line of the list. `accounts` are as "number: role"; `seen_at_ms` is absent without a login."""

    user_id: int
    email: str
    name: str
    accounts: list[str]
    is_staff: bool
    has_two_factor: bool
    state: str
    seen_at_ms: int | None


@users_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for programs.")
def list_command(as_json: bool) -> None:
    """List everybody."""
    people = _run(_read_people)
    if as_json:
        click.echo(json.dumps([asdict(person) for person in people]))
        return
    table = Table("address", "name", "accounts", "staff", "second factor", "state", "last seen")
    for person in people:
        table.add_row(
            person.email,
            person.name,
            ", ".join(person.accounts),
            "yes" if person.is_staff else "",
            "on" if person.has_two_factor else "off",
            person.state,
            time_text(person.seen_at_ms) if person.seen_at_ms else "",
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _read_people(services: Services) -> list[Person]:
    with reading(services.engine) as session:
        latest = select(LoginSession.user_id, func.max(LoginSession.seen_at_ms).label("at_ms"))
        seen = session.execute(latest.group_by(LoginSession.user_id)).all()
        seen_at_ms: dict[int, int] = {row.user_id: row.at_ms for row in seen}
        accounts: dict[int, list[str]] = {}
        for membership in session.execute(select(Membership).order_by(Membership.account_id)).scalars():
            accounts.setdefault(membership.user_id, []).append(f"{membership.account_id}: {membership.role}")
        return [
            Person(
                user_id=user.user_id,
                email=user.email,
                name=user.name,
                accounts=accounts.get(user.user_id, []),
                is_staff=user.is_staff,
                has_two_factor=user.totp_enabled_at_ms is not None,
                state=user.state,
                seen_at_ms=seen_at_ms.get(user.user_id),
            )
            for user in session.execute(select(User).order_by(User.email)).scalars()
        ]


@users_group.command("link")
@click.argument("email", required=False)
def link_command(email: str | None) -> None:
    """Print a one-time link: for a new password, or, while there is nobody, for the owner's account."""

    def make(services: Services) -> str:
        if email is None:
            token = make_first_run_token(services.engine, now_ms())
            if token is None:
                raise click.UsageError("There are people already: name the address whose password is to be set anew.")
            return first_run_link(services.settings, token)
        with writing(services.engine) as session:
            user = _user(session, email)
            token = make_token(session, TokenPurpose.RESET_PASSWORD, now_ms(), user_id=user.user_id)
            return reset_link(services, token)

    click.echo(_run(make))


@users_group.command("staff")
@click.argument("email")
@click.option("--off", is_flag=True, help="Take the staff's powers away.")
def staff_command(email: str, off: bool) -> None:
    """Make somebody staff: with a second factor they see the whole installation."""

    def change(services: Services) -> None:
        with writing(services.engine) as session:
            user = _user(session, email)
            user.is_staff = not off
            write_entry(session, Action.STAFF_CHANGED, now_ms(), target=f"user {user.user_id}", is_staff=not off)

    _run(change)
    click.echo(f"{email} is {'not staff any more' if off else 'staff'}")


@users_group.command("two-factor-off")
@click.argument("email")
def two_factor_off_command(email: str) -> None:
    """Turn somebody's second factor off, when phone and recovery codes are gone."""

    def change(services: Services) -> None:
        with writing(services.engine) as session:
            user = _user(session, email)
            disable(session, user)
            write_entry(session, Action.TWO_FACTOR_OFF, now_ms(), target=f"user {user.user_id}")
            link = f"{services.settings.snippet_base}/reset"
            services.mailer.queue(
                session, user.email, "two_factor_changed", name=user.name, state="off", reset_link=link
            )

    _run(change)
    click.echo(f"the second factor of {email} is off")


def _user(session: Session, email: str) -> User:
    user = find_user(session, email.strip().lower())
    if user is None:
        raise click.BadParameter(f"there is nobody with the address {email!r}", param_hint="EMAIL")
    return user


def _run(work: Callable[[Services], Result]) -> Result:
    """Runs a function on the migrated app database."""
    settings = load_settings()
    prepare_data_folder(settings)
    services = open_services(settings)
    try:
        migrate_app_database(settings, services.engine)
        return work(services)
    except SQLAlchemyError as error:
        raise click.ClickException(f"the app database does not answer: {first_line(error)}") from None
    finally:
        services.close()
