"""Stripe's API as far as we need it: requests with few parameters, answers as plain frozen data.

Invariants:
- no other module touches the package `stripe`, and no object of it leaves this one;
- an answer is Stripe's state after the request began: nothing is remembered here;
- no card data passes: people enter it on Stripe's pages;
- every failure is `StripeAway` or `StripeRefused`; a log line names Stripe's code and the number of the request, which
  Stripe's dashboard finds, never a key or a person;
- a request that creates something carries an idempotency key, so that a repetition creates nothing more.

Written for the API version that the package is made for; fields and meanings: https://docs.stripe.com/api.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from server.billing.errors import BillingOff, StripeAway, StripeMissing, StripeRefused
from server.config import Settings

if TYPE_CHECKING:
    from stripe import Subscription as StripeSubscription

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

# A page waits for it, with one of few threads.
TIMEOUT_S = 8.0

# Of connections and of answers that Stripe asks to repeat; the package backs off and keeps the idempotency key.
NETWORK_RETRIES = 1

# Subscriptions in one answer: the most that Stripe gives.
PAGE_ROWS = 100

# What a customer can have had. A customer with more is none of ours.
MOST_SUBSCRIPTIONS = 100

RESOURCE_MISSING = "resource_missing"


@dataclass(frozen=True)
class SubscriptionVersion:
    """A subscription as Stripe has it now. `status` is Stripe's word; times that do not apply are None."""

    subscription_id: str
    customer_id: str
    item_id: str
    price_id: str
    status: str
    created_at_ms: int
    period_starts_at_ms: int | None
    period_ends_at_ms: int | None
    trial_ends_at_ms: int | None
    cancels_at_ms: int | None
    cancels_at_period_end: bool
    has_pending_update: bool


@dataclass(frozen=True)
class Invoice:
    """A bill as its page at Stripe has it. `amount` is in the currency's smallest unit."""

    number: str
    created_at_ms: int
    amount: int
    currency: str
    status: str
    link: str


@dataclass(frozen=True)
class Price:
    """What a price costs in each interval, in the currency's smallest unit; None where it depends on the quantity."""

    price_id: str
    amount: int | None
    currency: str


