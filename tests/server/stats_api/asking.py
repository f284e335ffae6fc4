"""How tests ask the API."""

from __future__ import annotations

import json
from typing import Any

from tests.server.pages.site_host import Answer, Browser, Host, bearer


class Client:
    """A program with an API key, as Plausible's clients are."""

    def __init__(self, host: Host, key: str) -> None:
        self.browser = host.browser()
        self.headers = bearer(key)

    def query(self, **document: Any) -> dict[str, Any]:
        """The answer to a query that is valid."""
        answer = self.post("/api/v2/query", document)
        assert answer.status == 200, answer.text
        return json.loads(answer.text)  # type: ignore[no-any-return]

    def post(self, path: str, document: Any) -> Answer:
        """A JSON body."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.browser.ask("POST", path, body, Content_Type="application/json", **self.headers)

    def get(self, path: str) -> Any:
        """The JSON of an address that answers."""
        answer = self.browser.get(path, **self.headers)
        assert answer.status == 200, answer.text
        return json.loads(answer.text)

    def status(self, path: str) -> int:
        """The status of an address."""
        return self.browser.get(path, **self.headers).status


def send(browser: Browser, method: str, path: str, document: Any = None) -> Answer:
    """What the dashboard sends: JSON with the form's token."""
    body = b"" if document is None else json.dumps(document).encode()
    token = browser.cookies.get("_xsrf", "")
    return browser.ask(method, path, body, Content_Type="application/json", X_Xsrftoken=token)


def error_of(answer: Answer) -> str:
    """The sentence of an error."""
    message: str = json.loads(answer.text)["error"]
    return message
