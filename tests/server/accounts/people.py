"""What the tests of accounts share: people, what is in their mailboxes, and the tasks that wait."""

from __future__ import annotations

import re

from sqlalchemy import select

from server.accounts.tokens import make_token
from server.accounts.users import create_owner, make_first_run_token, sign_up
from server.app_database import reading, writing
from server.clock import now_ms
from server.mail import OutboxMail, list_outbox
from server.models import Guest, GuestRole, MemberRole, Membership, Task, TokenPurpose
from server.services import Services
from server.sites import find_site
from server.tasks.leases import LeaseKeeper
from server.tasks.outage import Outage
from server.tasks.runner import Runner

PASSWORD = "four unrelated words here"
MOST_TASKS = 100


def finish_tasks(services: Services) -> None:
    """Carry out every task that waits, and those that they queue."""
    leases = LeaseKeeper(services.engine, services.tasks.limits, now_ms, Outage("test"))
    runner = Runner(services.engine, services, leases, limits=services.tasks.limits, now_ms=now_ms)
    for _ in range(MOST_TASKS):
        with reading(services.engine) as session:
            waiting = select(Task.task_id).where(Task.state == "queued").order_by(Task.task_id).limit(1)
            task_id = session.execute(waiting).scalar()
        if task_id is None:
            return
        runner.run(task_id)
    raise AssertionError("the tasks do not end")


def mails_to(services: Services, address: str) -> list[OutboxMail]:
    """What was sent to an address, the newest first."""
    finish_tasks(services)
    return [mail for mail in list_outbox(services.settings) if mail.to_address == address]


def token_in(mail: OutboxMail) -> str:
    """The token of the link in a mail."""
    found = re.search(r"token=([A-Za-z0-9_-]+)", mail.text)
    assert found, mail.text
    return found[1]


def make_owner(services: Services, email: str = "owner@example.com", name: str = "Olga Owner") -> int:
    """The first user."""
    token = make_first_run_token(services.engine, now_ms())
    assert token is not None
    return create_owner(services, token, email, name, PASSWORD, now_ms())


def make_person(services: Services, email: str, name: str = "") -> tuple[int, int]:
    """Somebody with an account of their own: user and account."""
    with writing(services.engine) as session:
        token = make_token(session, TokenPurpose.CONFIRM_EMAIL, now_ms(), email=email)
    user_id = sign_up(services, token, name, PASSWORD, now_ms())
    with reading(services.engine) as session:
        account_id = session.execute(select(Membership.account_id).where(Membership.user_id == user_id)).scalar_one()
    return user_id, account_id


def add_member(services: Services, account_id: int, email: str, role: MemberRole) -> int:
    """Somebody in an account, as if invited."""
    user_id, _ = make_person(services, email)
    with writing(services.engine) as session:
        session.add(Membership(account_id=account_id, user_id=user_id, role=role, created_at_ms=now_ms()))
    return user_id


def add_guest(services: Services, domain: str, email: str, role: GuestRole) -> int:
    """Somebody of another account to whom this site is open, as if invited."""
    user_id, _ = make_person(services, email)
    site = find_site(services.engine, domain)
    assert site is not None
    with writing(services.engine) as session:
        times = {"created_at_ms": now_ms(), "expires_at_ms": now_ms(), "accepted_at_ms": now_ms()}
        session.add(Guest(site_id=site.site_id, user_id=user_id, role=role, **times))
    return user_id


def role_of(services: Services, account_id: int, user_id: int) -> str | None:
    """The role of somebody in an account."""
    with reading(services.engine) as session:
        membership = session.get(Membership, (account_id, user_id))
        return None if membership is None else membership.role
