"""An account, the double of Stripe, and one clock for both: events are delivered and tasks carried out by hand."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from server.app_database import reading
from server.billing.checkout import start_checkout
from server.billing.events import Received, receive_event
from server.billing.plan_changes import plan_of
from server.billing.plans import PLANS_BY_CODE, Plan
from server.billing.reconciliation import Reconciled, reconcile
from server.config import Interval, Settings
from server.mail import Mailer
from server.models import Mail, PlanChange, StripeEvent, Subscription, Task
from server.services import Services, open_services
from server.tasks import TaskQueue
from server.tasks.leases import LeaseKeeper
from server.tasks.outage import Outage
from server.tasks.runner import Runner
from tests.server.accounts.people import make_owner
from tests.services.stripe_course import DAY_S, SECRET_KEY, WEBHOOK_SECRET, Document
from tests.services.stripe_double import StripeDouble, running_stripe_double

NOON_S = 1_795_608_000  # 2026-11-25 12:00 UTC

ACCOUNT_ID = 1
MOST_TASKS = 1000


def billing_settings(settings: Settings, url: str) -> Settings:
    """Settings with keys of the double, and a price for each plan and interval."""
    return settings.model_copy(
        update={
            "stripe_secret_key": SECRET_KEY,
            "stripe_webhook_secret": WEBHOOK_SECRET,
            "stripe_api_url": url,
            "stripe_basic_monthly_price": "price_basicMonth,price_oldBasic",
            "stripe_basic_annual_price": "price_basicYear",
            "stripe_premium_monthly_price": "price_premiumMonth",
            "stripe_premium_annual_price": "price_premiumYear",
        }
    )


@dataclasses.dataclass
class Shop:
    """See the module. `delivered` counts the double's events that were given to us in their order."""

    services: Services
    double: StripeDouble
    owner_id: int = 0
    delivered: int = 0

    def now_ms(self) -> int:
        return self.double.now_s * 1000

    # -- going to Stripe -----------------------------------------------------------------------------------------

    def checkout(self, code: str = "BASIC", interval: Interval = Interval.MONTH) -> str:
        """Go to Stripe's page; its session."""
        plan = PLANS_BY_CODE[code]
        url = start_checkout(self.services, ACCOUNT_ID, plan, interval, self.owner_id, self.now_ms())
        return url.rpartition("/")[2]

    def subscribe(self, code: str = "BASIC", interval: Interval = Interval.MONTH) -> str:
        """Subscribe, all events delivered; the subscription."""
        subscription_id = self.double.complete_checkout(self.checkout(code, interval))
        self.deliver_all()
        return subscription_id

    @property
    def customer_id(self) -> str:
        return self.row().customer_id

    # -- events and tasks ----------------------------------------------------------------------------------------

    def receive(self, event: Document) -> Received:
        """Deliver one event; what follows waits for `run_due`."""
        return receive_event(self.services, *self.double.signed(event), self.now_ms())

    def deliver_all(self) -> None:
        """Deliver what has not been, in order, and carry everything out."""
        for event in self.double.events[self.delivered :]:
            self.receive(event)
        self.delivered = len(self.double.events)
        self.run_due()

    def lose_all(self) -> None:
        """What has not been delivered never comes."""
        self.delivered = len(self.double.events)

    def run_due(self) -> int:
        """Carry out every task that is due, but mails; how many."""
        services = self.services
        leases = LeaseKeeper(services.engine, services.tasks.limits, self.now_ms, Outage("test"))
        runner = Runner(services.engine, services, leases, limits=services.tasks.limits, now_ms=self.now_ms)
        is_due = (Task.state == "queued") & (Task.run_at_ms <= self.now_ms()) & Task.kind.startswith("billing.")
        for number in range(MOST_TASKS):
            with reading(services.engine) as session:
                task_id = session.execute(select(Task.task_id).where(is_due).order_by(Task.task_id).limit(1)).scalar()
            if task_id is None:
                return number
            runner.run(task_id)
        raise AssertionError("the tasks do not end")

    def advance(self, days: float) -> None:
        """Let time pass by half days, with events delivered and tasks carried out as they come."""
        until_s = self.double.now_s + int(days * DAY_S)
        while self.double.now_s < until_s:
            self.double.advance_to(min(until_s, self.double.now_s + DAY_S // 2))
            self.deliver_all()

    def reconcile(self) -> Reconciled:
        return reconcile(self.services, self.now_ms(), lambda rows, message: None)

    # -- what came of it -----------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        with reading(self.services.engine) as session:
            return plan_of(session, ACCOUNT_ID)

    def row(self) -> Subscription:
        with reading(self.services.engine) as session:
            return session.get_one(Subscription, ACCOUNT_ID)

    def mails(self) -> list[tuple[str, str]]:
        with reading(self.services.engine) as session:
            return [
                (row.template, row.subject) for row in session.execute(select(Mail).order_by(Mail.mail_id)).scalars()
            ]

    def changes(self) -> list[tuple[str, str, str]]:
        """From, to and why."""
        with reading(self.services.engine) as session:
            rows = session.execute(select(PlanChange).order_by(PlanChange.change_id)).scalars()
            return [(row.from_plan_code, row.to_plan_code, row.reason) for row in rows]

    def event_states(self) -> set[str]:
        with reading(self.services.engine) as session:
            return set(session.execute(select(StripeEvent.state)).scalars())

    def state(self) -> dict[str, Any]:
        """What must not depend on which events came, and when."""
        row = self.row()
        names = ("subscription_id", "status", "price_id", "entitled_plan_code", "period_starts_at_ms")
        more = ("period_ends_at_ms", "trial_ends_at_ms", "cancels_at_ms", "unpaid_since_ms", "has_had_trial")
        return {"plan": self.plan().code, **{name: getattr(row, name) for name in (*names, *more)}}


def services_with_clock(settings: Settings, double: StripeDouble) -> Services:
    """Services whose queue goes by the double's clock."""
    opened = open_services(settings)
    opened.tasks.close()
    tasks = TaskQueue(settings, opened.engine, now_ms=lambda: double.now_s * 1000)
    return dataclasses.replace(opened, tasks=tasks, mailer=Mailer(settings, opened.secret_key, tasks))


@contextlib.contextmanager
def open_shop(settings: Settings) -> Iterator[Shop]:
    """A shop on this app database, inside the `with`."""
    with running_stripe_double(NOON_S) as double:
        services = services_with_clock(billing_settings(settings, double.url), double)
        try:
            yield Shop(services, double, owner_id=make_owner(services))
        finally:
            services.close()
