"""What plans cost, as Stripe says, in texts for pages, remembered for an hour; and an account's bills, remembered for
five minutes or until its subscription changes.

A price is shown as the currency writes it, without tax: Stripe adds what applies to the customer's country.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from babel.numbers import format_currency, get_currency_precision

from server.billing.entitlement import price_of
from server.billing.plans import PLANS
from server.billing.stripe_api import stripe_api
from server.cache import cache
from server.clock import time_text

if TYPE_CHECKING:
    from server.services import Services

PRICES_TTL_S = 3600
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
