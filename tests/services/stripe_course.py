"""What happens at Stripe as time passes: subscriptions begin, are billed, fail, and end. Every change makes an event.

`tests.services.stripe_double` puts the requests in front of it. Months have 30 days and years 365.
"""

from __future__ import annotations

import copy
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stripe import WebhookSignature

SECRET_KEY = "sk_test_doubleThatNobodyMaySee"
WEBHOOK_SECRET = "whsec_doubleThatNobodyMaySee"

DAY_S = 86_400
INTERVAL_S = {"month": 30 * DAY_S, "year": 365 * DAY_S}

# Days after which a failed payment is tried again, each counted from the one before.
RETRY_DAYS = (3, 5, 7)

PRICES = {
    "price_basicMonth": (900, "month"),
    "price_basicYear": (9_000, "year"),
    "price_premiumMonth": (4_900, "month"),
    "price_premiumYear": (49_000, "year"),
    "price_oldBasic": (500, "month"),
    "price_stray": (100, "month"),
}

UNENDED = ("active", "trialing", "past_due", "unpaid", "incomplete", "paused")

Document = dict[str, Any]


@dataclass
class StripeCourse:
    """See the module. `cards` says whether each customer's card pays, `gives_up_by` what follows when it never does."""

    now_s: int
    gives_up_by: str = "cancel"
    customers: dict[str, Document] = field(default_factory=dict)
    sessions: dict[str, Document] = field(default_factory=dict)
    subscriptions: dict[str, Document] = field(default_factory=dict)
    invoices: dict[str, Document] = field(default_factory=dict)
    cards: dict[str, bool] = field(default_factory=dict)
    events: list[Document] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    lock: threading.RLock = field(default_factory=threading.RLock)

    # -- what people and time do ---------------------------------------------------------------------------------

    def complete_checkout(self, session_id: str) -> str:
        """The customer types a card that pays, and subscribes; the subscription."""
        with self.lock:
            session = self.sessions[session_id]
            assert session["status"] == "open", session["status"]
            self.cards[session["customer"]] = True
            subscription = self.subscribe(session["customer"], session["_price"], session["_trial_days"])
            session |= {"status": "complete", "subscription": subscription["id"]}
            self.emit("checkout.session.completed", session)
            return str(subscription["id"])

    def pay_open_bills(self, customer_id: str) -> None:
        """The customer gives another card in the portal, and pays what is open."""
        with self.lock:
            self.cards[customer_id] = True
            for invoice in list(self.invoices.values()):
                if invoice["customer"] == customer_id and invoice["status"] == "open":
                    self._charge(invoice)

    def cancel_in_portal(self, subscription_id: str) -> None:
        """The customer cancels at the period's end on Stripe's page, which sets a date instead of the flag."""
        with self.lock:
            subscription = self.subscriptions[subscription_id]
            self.change(subscription, cancel_at=item_of(subscription)["current_period_end"])

    def delete_customer(self, customer_id: str) -> None:
        """Somebody deletes the customer in the dashboard; what it paid for ends."""
        with self.lock:
            for subscription in self.of(customer_id):
                if subscription["status"] in UNENDED:
                    self.end(subscription)
            customer = self.customers.pop(customer_id)
            self.emit("customer.deleted", customer)

    def advance_to(self, at_s: int) -> None:
        """Let time pass, and whatever is due happen in its order."""
        with self.lock:
            while (due := self._next_due()) is not None and due[0] <= at_s:
                self.now_s = max(self.now_s, due[0])
                due[1]()
            self.now_s = max(self.now_s, at_s)

    def signed(self, event: Document, *, at_s: int | None = None, secret: str = WEBHOOK_SECRET) -> tuple[bytes, str]:
        """An event's body and its `Stripe-Signature`."""
        body = json.dumps(event, indent=2)
        header = WebhookSignature.generate_signature_header(body, secret, self.now_s if at_s is None else at_s)
        return body.encode(), str(header)

    # -- the course of a subscription ----------------------------------------------------------------------------

    def _next_due(self) -> tuple[int, Callable[[], None]] | None:
        dues: list[tuple[int, str, Callable[[], None]]] = []
        for subscription in self.subscriptions.values():
            if subscription["status"] not in ("active", "trialing", "past_due"):
                continue
            at_s = item_of(subscription)["current_period_end"]
            ends_s = subscription["cancel_at"] or (at_s if subscription["cancel_at_period_end"] else None)
            if ends_s is not None and ends_s <= at_s:
                dues.append((ends_s, subscription["id"], partial(self.end, subscription)))
            else:
                dues.append((at_s, subscription["id"], partial(self._renew, subscription)))
        for invoice in self.invoices.values():
            if invoice["status"] == "open" and invoice["next_payment_attempt"] is not None:
                at_s = invoice["next_payment_attempt"]
                dues.append((at_s, invoice["id"], partial(self._charge, invoice)))
        first = min(dues, key=lambda due: due[:2], default=None)
        return None if first is None else (first[0], first[2])

    def subscribe(self, customer_id: str, price_id: str, trial_days: int) -> Document:
        length_s = trial_days * DAY_S if trial_days else INTERVAL_S[PRICES[price_id][1]]
        subscription_id = self.new_id("sub")
        subscription: Document = {
            "id": subscription_id,
            "object": "subscription",
            "customer": customer_id,
            "status": "trialing" if trial_days else "incomplete",
            "created": self.now_s,
            "start_date": self.now_s,
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "trial_end": self.now_s + length_s if trial_days else None,
            "pending_update": None,
            "livemode": False,
            "metadata": {},
            "items": list_document([self._new_item(subscription_id, price_id, self.now_s + length_s)]),
        }
        self.subscriptions[subscription_id] = subscription
        self.emit("customer.subscription.created", subscription)
        self.bill(subscription, 0 if trial_days else PRICES[price_id][0])
        return subscription

    def _new_item(self, subscription_id: str, price_id: str, ends_s: int) -> Document:
        return {
            "id": self.new_id("si"),
            "object": "subscription_item",
            "subscription": subscription_id,
            "quantity": 1,
            "price": price_document(price_id),
            "current_period_start": self.now_s,
            "current_period_end": ends_s,
        }

    def _renew(self, subscription: Document) -> None:
        item = item_of(subscription)
        begins_s = item["current_period_end"]
        amount, interval = PRICES[item["price"]["id"]]
        item |= {"current_period_start": begins_s, "current_period_end": begins_s + INTERVAL_S[interval]}
        if subscription["status"] == "trialing":
            self.change(subscription, status="active")
        else:
            self.emit("customer.subscription.updated", subscription)
        self.bill(subscription, amount)

    def bill(self, subscription: Document, amount: int) -> Document:
        invoice_id = self.new_id("in")
        invoice: Document = {
            "id": invoice_id,
            "object": "invoice",
            "customer": subscription["customer"],
            "parent": {"subscription_details": {"subscription": subscription["id"]}, "type": "subscription_details"},
            "number": f"DOUBLE-{len(self.invoices) + 1:04}",
            "status": "open",
            "created": self.now_s,
            "total": amount,
            "currency": "eur",
            "attempt_count": 0,
            "next_payment_attempt": None,
            "hosted_invoice_url": f"https://invoice.stripe.com/i/{invoice_id}",
        }
        self.invoices[invoice_id] = invoice
        self.emit("invoice.finalized", invoice)
        self._charge(invoice)
        return invoice

    def _charge(self, invoice: Document) -> None:
        subscription = self.subscriptions[invoice["parent"]["subscription_details"]["subscription"]]
        if invoice["total"] == 0 or self.cards.get(invoice["customer"], False):
            invoice |= {"status": "paid", "next_payment_attempt": None}
            self.emit("invoice.paid", invoice)
            if subscription["pending_update"] is not None:
                price_id = subscription["pending_update"]["subscription_items"][0]["price"]["id"]
                self.set_price(subscription, price_id, pending_update=None)
            is_clear = not any(self._is_open_of(other, subscription["id"]) for other in self.invoices.values())
            if subscription["status"] in ("incomplete", "past_due", "unpaid") and is_clear:
                self.change(subscription, status="active")
            return
        attempts = invoice["attempt_count"] + 1
        is_last = attempts > len(RETRY_DAYS)
        next_s = None if is_last else self.now_s + RETRY_DAYS[attempts - 1] * DAY_S
        invoice |= {"attempt_count": attempts, "next_payment_attempt": next_s}
        self.emit("invoice.payment_failed", invoice)
        if subscription["pending_update"] is not None or subscription["status"] not in UNENDED:
            return
        if is_last and self.gives_up_by == "cancel":
            self.end(subscription)
        elif is_last:
            self.change(subscription, status="unpaid")
        elif subscription["status"] != "past_due":
            self.change(subscription, status="past_due")

    @staticmethod
    def _is_open_of(invoice: Document, subscription_id: str) -> bool:
        owner = invoice["parent"]["subscription_details"]["subscription"]
        return invoice["status"] == "open" and bool(owner == subscription_id)

    def change(self, subscription: Document, **values: Any) -> None:
        subscription |= values
        self.emit("customer.subscription.updated", subscription)

    def set_price(self, subscription: Document, price_id: str, **values: Any) -> None:
        item = item_of(subscription)
        former = item["price"]["id"]
        item["price"] = price_document(price_id)
        if PRICES[former][1] != PRICES[price_id][1] and subscription["status"] == "active":
            ends_s = self.now_s + INTERVAL_S[PRICES[price_id][1]]
            item |= {"current_period_start": self.now_s, "current_period_end": ends_s}
        self.change(subscription, **values)

    def end(self, subscription: Document) -> None:
        subscription |= {"status": "canceled", "canceled_at": self.now_s}
        for invoice in self.invoices.values():
            if self._is_open_of(invoice, subscription["id"]):
                invoice["next_payment_attempt"] = None
        self.emit("customer.subscription.deleted", subscription)

    def emit(self, kind: str, document: Document) -> None:
        self.events.append(
            {
                "id": self.new_id("evt"),
                "object": "event",
                "api_version": "2026-10-28.endive",
                "created": self.now_s,
                "livemode": False,
                "pending_webhooks": 1,
                "type": kind,
                "data": {"object": copy.deepcopy(public(document))},
            }
        )

    def of(self, customer_id: str) -> list[Document]:
        ours = [each for each in self.subscriptions.values() if each["customer"] == customer_id]
        return sorted(ours, key=lambda each: each["created"], reverse=True)

    def new_id(self, kind: str) -> str:
        return f"{kind}_{next(self.numbers):08}"


def item_of(subscription: Document) -> Document:
    item: Document = subscription["items"]["data"][0]
    return item


def price_document(price_id: str) -> Document:
    amount, interval = PRICES[price_id]
    recurring = {"interval": interval, "interval_count": 1}
    return {"id": price_id, "object": "price", "unit_amount": amount, "currency": "eur", "recurring": recurring}


def list_document(data: list[Document], *, has_more: bool = False) -> Document:
    return {"object": "list", "url": "/v1/list", "has_more": has_more, "data": data}


def public(document: Document) -> Document:
    return {name: value for name, value in document.items() if not name.startswith("_")}
