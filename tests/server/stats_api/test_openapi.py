"""The API against its own OpenAPI document: the same addresses; answers as described, whatever schemathesis sends."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from server.handler import answered_methods
from server.services import Services
from server.stats_api.openapi import openapi_document
from tests.server.pages.site_host import Host, bearer
from tests.server.pages.test_authorization import routes, sign_in
from tests.server.stats_api.dummy_site import DOMAIN, api_key

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def test_every_address_of_the_api_is_described_and_nothing_else(services: Services, host: Host) -> None:
    described = {
        (method.upper(), re.sub(r"\{(\w+)\}", r"<\1>", path))
        for path, operations in json.loads(openapi_document())["paths"].items()
        for method in operations
    }
    answered = {
        (method, line)
        for line, handler in routes(services)
        if handler.__module__.startswith("server.stats_api.")
        for method in answered_methods(handler)
    }
    assert answered - described == {("GET", "/api/openapi.json")}
    assert described - answered == set()


def test_the_document_is_public_and_kept_for_a_while(host: Host) -> None:
    answer = host.browser().get("/api/openapi.json")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert json.loads(answer.text)["openapi"] == "3.1.0"


@pytest.fixture(scope="module")
def credentials(host: Host, services: Services) -> dict[str, dict[str, str]]:
    """Headers of a program, and of an owner who is logged in."""
    browser = sign_in(services, host, 1)
    browser.get("/signup")
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return {
        "key": bearer(api_key(services)),
        "login": {"Cookie": cookies, "X-Xsrftoken": browser.cookies["_xsrf"]},
    }


schema = schemathesis.openapi.from_dict(json.loads(openapi_document()))


@schema.parametrize()
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_answers_are_as_described(case: Any, host: Host, credentials: dict[str, dict[str, str]]) -> None:
    # What is deleted is another site, so that the others find theirs; all else is about the one that there is.
    if case.method != "DELETE" or "number" in (case.path_parameters or {}):
        if isinstance(case.body, dict) and "site_id" in case.body:
            case.body["site_id"] = DOMAIN
        if "site_id" in (case.query or {}):
            case.query["site_id"] = DOMAIN
        if "domain" in (case.path_parameters or {}):
            case.path_parameters["domain"] = DOMAIN
    if case.method == "PUT" and isinstance(case.body, dict):
        case.body.pop("domain", None)
    is_for_logins = case.path.startswith("/api/sites")
    case.headers = {}
    case.cookies = {}
    headers = credentials["login" if is_for_logins else "key"]
    checks = [*CHECKS, negative_data_rejection] if case.path == "/api/v2/query" else CHECKS
    case.call_and_validate(base_url=f"http://127.0.0.1:{host.port}", checks=checks, headers=headers)
