"""What the landing page says that plans cost: Stripe's prices where plans are sold, the operator's words elsewhere."""

from __future__ import annotations

import pytest

from server.billing.prices import advertised_prices
from server.config import Settings
from server.services import open_services
from tests.server.billing.shop import Shop, billing_settings


def test_where_plans_are_sold_the_price_is_stripes(shop: Shop) -> None:
    assert advertised_prices(shop.services) == {"BASIC": "€9.00 a month", "PREMIUM": "€49.00 a month"}


def test_elsewhere_it_is_what_the_operator_says(database_settings: Settings) -> None:
    settings = database_settings.model_copy(update={"basic_price_text": "9 £ a month", "premium_price_text": ""})
    services = open_services(settings)
    try:
        assert advertised_prices(services) == {"BASIC": "9 £ a month"}
    finally:
        services.close()


def test_a_plan_that_is_sold_by_the_year_alone_says_so(shop: Shop) -> None:
    settings = shop.services.settings.model_copy(
        update={"stripe_basic_monthly_price": "", "stripe_premium_monthly_price": "", "stripe_premium_annual_price": ""}
    )
    services = open_services(settings)
    try:
        assert advertised_prices(services) == {"BASIC": "€90.00 a year"}
    finally:
        services.close()


def test_while_stripe_is_away_nobody_is_told_a_price(
    database_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    # Nobody listens on port 1.
    services = open_services(billing_settings(database_settings, "http://127.0.0.1:1"))
    try:
        assert advertised_prices(services) == {}
    finally:
        services.close()
    assert "prices could not be read" in [record.message for record in caplog.records]
