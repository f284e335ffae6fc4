"""The API's lines of the authorization matrix (`test_authorization`), and how each is asked.

Bodies are JSON. A line that learns its site from a parameter or the body is asked about the site of the account.
"""

from __future__ import annotations

# anonymous, viewer, admin, owner, other account, plain staff, stale staff, staff, key, narrow key, other key, guest,
# guest editor.
READER = "uyyynnnnyfnyy"
VIEWER = "uyyynnnnuuuyy"
ADMIN = "ufyynnnnuuufy"
# `narrow key` has the scope sites:write, which `key` has not.
SITES_KEY = "uuuuuuuufyyuu"
OWN_SITES_KEY = "uuuuuuuufynuu"

API_MATRIX: dict[tuple[str, str], str] = {
    ("GET", "/api/openapi.json"): "yyyyyyyyyyyyy",
    ("POST", "/api/v2/query"): READER,
    ("GET", "/api/stats/realtime"): READER,
    ("GET", "/api/stats/drops"): READER,
    ("GET", "/api/stats/suggestions"): READER,
    ("GET", "/api/stats/export"): READER,
    ("GET", "/api/sites"): "uyyyyyyyuuuyy",
    ("GET", "/api/sites/<domain>/goals"): READER,
    ("POST", "/api/sites/<domain>/goals"): ADMIN,
    ("PATCH", "/api/sites/<domain>/goals/<number>"): ADMIN,
    ("DELETE", "/api/sites/<domain>/goals/<number>"): ADMIN,
    ("GET", "/api/sites/<domain>/funnels"): READER,
    ("POST", "/api/sites/<domain>/funnels"): ADMIN,
    ("GET", "/api/sites/<domain>/funnels/<number>"): READER,
    ("PATCH", "/api/sites/<domain>/funnels/<number>"): ADMIN,
    ("DELETE", "/api/sites/<domain>/funnels/<number>"): ADMIN,
    ("GET", "/api/sites/<domain>/segments"): READER,
    # Viewers may have some of their own; the one there is everybody's.
    ("POST", "/api/sites/<domain>/segments"): VIEWER,
    ("PATCH", "/api/sites/<domain>/segments/<number>"): ADMIN,
    ("DELETE", "/api/sites/<domain>/segments/<number>"): ADMIN,
    ("GET", "/api/sites/<domain>/annotations"): READER,
    ("POST", "/api/sites/<domain>/annotations"): ADMIN,
    ("PATCH", "/api/sites/<domain>/annotations/<number>"): ADMIN,
    ("DELETE", "/api/sites/<domain>/annotations/<number>"): ADMIN,
    ("GET", "/api/v1/stats/realtime/visitors"): READER,
    ("GET", "/api/v1/stats/aggregate"): READER,
    ("GET", "/api/v1/stats/timeseries"): READER,
    ("GET", "/api/v1/stats/breakdown"): READER,
    ("GET", "/api/v1/sites"): SITES_KEY,
    ("POST", "/api/v1/sites"): SITES_KEY,
    ("GET", "/api/v1/sites/teams"): SITES_KEY,
    ("PUT", "/api/v1/sites/shared-links"): OWN_SITES_KEY,
    ("GET", "/api/v1/sites/custom-props"): OWN_SITES_KEY,
    ("PUT", "/api/v1/sites/custom-props"): OWN_SITES_KEY,
    ("GET", "/api/v1/sites/goals"): OWN_SITES_KEY,
    ("PUT", "/api/v1/sites/goals"): OWN_SITES_KEY,
    ("DELETE", "/api/v1/sites/goals/<number>"): OWN_SITES_KEY,
    ("GET", "/api/v1/sites/guests"): OWN_SITES_KEY,
    ("PUT", "/api/v1/sites/guests"): OWN_SITES_KEY,
    ("DELETE", "/api/v1/sites/guests/<email>"): OWN_SITES_KEY,
    ("GET", "/api/v1/sites/<domain>"): OWN_SITES_KEY,
    ("PUT", "/api/v1/sites/<domain>"): OWN_SITES_KEY,
    ("DELETE", "/api/v1/sites/<domain>"): OWN_SITES_KEY,
}

API_GROUPS = {
    "(?P<number>[0-9]{1,9})": "<number>",
    "(?P<email>[^/?]{1,300})": "<email>",
    r"openapi\.json": "openapi.json",
}


def api_question(method: str, line: str) -> tuple[str, bytes | None]:
    """What follows the path, and the body."""
    by_parameter = line.startswith("/api/stats/") or (line.startswith("/api/v1/") and "<domain>" not in line)
    query = "?site_id=shop.example&dimension=event:page" if by_parameter else ""
    if method == "GET":
        return query, None
    return query, b'{"site_id": "shop.example"}' if line == "/api/v2/query" else b"{}"
