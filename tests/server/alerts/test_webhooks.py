"""What a webhook's answers mean, against a real HTTP server."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import pytest

from server.alerts import webhooks
from server.alerts.webhooks import WebhookUnreachable, post_json
from server.tasks import TaskFailed
from tests.services.closed_port import closed_port
from tests.services.webhook import WebhookReceiver, running_webhook


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with running_webhook() as receiver:
        yield receiver


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_delivered(receiver: WebhookReceiver, status: int) -> None:
    receiver.answers.append((status, {"Content-Length": "0"}) if status == 204 else status)
    post_json(receiver.url + "/hook", {"text": "Grüße"})
    (request,) = receiver.requests
    assert (request.method, request.path, request.document) == ("POST", "/hook", {"text": "Grüße"})
    assert request.headers["User-Agent"] == "Footfall"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 499])
def test_refused_for_good(receiver: WebhookReceiver, status: int) -> None:
    receiver.answers.append(status)
    with pytest.raises(TaskFailed, match=str(status)):
        post_json(receiver.url, {"text": "x"})


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_to_be_tried_again(receiver: WebhookReceiver, status: int) -> None:
    receiver.answers.append(status)
    with pytest.raises(WebhookUnreachable, match=str(status)):
        post_json(receiver.url, {"text": "x"})


def test_a_redirect_is_not_followed(receiver: WebhookReceiver) -> None:
    with running_webhook() as other:
        for status in (301, 302, 307, 308):
            receiver.answers.append((status, {"Location": f"{other.url}/caught"}))
            with pytest.raises(WebhookUnreachable, match=str(status)):
                post_json(receiver.url, {"text": "x"})
        assert other.requests == []
    assert len(receiver.requests) == 4


def test_a_connection_that_ends_without_an_answer(receiver: WebhookReceiver) -> None:
    receiver.answers.append(None)
    with pytest.raises(WebhookUnreachable):
        post_json(receiver.url, {"text": "x"})
    assert len(receiver.requests) == 1, "a retry is the task's to make"


def test_no_error_names_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as port:
        for url in (
            f"http://127.0.0.1:{port}/secret-path",
            "http://[bad/secret-path",
            "http://host.invalid/secret-path",
        ):
            with pytest.raises(WebhookUnreachable) as caught:
                post_json(url, {"text": "x"})
            assert "secret-path" not in "".join(traceback.format_exception(caught.value))
    assert webhooks.CONNECT_TIMEOUT_S < webhooks.DEADLINE_S
