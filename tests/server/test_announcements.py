"""Whom an announcement to each group reaches: the active people of accounts that stay, each once."""

from __future__ import annotations

from sqlalchemy import update

from server.announcements import AUDIENCES, count_receivers, receivers_of
from server.app_database import reading, writing
from server.billing.plan_changes import Reason, change_plan
from server.billing.plans import BASIC, PREMIUM, Plan
from server.clock import now_ms
from server.config import Settings
from server.models import Account, MemberRole, Membership, User
from server.services import Services, open_services
from tests.server.accounts.people import make_owner, make_person


def populate(services: Services) -> None:
    """Olga is staff; Ann pays for BASIC and PREMIUM; Bob looks at Ann's; Cid is FREE, as Olga is; Dan's account is
    being deleted; Eva's login is closed.
    """
    make_owner(services, "olga@example.com")
    accounts: dict[str, int] = {}
    users: dict[str, int] = {}
    for name in ("ann", "bob", "cid", "dan", "eva"):
        users[name], accounts[name] = make_person(services, f"{name}@example.com", name)
    now = now_ms()
    plans: dict[str, Plan] = {"ann": BASIC, "bob": PREMIUM}
    with writing(services.engine) as session:
        for name, plan in plans.items():
            change_plan(session, services, accounts[name], plan, Reason.STAFF, now)
        member = {"account_id": accounts["ann"], "role": MemberRole.VIEWER, "created_at_ms": now}
        session.add(Membership(user_id=users["bob"], **member))
        owner = {"account_id": accounts["bob"], "role": MemberRole.OWNER, "created_at_ms": now}
        session.add(Membership(user_id=users["ann"], **owner))
        theirs = (Membership.account_id == accounts["bob"]) & (Membership.user_id == users["bob"])
        session.execute(update(Membership).where(theirs).values(role=MemberRole.ADMIN))
        session.execute(update(Account).where(Account.account_id == accounts["dan"]).values(state="deleting"))
        session.execute(update(User).where(User.user_id == users["eva"]).values(state="closed"))


def test_each_group_reaches_its_people_and_nobody_else(database_settings: Settings) -> None:
    services = open_services(database_settings)
    populate(services)
    found = {}
    with reading(services.engine) as session:
        for audience in AUDIENCES:
            people = session.execute(receivers_of(audience.code)).scalars().all()
            found[audience.code] = sorted(user.email.partition("@")[0] for user in people)
            assert count_receivers(session, audience.code) == len(people)
    services.close()
    assert found == {
        "owners": ["ann", "cid", "olga"],
        "owners:FREE": ["cid", "olga"],
        "owners:BASIC": ["ann"],
        "owners:PREMIUM": ["ann"],
        "members": ["ann", "bob", "cid", "olga"],
        "staff": ["olga"],
    }