def _wrapped(function: Callable[P, R]) -> Callable[P, R]:
    """Turn the package's exceptions into ours."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        import stripe

        try:
            return function(*args, **kwargs)
        except stripe.StripeError as error:
            raise _ours(error) from None

    return call


def _ours(error: Any) -> StripeAway | StripeRefused:
    import stripe

    extra = {
        "reason": type(error).__name__,
        "code": error.code or "",
        "status": error.http_status or 0,
        "stripe_request": error.request_id or "",
    }
    status = error.http_status or 0
    if isinstance(error, stripe.APIConnectionError | stripe.RateLimitError) or status >= 500 or status == 409:
        log.warning("Stripe did not answer", extra=extra)
        return StripeAway("Stripe does not answer at the moment. Nothing was changed; please try again soon.")
    if error.code == RESOURCE_MISSING:
        return StripeMissing(getattr(error, "param", None) or "")
    log.error("Stripe refused a request", extra=extra)
    if isinstance(error, stripe.CardError):
        return StripeRefused(error.user_message or "Your card was declined.", error.code or "card_declined")
    return StripeRefused("Stripe refused this; the log of the server says why.", error.code or "")


class StripeApi:
    """For any thread. Made by `stripe_api`."""

    def __init__(self, secret_key: str, api_url: str) -> None:
        # Imported here: only who pays needs the package's 25 MB.
        import stripe

        # At info it writes every URL, and with a list's URL whom the list is about.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        stripe.enable_telemetry = False
        self._client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": api_url},
            max_network_retries=NETWORK_RETRIES,
            http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
        )

    # -- customers and Stripe's pages ----------------------------------------------------------------------------

    @_wrapped
    def create_customer(self, account_id: int, name: str, email: str | None, idempotency_key: str) -> str:
        """Make a customer; the id."""
        params: Any = {"name": name, "metadata": {"footfall_account": str(account_id)}}
        if email:
            params["email"] = email
        return self._client.v1.customers.create(params, {"idempotency_key": idempotency_key}).id

    @_wrapped
    def create_checkout(
        self,
        account_id: int,
        customer_id: str,
        price_id: str,
        *,
        trial_days: int,
        has_tax: bool,
        success_url: str,
        cancel_url: str,
        idempotency_key: str,
    ) -> tuple[str, str]:
        """Make a page on which the customer subscribes; its id and address."""
        subscription: dict[str, Any] = {"metadata": {"footfall_account": str(account_id)}}
        if trial_days:
            subscription["trial_period_days"] = trial_days
        params: Any = {
            "mode": "subscription",
            "customer": customer_id,
            "client_reference_id": str(account_id),
            "line_items": [{"price": price_id, "quantity": 1}],
            "subscription_data": subscription,
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        if has_tax:
            # Stripe needs the address for it, and keeps what was typed with the customer.
            params["automatic_tax"] = {"enabled": True}
            params["customer_update"] = {"address": "auto", "name": "auto"}
            params["tax_id_collection"] = {"enabled": True}
        made = self._client.v1.checkout.sessions.create(params, {"idempotency_key": idempotency_key})
        return made.id, made.url or ""

    @_wrapped
    def expire_checkout(self, session_id: str) -> None:
        """End such a page. Raises `StripeRefused` when it was used or has ended."""
        self._client.v1.checkout.sessions.expire(session_id)

    @_wrapped
    def create_portal(self, customer_id: str, return_url: str) -> str:
        """The address of the customer's own pages at Stripe: card, address, bills, cancelling."""
        return self._client.v1.billing_portal.sessions.create({"customer": customer_id, "return_url": return_url}).url

    # -- subscriptions -------------------------------------------------------------------------------------------

    @_wrapped
    def subscriptions_of(self, customer_id: str) -> list[SubscriptionVersion]:
        """All that a customer has or had; none when Stripe does not know the customer any more."""
        try:
            found = self._client.v1.subscriptions.list(
                {"customer": customer_id, "status": "all", "limit": MOST_SUBSCRIPTIONS}
            )
        except _package().InvalidRequestError as error:
            if error.code == RESOURCE_MISSING:
                return []
            raise
        return [_version(subscription) for subscription in found.data]

    @_wrapped
    def unpaid_since_ms(self, subscription_id: str) -> int | None:
        """When the oldest open bill of a subscription was made; None when none is open."""
        found = self._client.v1.invoices.list({"subscription": subscription_id, "status": "open", "limit": PAGE_ROWS})
        return min((invoice.created * 1000 for invoice in found.data), default=None)

    @_wrapped
    def switch(self, version: SubscriptionVersion, price_id: str, *, is_paid_now: bool) -> None:
        """Give a subscription another price.

        `is_paid_now`: the difference is billed at once, and the price changes only when it is paid; otherwise what was
        paid too much is taken off the next bills.
        """
        params: Any = {"items": [{"id": version.item_id, "price": price_id}]}
        if is_paid_now:
            params |= {"proration_behavior": "always_invoice", "payment_behavior": "pending_if_incomplete"}
        else:
            params |= {"proration_behavior": "create_prorations"}
        self._client.v1.subscriptions.update(version.subscription_id, params)

    @_wrapped
    def cancel_at_period_end(self, version: SubscriptionVersion) -> None:
        """Let a subscription run out."""
        self._client.v1.subscriptions.update(version.subscription_id, {"cancel_at_period_end": True})

    @_wrapped
    def keep(self, version: SubscriptionVersion) -> None:
        """Take that back."""
        # Stripe's portal may have set a date instead of the flag; Stripe takes only one of the two at a time.
        params: Any = {"cancel_at_period_end": False} if version.cancels_at_period_end else {"cancel_at": ""}
        self._client.v1.subscriptions.update(version.subscription_id, params)

    @_wrapped
    def cancel_now(self, subscription_id: str) -> None:
        """End a subscription at once, for an account that is destroyed."""
        self._client.v1.subscriptions.cancel(subscription_id)

    def unended_subscriptions(self) -> Iterator[SubscriptionVersion]:
        """Every subscription of the whole Stripe account that has not ended, page by page."""
        after = ""
        while True:
            page = self._page_after(after)
            yield from page
            if len(page) < PAGE_ROWS:
                return
            after = page[-1].subscription_id

    @_wrapped
    def _page_after(self, subscription_id: str) -> list[SubscriptionVersion]:
        # Without a status Stripe leaves out what was cancelled.
        params: Any = {"limit": PAGE_ROWS, **({"starting_after": subscription_id} if subscription_id else {})}
        return [_version(subscription) for subscription in self._client.v1.subscriptions.list(params).data]

    # -- what pages show -----------------------------------------------------------------------------------------

    @_wrapped
    def invoices_of(self, customer_id: str, limit_rows: int) -> list[Invoice]:
        """A customer's newest bills, without drafts."""
        found = self._client.v1.invoices.list({"customer": customer_id, "limit": limit_rows})
        return [
            Invoice(
                number=invoice.number or "",
                created_at_ms=invoice.created * 1000,
                amount=invoice.total,
                currency=invoice.currency,
                status=invoice.status or "",
                link=invoice.hosted_invoice_url or "",
            )
            for invoice in found.data
            if invoice.status != "draft"
        ]

    @_wrapped
    def price(self, price_id: str) -> Price:
        """What a price costs."""
        found = self._client.v1.prices.retrieve(price_id)
        return Price(found.id, found.unit_amount, found.currency)


@functools.lru_cache(maxsize=4)
def _api(secret_key: str, api_url: str) -> StripeApi:
    return StripeApi(secret_key, api_url)


def stripe_api(settings: Settings) -> StripeApi:
    """The API with this server's key, one per process. Raises `BillingOff`."""
    if not settings.is_billing_on:
        raise BillingOff("Nothing can be bought on this server: it has no keys of Stripe.")
    return _api(settings.stripe_secret_key, settings.stripe_api_url)


def _package() -> Any:
    import stripe

    return stripe


def _version(subscription: StripeSubscription) -> SubscriptionVersion:
    # `items` is a method of the object, which is a mapping too.
    items: Iterable[Any] = subscription["items"].data
    item = next(iter(items), None)
    return SubscriptionVersion(
        subscription_id=subscription.id,
        customer_id=_id(subscription.customer),
        item_id="" if item is None else item.id,
        price_id="" if item is None else item.price.id,
        status=subscription.status,
        created_at_ms=subscription.created * 1000,
        period_starts_at_ms=None if item is None else _ms(item.current_period_start),
        period_ends_at_ms=None if item is None else _ms(item.current_period_end),
        trial_ends_at_ms=_ms(subscription.trial_end),
        cancels_at_ms=_cancels_at_ms(subscription, item),
        cancels_at_period_end=bool(subscription.cancel_at_period_end),
        has_pending_update=subscription.pending_update is not None,
    )


def _cancels_at_ms(subscription: StripeSubscription, item: Any) -> int | None:
    if subscription.cancel_at is not None:
        return subscription.cancel_at * 1000
    return _ms(item.current_period_end) if subscription.cancel_at_period_end and item is not None else None


def _ms(at_s: int | None) -> int | None:
    return None if at_s is None else at_s * 1000


def _id(reference: Any) -> str:
    """The id of what is named by id or contained whole."""
    return reference if isinstance(reference, str) else str(reference.id)
