"""Payments through Stripe, and whether plans limit anybody."""

from __future__ import annotations

import re
from enum import StrEnum

from pydantic import BaseModel, field_validator

from server.config.setting import checked_url, entries, setting

STRIPE_API_URL = "https://api.stripe.com"


class Interval(StrEnum):
    """How often a plan is paid."""

    MONTH = "month"
    YEAR = "year"


class PlanLimits(StrEnum):
    """Whether limits and features of plans hold."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


# A price never changes its amount: who raises one makes another, and earlier customers keep theirs.
_FIRST_IS_SOLD = "the first is sold, further ones are those of customers who came earlier"
_TEXT = "empty, or a short text"
_PRICES = "empty, or ids that begin with price_, separated by commas"


class BillingSettings(BaseModel):
    """Group `billing`."""

    stripe_secret_key: str = setting(
        "",
        "billing",
        "key of Stripe's API; empty: nothing can be bought here. A restricted key needs to write customers, checkout "
        "sessions, portal sessions and subscriptions, and to read invoices and prices",
        "empty, or a key that begins with sk_ or rk_",
        hidden="whole",
    )
    stripe_webhook_secret: str = setting(
        "",
        "billing",
        "signing secret of the webhook that Stripe sends to <public URL>/api/stripe/webhook",
        "empty, or a secret that begins with whsec_",
        hidden="whole",
    )
    stripe_basic_monthly_price: str = setting(
        "", "billing", f"Stripe's price of the plan Basic by month: {_FIRST_IS_SOLD}", _PRICES
    )
    stripe_basic_annual_price: str = setting("", "billing", "the same of Basic by year", _PRICES)
    stripe_premium_monthly_price: str = setting("", "billing", "the same of Premium by month", _PRICES)
    stripe_premium_annual_price: str = setting("", "billing", "the same of Premium by year", _PRICES)
    basic_price_text: str = setting(
        "€29 a month", "billing", "what the landing page says that Basic costs while nothing can be bought here", _TEXT
    )
    premium_price_text: str = setting("€249 a month", "billing", "the same of Premium", _TEXT)
    stripe_automatic_tax: bool = setting(
        False, "billing", "Stripe Tax computes the taxes; it is set up in Stripe's dashboard", "true or false"
    )
    stripe_api_url: str = setting(STRIPE_API_URL, "billing", "where Stripe's API is", "an http(s) URL")
    # Stripe's own retries of a failed payment take one to four weeks, as its dashboard says.
    billing_grace_days: int = setting(
        7,
        "billing",
        "days that a paid plan lasts after a payment failed",
        "a whole number from 0 to 60",
        ge=0,
        le=60,
    )
    plan_limits: PlanLimits = setting(
        PlanLimits.AUTO,
        "billing",
        "whether limits and features of plans hold; auto: where plans can be bought. Usage is counted in any case",
        "auto, on or off",
    )

    @field_validator("stripe_secret_key")
    @classmethod
    def _stripe_key(cls, value: str) -> str:
        return _matching(value, r"(sk|rk)_[A-Za-z0-9_]+")

    @field_validator("stripe_webhook_secret")
    @classmethod
    def _secret(cls, value: str) -> str:
        return _matching(value, r"whsec_[A-Za-z0-9+/=_-]+")

    @field_validator(
        "stripe_basic_monthly_price",
        "stripe_basic_annual_price",
        "stripe_premium_monthly_price",
        "stripe_premium_annual_price",
    )
    @classmethod
    def _price(cls, value: str) -> str:
        return ",".join(_matching(entry, r"price_[A-Za-z0-9_]+") for entry in entries(value))

    @field_validator("stripe_api_url")
    @classmethod
    def _api(cls, value: str) -> str:
        if not value:
            raise ValueError("not such a URL")
        return checked_url(value, ("http", "https")).rstrip("/")

    @property
    def is_billing_on(self) -> bool:
        """Whether plans can be bought: with both secrets, since without events nobody would hear of a payment."""
        return bool(self.stripe_secret_key and self.stripe_webhook_secret)

    @property
    def are_plans_enforced(self) -> bool:
        """Whether limits and features of plans hold."""
        if self.plan_limits is PlanLimits.AUTO:
            return self.is_billing_on
        return self.plan_limits is PlanLimits.ON


def _matching(value: str, pattern: str) -> str:
    """The value if it is empty or matches. Raises ValueError."""
    if value and not re.fullmatch(pattern, value):
        raise ValueError("not such a value")
    return value
