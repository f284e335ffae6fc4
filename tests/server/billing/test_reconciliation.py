"""Our rows against Stripe's list: what events failed to tell is put right, and nothing else is touched."""

from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import select, update

from jobs.job import Shard
from jobs.runner import JobRunner, Piece
from jobs.schedule import JOBS
from jobs.state import Outcome
from server.app_database import reading, writing
from server.billing.errors import BillingOff
from server.billing.plans import BASIC, FREE, PREMIUM
from server.billing.reconciliation import EVENT_WAIT_MS, QUIET_ROWS, reconcile
from server.models import Alert, StripeEvent
from server.services import Services
from tests.server.billing.shop import Shop


def test_a_lost_beginning_a_lost_change_and_a_lost_end_are_found(shop: Shop) -> None:
    subscription_id = shop.double.complete_checkout(shop.checkout("BASIC"))
    shop.lose_all()
    assert shop.plan() is FREE
    assert shop.reconcile().corrected == 1
    assert shop.plan() is BASIC
    shop.double.set_price(shop.double.subscriptions[subscription_id], "price_premiumMonth")
    assert shop.reconcile().corrected == 1
    assert shop.plan() is PREMIUM
    shop.double.end(shop.double.subscriptions[subscription_id])
    assert shop.reconcile().corrected == 1
    assert (shop.plan(), shop.row().status) == (FREE, "canceled")
    before = len(shop.double.requests)
    assert shop.reconcile().corrected == 0
    assert len(shop.double.requests) == before + 1, "what is as Stripe says costs no request of its own"


def test_the_end_of_a_grace_is_found_without_its_task(shop: Shop) -> None:
    shop.double.gives_up_by = "unpaid"
    shop.subscribe("BASIC")
    shop.double.cards[shop.customer_id] = False
    shop.double.advance_to(shop.double.now_s + 20 * 86_400)
    shop.reconcile()
    assert shop.plan() is BASIC
    shop.double.advance_to(shop.double.now_s + 2 * 86_400)
    shop.lose_all()
    shop.reconcile()
    assert shop.plan() is FREE


def test_an_event_that_lost_its_task_is_settled(shop: Shop) -> None:
    shop.subscribe("BASIC")
    with writing(shop.services.engine) as session:
        session.execute(update(StripeEvent).where(StripeEvent.state == "applied").values(state="queued"))
    shop.reconcile()
    assert "queued" in shop.event_states(), "it may be under way"
    shop.double.now_s += EVENT_WAIT_MS // 1000 + 1
    assert shop.reconcile().corrected == 0
    assert "queued" not in shop.event_states()


def test_subscriptions_of_others_are_left_alone(shop: Shop) -> None:
    shop.subscribe("BASIC")
    shop.double.customers["cus_other"] = {"id": "cus_other"}
    shop.double.subscribe("cus_other", "price_premiumMonth", 14)
    assert shop.reconcile().seen == 2
    assert shop.plan() is BASIC


def test_many_corrections_are_an_alert(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.double.complete_checkout(shop.checkout("BASIC"))
    monkeypatch.setattr("server.billing.reconciliation.QUIET_ROWS", 0)
    assert QUIET_ROWS > 0
    shop.reconcile()
    with reading(shop.services.engine) as session:
        assert session.execute(select(Alert.kind)).scalars().all() == ["billing"]


def test_a_run_that_is_stopped_leaves_whole_steps(shop: Shop) -> None:
    shop.double.complete_checkout(shop.checkout("BASIC"))

    def stopped(rows: int, message: str) -> None:
        if message == "refreshed":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        reconcile(shop.services, shop.now_ms(), stopped)
    assert shop.plan() is BASIC
    assert shop.reconcile().corrected == 0


def test_the_job_does_its_work_and_rests_without_keys(shop: Shop) -> None:
    shop.double.complete_checkout(shop.checkout("BASIC"))

    def run(services: Services) -> int:
        runner = JobRunner(services, JOBS, clock=shop.now_ms)
        job = runner.job("reconciliation")
        result = runner.run_at(Piece(job, Shard()), job.latest_due(shop.now_ms()))
        assert result is not None
        assert result.outcome is Outcome.SUCCEEDED
        return result.rows

    off = shop.services.settings.model_copy(update={"stripe_secret_key": ""})
    without_keys = dataclasses.replace(shop.services, settings=off)
    assert (run(without_keys), shop.plan()) == (0, FREE)
    with pytest.raises(BillingOff):
        reconcile(without_keys, shop.now_ms(), lambda rows, message: None)
    assert (run(shop.services), shop.plan()) == (2, BASIC)
