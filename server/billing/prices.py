"""What plans cost, as Stripe says, in texts for pages, remembered for an hour; what the landing page says of it; and
an account's bills, remembered for five minutes or until its subscription changes.

A price is shown as the currency writes it, without tax: Stripe adds what applies to the customer's country.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING

from babel.numbers import format_currency, get_currency_precision

from server.billing.entitlement import price_of
from server.billing.errors import BillingError
from server.billing.plans import BASIC, PLANS, PREMIUM
from server.billing.stripe_api import stripe_api
from server.cache import cache
from server.clock import time_text
from server.config import Interval

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)

PRICES_TTL_S = 3600
# Strangers read it: while Stripe is away it is asked once a minute and not once a visit.
ADVERTISED_TTL_S = 60
INVOICES_TTL_S = 300
MOST_INVOICES = 24

# Stripe takes amounts of these with two digits although none is used: https://docs.stripe.com/currencies.
_STRIPE_DIGITS = {"ISK": 2, "UGX": 2}


def money_text(amount: int, currency: str) -> str:
    """An amount in the currency's smallest unit as people write it, such as €9.00."""
    code = currency.upper()
    digits = _STRIPE_DIGITS.get(code, get_currency_precision(code))
    return format_currency(Decimal(amount).scaleb(-digits), code, locale="en")


@cache(ttl_s=PRICES_TTL_S)
def price_texts(services: Services) -> dict[str, dict[str, str]]:
    """What each plan costs by interval, as far as it is sold here. Raises what `stripe_api` and Stripe raise."""
    api = stripe_api(services.settings)
    texts: dict[str, dict[str, str]] = {}
    for plan in PLANS:
        for interval in plan.price_settings:
            price_id = price_of(services.settings, plan, interval)
            if price_id is not None:
                price = api.price(price_id)
                text = "" if price.amount is None else money_text(price.amount, price.currency)
                texts.setdefault(plan.code, {})[str(interval)] = text
    return texts


@cache(ttl_s=ADVERTISED_TTL_S)
def advertised_prices(services: Services) -> dict[str, str]:
    """What the landing page says that the plans with a price cost, by their codes.

    Stripe's monthly price, or the annual one of a plan that is sold by the year alone; where nothing can be bought,
    what the operator configured. A plan is left out while its price is not known: nobody is told a wrong one.
    """
    settings = services.settings
    if not settings.is_billing_on:
        configured = {BASIC.code: settings.basic_price_text, PREMIUM.code: settings.premium_price_text}
        return {code: text for code, text in configured.items() if text}
    try:
        sold = price_texts(services)
    except BillingError as error:
        log.warning("prices could not be read", extra={"reason": type(error).__name__})
        return {}
    lines = {}
    for code, texts in sold.items():
        for interval in (Interval.MONTH, Interval.YEAR):
            if text := texts.get(str(interval)):
                lines[code] = f"{text} a {interval}"
                break
    return lines


@cache(ttl_s=INVOICES_TTL_S, topics=("plan:{account_id}",))
def invoice_lines(services: Services, account_id: int, customer_id: str) -> list[dict[str, str]]:
    """An account's newest bills as its page shows them. Raises `BillingOff`, `StripeAway`, `StripeRefused`."""
    return [
        {
            "number": invoice.number,
            "date": time_text(invoice.created_at_ms)[:10],
            "amount": money_text(invoice.amount, invoice.currency),
            "status": invoice.status,
            "link": invoice.link if invoice.link.startswith("https://") else "",
        }
        for invoice in stripe_api(services.settings).invoices_of(customer_id, MOST_INVOICES)
    ]
