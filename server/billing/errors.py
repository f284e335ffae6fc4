"""What can go wrong with payments. `str()` of those that reach a page is a sentence for it."""

from __future__ import annotations


class BillingError(Exception):
    """The base of what a page may say about a payment. Nothing was changed here."""


class BillingOff(BillingError):
    """This server has no keys of Stripe: nothing can be bought."""


class StripeAway(BillingError):
    """Stripe did not answer, was busy, or failed itself. To be tried again."""


class StripeRefused(BillingError):
    """Stripe says no to the request as it is; trying again does not help. `code` is Stripe's word for why."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class StripeMissing(StripeRefused):
    """Stripe does not have what was named, or has deleted it. `param` is the parameter that named it."""

    def __init__(self, param: str) -> None:
        super().__init__("Stripe does not know this any more.", "resource_missing")
        self.param = param


class NotForSale(BillingError):
    """The plan is free, or this server has no price for it at that interval."""


class AlreadySubscribed(BillingError):
    """The account has a subscription: it is changed, not bought a second time."""


class NotSubscribed(BillingError):
    """The account has no subscription that could be changed."""


class ChangeRefused(BillingError):
    """The subscription is in no state for this change; the text says what comes first."""


class CheckoutRaced(BillingError):
    """Somebody else of the account went to Stripe at the same moment; the younger visit was ended."""


class RefreshRaced(Exception):
    """Others applied newer versions of a subscription again and again. To be tried again."""


class EventRefused(Exception):
    """A webhook was not signed by Stripe with our secret, is too old, or no event. Nothing was kept."""
