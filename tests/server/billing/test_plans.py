"""Plans as data, what their prices are called, and who is limited by them."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from server.billing.entitlement import counting_one, entitled_plan, price_of, sold_by
from server.billing.plans import BASIC, FREE, PLANS, PLANS_BY_CODE, PREMIUM, Feature, Plan, UnknownPlan, plan_by_code
from server.billing.prices import money_text
from server.billing.stripe_api import SubscriptionVersion
from server.config import Interval, PlanLimits, SettingError, Settings, load_settings
from server.migrate import RETENTION_DAYS
from tests.server.billing.shop import billing_settings

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def settings() -> Settings:
    return billing_settings(load_settings(), "http://127.0.0.1:1")


def version(**more: object) -> SubscriptionVersion:
    values = SubscriptionVersion(
        "sub_1", "cus_1", "si_1", "price_basicMonth", "active", 1000, 0, DAY_MS, None, None, False, False
    )
    return dataclasses.replace(values, **more)  # type: ignore[arg-type]


def test_each_plan_gives_at_least_what_the_one_before_gives() -> None:
    assert list(PLANS_BY_CODE) == ["FREE", "BASIC", "PREMIUM"]
    for lesser, greater in itertools.pairwise(PLANS):
        assert lesser.rank < greater.rank
        assert lesser.monthly_events < greater.monthly_events
        assert lesser.features < greater.features
        assert RETENTION_DAYS[lesser.retention_class] < RETENTION_DAYS[greater.retention_class]
    assert PREMIUM.features == set(Feature)
    assert [plan.is_paid for plan in PLANS] == [False, True, True]
    for plan in PLANS:
        assert RETENTION_DAYS[plan.retention_class] >= 365 * plan.retention_years
        assert all(name in Settings.model_fields for name in plan.price_settings.values())
    assert all(feature.meaning for feature in Feature)


def test_a_plan_is_frozen_and_an_unknown_one_is_said() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FREE.monthly_events = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        BASIC.price_settings[Interval.MONTH] = "x"  # type: ignore[index]
    assert plan_by_code("BASIC") is BASIC
    with pytest.raises(UnknownPlan, match="GOLD"):
        plan_by_code("GOLD")


def test_prices_name_their_plans(settings: Settings) -> None:
    assert price_of(settings, BASIC, Interval.MONTH) == "price_basicMonth"
    assert price_of(settings, FREE, Interval.MONTH) is None
    assert price_of(load_settings(), BASIC, Interval.MONTH) is None
    for price_id, plan, interval in (
        ("price_basicMonth", BASIC, Interval.MONTH),
        ("price_oldBasic", BASIC, Interval.MONTH),
        ("price_premiumYear", PREMIUM, Interval.YEAR),
    ):
        sold = sold_by(settings, price_id)
        assert sold is not None
        assert (sold.plan, sold.interval) == (plan, interval)
    assert sold_by(settings, "price_stray") is None
    assert sold_by(settings, "") is None


@pytest.mark.parametrize(
    ("status", "unpaid_days", "plan"),
    [
        ("active", None, BASIC),
        ("active", 100, BASIC),
        ("trialing", None, BASIC),
        ("past_due", None, BASIC),
        ("past_due", 6.9, BASIC),
        ("past_due", 7, FREE),
        ("unpaid", 6.9, BASIC),
        ("unpaid", 7, FREE),
        ("incomplete", None, FREE),
        ("incomplete_expired", None, FREE),
        ("paused", None, FREE),
        ("canceled", None, FREE),
        ("a status of next year", None, FREE),
    ],
)
def test_what_a_status_gives(settings: Settings, status: str, unpaid_days: float | None, plan: Plan) -> None:
    now_ms = 100 * DAY_MS
    since_ms = None if unpaid_days is None else int(now_ms - unpaid_days * DAY_MS)
    assert entitled_plan(settings, version(status=status), since_ms, now_ms) is plan


def test_no_subscription_is_free_and_an_unknown_price_is_nobodys_to_say(settings: Settings) -> None:
    assert entitled_plan(settings, None, None, 0) is FREE
    assert entitled_plan(settings, version(price_id="price_stray"), None, 0) is None
    assert entitled_plan(settings, version(price_id="price_stray", status="canceled"), None, 0) is FREE


def test_the_one_that_gives_most_counts(settings: Settings) -> None:
    premium = version(subscription_id="sub_premium", price_id="price_premiumYear")
    ended = version(subscription_id="sub_ended", price_id="price_premiumYear", status="canceled", created_at_ms=9000)
    late = version(subscription_id="sub_late", price_id="price_premiumYear", status="past_due", created_at_ms=9000)
    for versions in ([version(), premium, late, ended], [ended, late, premium, version()]):
        assert counting_one(settings, versions) is premium
    assert counting_one(settings, [ended, late]) is late
    assert counting_one(settings, []) is None


def test_money_is_written_as_its_currency_does() -> None:
    assert money_text(900, "eur") == "€9.00"
    assert money_text(900, "jpy") == "¥900"
    assert money_text(9000, "kwd") == "KWD9.000"
    assert money_text(90000, "isk") == "ISK900"


def test_plans_hold_where_they_can_be_bought_or_where_the_operator_says_so(settings: Settings) -> None:
    assert settings.is_billing_on
    assert settings.are_plans_enforced
    assert not load_settings().are_plans_enforced
    assert load_settings(plan_limits=PlanLimits.ON).are_plans_enforced
    assert not settings.model_copy(update={"plan_limits": PlanLimits.OFF}).are_plans_enforced
    assert not settings.model_copy(update={"stripe_webhook_secret": ""}).is_billing_on


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stripe_secret_key", "pk_test_1"),
        ("stripe_webhook_secret", "sk_test_1"),
        ("stripe_basic_monthly_price", "prod_1"),
        ("stripe_basic_monthly_price", "price_1,9.00"),
        ("stripe_api_url", "ftp://stripe.example"),
        ("billing_grace_days", "-1"),
        ("plan_limits", "sometimes"),
    ],
)
def test_wrong_settings_are_said_without_their_secrets(name: str, value: str) -> None:
    with pytest.raises(SettingError) as refused:
        load_settings(**{name: value})
    assert refused.value.name == f"FOOTFALL_{name.upper()}"
    assert value not in str(refused.value) or not name.endswith(("key", "secret"))


def test_offers_say_what_a_plan_adds() -> None:
    assert [plan.events_text for plan in PLANS] == ["100,000", "10 million", "1 billion"]
    assert [plan.retention_text for plan in PLANS] == ["1 year", "3 years", "5 years"]
    assert FREE.offer_lines[-1] == "Reports and alerts by mail"
    assert BASIC.offer_lines == [
        "Everything in Free",
        "Stats API",
        "Exports of raw events",
        "Funnels",
        "Revenue of goals",
    ]
    assert PREMIUM.offer_lines == ["Everything in Basic", "Embedded dashboards", "Sites API"]
