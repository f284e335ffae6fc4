"""A Stripe that remembers, on a free loopback port and under a test's clock: customers, subscriptions, bills, events.

It takes the requests that `server.billing.stripe_api` sends, with Stripe's names, errors and idempotency keys, and
refuses a parameter that it does not know, as Stripe does (stripe-mock proves the shapes against Stripe's own
specification). What happens by itself, and when, is in `tests.services.stripe_course`; a test decides which events are
delivered, in which order and how often.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from tests.services.stripe_course import (
    PRICES,
    SECRET_KEY,
    UNENDED,
    Document,
    StripeCourse,
    item_of,
    list_document,
    price_document,
    public,
)


class Refusal(Exception):
    """An error as Stripe words it."""

    def __init__(self, status: int, code: str, param: str = "", kind: str = "invalid_request_error") -> None:
        super().__init__(code)
        self.status = status
        self.document = {"error": {"type": kind, "code": code, "param": param, "message": f"{code} {param}"}}


@dataclass
class StripeDouble(StripeCourse):
    """The course behind its API.

    `before_answer` is called with method and path when an answer has been made and not sent yet; `failures` are
    statuses of the next answers, None for a connection that ends without one. `checkout_base` and `portal_base`: where
    the pages for people are (`tests.services.stripe_pages`); `portal_return_url`: where the last one leads back to.
    """

    url: str = ""
    checkout_base: str = "https://stripe.example"
    portal_base: str = "https://stripe.example"
    portal_return_url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    failures: deque[int | None] = field(default_factory=deque)
    before_answer: Callable[[str, str], None] = lambda method, path: None
    _answers: dict[str, tuple[str, Document]] = field(default_factory=dict)

    def answer(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> tuple[int, Document]:
        """The answer to one request."""
        parts = urlsplit(target)
        with self.lock:
            self.requests.append((method, parts.path))
            if headers.get("Authorization") != f"Bearer {SECRET_KEY}":
                return 401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key provided"}}
            params = _nested(parse_qsl(parts.query if method == "GET" else body.decode(), keep_blank_values=True))
            key = headers.get("Idempotency-Key", "") if method == "POST" else ""
            said = json.dumps([parts.path, params], sort_keys=True)
            if key in self._answers:
                first, document = self._answers[key]
                if first != said:
                    refusal = Refusal(400, "idempotency_key_in_use", kind="idempotency_error")
                    return refusal.status, refusal.document
                return 200, document
            try:
                document = copy.deepcopy(public(self._route(method, parts.path.removeprefix("/v1/"), params)))
            except Refusal as refusal:
                return refusal.status, refusal.document
            if key:
                self._answers[key] = (said, document)
            return 200, document

    def _route(self, method: str, path: str, params: Document) -> Document:
        names = path.split("/")
        match method, names:
            case "POST", ["customers"]:
                return self._post_customer(params)
            case "POST", ["checkout", "sessions"]:
                return self._post_session(params)
            case "POST", ["checkout", "sessions", session_id, "expire"]:
                return self._expire(session_id)
            case "POST", ["billing_portal", "sessions"]:
                _known(params, "customer", "return_url")
                self._find(self.customers, params["customer"], "customer")
                self.portal_return_url = params["return_url"]
                url = f"{self.portal_base}/portal"
                return {"id": self.new_id("bps"), "object": "billing_portal.session", "url": url}
            case "GET", ["subscriptions"]:
                return self._list_subscriptions(params)
            case "POST", ["subscriptions", subscription_id]:
                return self._post_subscription(self._find(self.subscriptions, subscription_id, "id"), params)
            case "DELETE", ["subscriptions", subscription_id]:
                subscription = self._find(self.subscriptions, subscription_id, "id")
                self.end(subscription)
                return subscription
            case "GET", ["invoices"]:
                return self._list_invoices(params)
            case "GET", ["prices", price_id]:
                if price_id not in PRICES:
                    raise Refusal(404, "resource_missing", "price")
                return price_document(price_id)
        raise Refusal(404, "url_unknown", path)

    def _post_customer(self, params: Document) -> Document:
        _known(params, "name", "email", "metadata")
        customer: Document = {"id": self.new_id("cus"), "object": "customer", "created": self.now_s, **params}
        self.customers[customer["id"]] = customer
        return customer

    def _post_session(self, params: Document) -> Document:
        known = ("mode", "customer", "client_reference_id", "line_items", "subscription_data", "success_url")
        _known(params, *known, "cancel_url", "automatic_tax", "customer_update", "tax_id_collection")
        self._find(self.customers, params["customer"], "customer")
        (line,) = params["line_items"].values()
        if line["price"] not in PRICES:
            raise Refusal(400, "resource_missing", "line_items[0][price]")
        session_id = self.new_id("cs")
        session = {
            "id": session_id,
            "object": "checkout.session",
            "mode": params["mode"],
            "status": "open",
            "customer": params["customer"],
            "client_reference_id": params["client_reference_id"],
            "subscription": None,
            "url": f"{self.checkout_base}/checkout/{session_id}",
            "_success_url": params["success_url"],
            "_price": line["price"],
            "_trial_days": int(params["subscription_data"].get("trial_period_days", 0)),
        }
        self.sessions[session_id] = session
        return session

    def _expire(self, session_id: str) -> Document:
        session = self._find(self.sessions, session_id, "session")
        if session["status"] != "open":
            raise Refusal(400, "checkout_session_not_open", "session")
        session["status"] = "expired"
        return session

    def _list_subscriptions(self, params: Document) -> Document:
        _known(params, "customer", "status", "limit", "starting_after")
        if "customer" in params:
            found = self.of(params["customer"])
            if params["customer"] not in self.customers and not found:
                raise Refusal(400, "resource_missing", "customer")
        else:
            found = sorted(self.subscriptions.values(), key=lambda each: each["id"], reverse=True)
        if params.get("status") != "all":
            found = [each for each in found if each["status"] != "canceled"]
        return _page_of(found, params)

    def _list_invoices(self, params: Document) -> Document:
        _known(params, "customer", "subscription", "status", "limit", "starting_after")
        found = [
            invoice
            for invoice in reversed(self.invoices.values())
            if params.get("customer", invoice["customer"]) == invoice["customer"]
            and params.get("status", invoice["status"]) == invoice["status"]
            and params.get("subscription", "") in ("", invoice["parent"]["subscription_details"]["subscription"])
        ]
        return _page_of(found, params)

    def _post_subscription(self, subscription: Document, params: Document) -> Document:
        _known(params, "items", "proration_behavior", "payment_behavior", "cancel_at_period_end", "cancel_at")
        if subscription["status"] not in UNENDED:
            raise Refusal(400, "resource_missing", "id")
        if "items" in params:
            if params.keys() & {"cancel_at_period_end", "cancel_at"}:
                raise Refusal(400, "parameter_invalid", "items")
            (change,) = params["items"].values()
            if change["id"] != item_of(subscription)["id"]:
                raise Refusal(400, "resource_missing", "items[0][id]")
            self._switch(subscription, change["price"], params)
        elif "cancel_at" in params:
            self.change(subscription, cancel_at=int(params["cancel_at"]) if params["cancel_at"] else None)
        else:
            self.change(subscription, cancel_at_period_end=params["cancel_at_period_end"] == "true")
        return subscription

    def _switch(self, subscription: Document, price_id: str, params: Document) -> None:
        if price_id not in PRICES:
            raise Refusal(400, "resource_missing", "items[0][price]")
        is_free = subscription["status"] == "trialing" or params["proration_behavior"] != "always_invoice"
        if is_free or self.cards.get(subscription["customer"], False):
            self.set_price(subscription, price_id)
            if not is_free:
                self.bill(subscription, PRICES[price_id][0])
            return
        if params.get("payment_behavior") != "pending_if_incomplete":
            raise Refusal(402, "card_declined", kind="card_error")
        subscription["pending_update"] = {"subscription_items": [{"price": price_document(price_id)}]}
        self.bill(subscription, PRICES[price_id][0])
        self.emit("customer.subscription.updated", subscription)

    @staticmethod
    def _find(table: dict[str, Document], key: str, param: str) -> Document:
        if key not in table:
            raise Refusal(400 if param == "customer" else 404, "resource_missing", param)
        return table[key]


def _page_of(found: list[Document], params: Document) -> Document:
    if "starting_after" in params:
        ids = [each["id"] for each in found]
        found = found[ids.index(params["starting_after"]) + 1 :]
    limit = int(params.get("limit", 10))
    return list_document([public(each) for each in found[:limit]], has_more=len(found) > limit)


def _known(params: Document, *names: str) -> None:
    unknown = params.keys() - {*names}
    if unknown:
        raise Refusal(400, "parameter_unknown", min(unknown))


def _nested(pairs: list[tuple[str, str]]) -> Document:
    """`a[b][0]=x` as {"a": {"b": {"0": "x"}}}."""
    params: Document = {}
    for name, value in pairs:
        *outer, last = [part for part in re.split(r"[\[\]]+", name) if part]
        place = params
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = value
    return params


@contextlib.contextmanager
def running_stripe_double(now_s: int) -> Iterator[StripeDouble]:
    """A Stripe that lives inside the `with`."""
    double = StripeDouble(now_s)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body leave together: apart, each answer would wait 40 ms for an acknowledgement.
        wbufsize = -1

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if double.failures:
                failure = double.failures.popleft()
                if failure is None:
                    self.close_connection = True
                    return
                status, document = failure, {"error": {"type": "api_error", "message": "on purpose"}}
            else:
                status, document = double.answer(self.command, self.path, body, dict(self.headers))
            double.before_answer(self.command, urlsplit(self.path).path)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Request-Id", "req_double")
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def do_DELETE(self) -> None:
            self.answer()

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    double.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
