"""From a spike on FREE to depleted, grace, rejection, upgrade and resumption: a whole Footfall over HTTP, with Redis.

The plan's real limit of 100,000 events is used up by real hits. Only the seven days of grace are not waited for: the
test moves their end. `-s` prints the seconds of each step.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select, update

from server.app_database import bump_version, reading, writing
from server.billing.checkout import start_checkout
from server.billing.plans import BASIC, FREE
from server.billing.usage import usage_of
from server.clock import now_ms
from server.config import Interval, load_settings
from server.models import Mail, UsagePeriod
from server.services import Services, open_services
from server.snapshot import announce
from tests.server.accounts.people import make_owner
from tests.server.billing.shop import billing_settings
from tests.server.test_serve import ask, bearer, stored
from tests.services.footfall import FootfallServer, running_footfall
from tests.services.stripe_double import StripeDouble, running_stripe_double

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
BATCH_ROWS = 10_000
# With Redis, every front follows within this.
TURN_S = 5.0

STRIPE_NAMES = ("stripe_secret_key", "stripe_webhook_secret", "stripe_api_url", "stripe_basic_monthly_price")


def outcome_of_a_hit(server: FootfallServer) -> str:
    """`accepted`, or why it was dropped."""
    page = {"n": "pageview", "u": "http://localhost/spike", "d": "localhost"}
    status, _, headers = ask(server.port, "POST", "/api/event", json.dumps(page).encode(), User_Agent=BROWSER)
    assert status == 202
    return headers.get("x-footfall-dropped", "accepted")


def until(condition: Callable[[], bool], timeout_s: float) -> float:
    """The seconds that it took."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() < began_s + timeout_s, "it did not happen in time"
        time.sleep(0.05)
    return time.monotonic() - began_s


def spike(server: FootfallServer) -> None:
    """As many page views as the plan has events."""
    event = {"n": "pageview", "u": "http://localhost/spike", "d": "localhost", "user_agent": BROWSER, "ip": "192.0.2.1"}
    body = json.dumps([event] * BATCH_ROWS).encode()
    for number in range(FREE.monthly_events // BATCH_ROWS):
        given = {"Authorization": bearer(server), "Idempotency_Key": f"spike-{number}"}
        status, answer, _ = ask(server.port, "POST", "/api/events", body, **given)
        assert status == 202, answer
        assert json.loads(answer)["outcomes"] == {"accepted": BATCH_ROWS}


def upgrade(server: FootfallServer, services: Services, double: StripeDouble, owner_id: int) -> None:
    """To Stripe's page and through it; its events come over HTTP."""
    url = start_checkout(services, 1, BASIC, Interval.MONTH, owner_id, now_ms())
    double.complete_checkout(url.rpartition("/")[2])
    for each in double.events:
        body, signature = double.signed(each)
        assert ask(server.port, "POST", "/api/stripe/webhook", body, Stripe_Signature=signature)[0] == 200


def test_a_spike_is_told_then_dropped_and_taken_again_after_an_upgrade(tmp_path: Path, redis_url: str) -> None:
    seconds: dict[str, float] = {}
    with running_stripe_double(now_ms() // 1000) as double:
        plain = load_settings(data_dir=tmp_path / "data", redis_url=redis_url)
        settings = billing_settings(plain, double.url)
        stripe = {name: str(getattr(settings, name)) for name in STRIPE_NAMES}
        with running_footfall(tmp_path / "data", redis_url=redis_url, **stripe) as server:
            services = open_services(settings)
            try:
                owner_id = make_owner(services)
                began_s = time.monotonic()
                spike(server)
                seconds["answer 100,000 hits"] = time.monotonic() - began_s
                seconds["store them"] = until(lambda: stored(server) >= FREE.monthly_events, 60)
                began_s = time.monotonic()
                done = server.command("jobs", "run", "usage", "--at", "2026-11-30T00:11:00Z")
                seconds["count, judge, queue the mail"] = time.monotonic() - began_s
                assert done.returncode == 0, done.stderr
                with reading(services.engine) as session:
                    usage = usage_of(session, 1, now_ms())
                    mails = session.execute(select(Mail.template)).scalars().all()
                assert (usage.counted_events, usage.is_over) == (FREE.monthly_events, True), done.stdout
                assert mails.count("capacity_depleted") == 1
                assert outcome_of_a_hit(server) == "accepted", "the grace"

                ends_at_ms = now_ms() + 1500
                with writing(services.engine) as session:
                    session.execute(update(UsagePeriod).values(grace_ends_at_ms=ends_at_ms))
                    bump_version(session)
                announce(settings)
                assert outcome_of_a_hit(server) == "accepted"
                until(lambda: now_ms() >= ends_at_ms, 10)
                seconds["reject once the grace is over"] = until(lambda: outcome_of_a_hit(server) == "capacity", TURN_S)

                began_s = time.monotonic()
                upgrade(server, services, double, owner_id)
                seconds["upgrade"] = time.monotonic() - began_s
                seconds["take hits again"] = until(lambda: outcome_of_a_hit(server) == "accepted", TURN_S)
                with reading(services.engine) as session:
                    assert usage_of(session, 1, now_ms()).plan == BASIC
            finally:
                services.close()
    for step, took_s in seconds.items():
        print(f"{step}: {took_s:.2f} s")
