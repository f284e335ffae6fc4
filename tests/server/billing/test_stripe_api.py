"""Our requests against Stripe's specification (stripe-mock), and what becomes of its failures (the double)."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from server.billing.errors import BillingOff, StripeAway, StripeMissing, StripeRefused
from server.billing.stripe_api import StripeApi, SubscriptionVersion, stripe_api
from server.config import load_settings
from tests.services.stripe_course import SECRET_KEY
from tests.services.stripe_double import StripeDouble, running_stripe_double
from tests.services.stripe_mock import running_stripe_mock

VERSION = SubscriptionVersion("sub_1", "cus_1", "si_1", "price_1", "active", 0, 0, 0, None, None, True, False)


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeApi]:
    """The API before stripe-mock."""
    with running_stripe_mock(tmp_path_factory.mktemp("stripe-mock")) as url:
        yield StripeApi("sk_test_123", url)


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with running_stripe_double(1_795_435_200) as running:
        yield running


@pytest.fixture
def api(double: StripeDouble) -> StripeApi:
    return StripeApi(SECRET_KEY, double.url)


@pytest.mark.parametrize("has_tax", [True, False])
@pytest.mark.parametrize("trial_days", [0, 14])
def test_the_pages_of_stripe_are_asked_for_as_it_specifies(mock: StripeApi, has_tax: bool, trial_days: int) -> None:
    assert mock.create_customer(1, "Acme", "owner@example.com", "key-1").startswith("cus_")
    assert mock.create_customer(1, "Acme", None, "key-2").startswith("cus_")
    session_id, _ = mock.create_checkout(
        1,
        "cus_1",
        "price_1",
        trial_days=trial_days,
        has_tax=has_tax,
        success_url="https://footfall.example/accounts/1/billing?done=subscribed",
        cancel_url="https://footfall.example/accounts/1/billing",
        idempotency_key="key-3",
    )
    assert session_id.startswith("cs_")
    mock.expire_checkout(session_id)
    assert mock.create_portal("cus_1", "https://footfall.example/").startswith("https://")


def test_subscriptions_are_read_and_changed_as_stripe_specifies(mock: StripeApi) -> None:
    (version,) = mock.subscriptions_of("cus_1")
    assert version.subscription_id.startswith("sub_")
    assert version.price_id.startswith("price_")
    assert version.period_ends_at_ms is not None
    assert version.period_ends_at_ms > 10**11
    mock.switch(version, "price_2", is_paid_now=True)
    mock.switch(version, "price_2", is_paid_now=False)
    mock.cancel_at_period_end(version)
    mock.keep(VERSION)
    mock.cancel_now(version.subscription_id)
    assert [each.status for each in mock.unended_subscriptions()] != []


def test_a_date_of_cancelling_is_taken_back_as_stripe_specifies(mock: StripeApi) -> None:
    mock.keep(SubscriptionVersion("sub_1", "cus_1", "si_1", "price_1", "active", 0, 0, 0, None, 1, False, False))


def test_bills_and_prices_are_read_as_stripe_specifies(mock: StripeApi) -> None:
    assert mock.price("price_1").currency == "usd"
    mock.unpaid_since_ms("sub_1")
    for invoice in mock.invoices_of("cus_1", 12):
        assert invoice.currency == "usd"


def test_what_stripe_does_not_know_is_missing(api: StripeApi, double: StripeDouble) -> None:
    with pytest.raises(StripeMissing) as missing:
        api.create_portal("cus_none", "https://footfall.example/")
    assert missing.value.param == "customer"
    assert api.subscriptions_of("cus_none") == []
    with pytest.raises(StripeMissing):
        api.price("price_none")


@pytest.mark.parametrize("failures", [(500, 500), (503, 503), (429, 429), (409, 409), (None, None)])
def test_what_passes_by_itself_is_away(
    api: StripeApi, double: StripeDouble, failures: tuple[int | None, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stripe._http_client.time.sleep", lambda seconds: None)
    double.failures.extend(failures)
    with pytest.raises(StripeAway, match="Nothing was changed"):
        api.price("price_basicMonth")


def test_one_failure_is_tried_again_with_the_same_key(
    api: StripeApi, double: StripeDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stripe._http_client.time.sleep", lambda seconds: None)
    double.failures.extend([500])
    customer_id = api.create_customer(1, "Acme", None, "same")
    assert api.create_customer(1, "Acme", None, "same") == customer_id
    assert list(double.customers) == [customer_id]
    with pytest.raises(StripeRefused):
        api.create_customer(1, "Another", None, "same")


def test_a_wrong_key_is_refused_and_never_logged(double: StripeDouble, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StripeRefused, match="the log of the server says why"):
        StripeApi("sk_test_wrongOne", double.url).invoices_of("cus_of_somebody", 3)
    assert "AuthenticationError" in str(
        [record.__dict__ for record in caplog.records if record.name.startswith("server")]
    )
    said = str([record.__dict__ for record in caplog.records if not record.name.startswith("urllib3")])
    assert "wrongOne" not in said
    assert "cus_of_somebody" not in said


def test_all_pages_of_a_long_list_are_read(
    api: StripeApi, double: StripeDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.billing.stripe_api.PAGE_ROWS", 2)
    customer_id = api.create_customer(1, "Acme", None, "key")
    made = [double.subscribe(customer_id, "price_stray", 1)["id"] for _ in range(5)]
    assert [each.subscription_id for each in api.unended_subscriptions()] == made[::-1]


def test_without_keys_there_is_no_api() -> None:
    with pytest.raises(BillingOff):
        stripe_api(load_settings(stripe_secret_key="sk_test_1"))
    settings = load_settings(stripe_secret_key="sk_test_1", stripe_webhook_secret="whsec_1")
    assert stripe_api(settings) is stripe_api(settings)
