"""The pages on which people pay at Stripe, over TLS on a free loopback port: what comes of them is the double's.

A browser finds them by Stripe's own names when it is started with `resolver_rules`, so that what our pages allow to
leave them (`form-action`) is held against the real addresses, and the way back comes from another site.
"""

from __future__ import annotations

import contextlib
import html
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.services.stripe_double import StripeDouble
from tests.services.tls import tls_in_front_of

CHECKOUT_HOST, PORTAL_HOST = "checkout.stripe.com", "billing.stripe.com"

_PAGE = (
    """<!doctype html><html lang="en"><title>Stripe</title><link rel="icon" href="data:,"><h1>{title}</h1>{content}"""
)


def resolver_rules(port: int) -> str:
    """The argument that tells Chromium where Stripe's pages are."""
    names = ", ".join(f"MAP {host} 127.0.0.1:{port}" for host in (CHECKOUT_HOST, PORTAL_HOST))
    return f"--host-resolver-rules={names}"


@contextlib.contextmanager
def running_stripe_pages(double: StripeDouble, folder: Path) -> Iterator[int]:
    """The pages of this double inside the `with`; their port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/portal":
                back = html.escape(double.portal_return_url)
                self.show("Your bills", f'<a href="{back}">Back to Footfall</a>')
            elif self.path.removeprefix("/checkout/") in double.sessions:
                self.show("Subscribe", '<form method="post"><button>Pay and subscribe</button></form>')
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            session_id = self.path.removeprefix("/checkout/")
            double.complete_checkout(session_id)
            self.send_response(303)
            self.send_header("Location", double.sessions[session_id]["_success_url"])
            self.end_headers()

        def show(self, title: str, content: str) -> None:
            body = _PAGE.format(title=title, content=content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    double.checkout_base, double.portal_base = f"https://{CHECKOUT_HOST}", f"https://{PORTAL_HOST}"
    try:
        with tls_in_front_of(("127.0.0.1", server.server_address[1]), folder) as endpoint:
            yield endpoint.port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
