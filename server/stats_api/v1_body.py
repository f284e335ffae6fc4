"""The base of the Sites API: who calls, and the fields of a body, which may be a form, a multipart form or JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from tornado.httputil import HTTPInputError, parse_body_arguments

from server.accounts.access import Access, key
from server.accounts.errors import FormError, NotAllowed, NotThere
from server.billing.plans import Feature
from server.models import Scope, Site
from server.sites import GONE_STATES, find_site
from server.stats_api.api_handler import ApiError, ApiHandler
from server.stats_api.cursors import PageAsked

Result = TypeVar("Result")

SITES_KEY: Access = key(Scope.SITES_WRITE)


class SitesApiHandler(ApiHandler):
    """Answers holders of a key with `sites:write`, about sites of its account."""

    access: ClassVar[Access | Mapping[str, Access]] = SITES_KEY
    plan_features: ClassVar[Mapping[str, Feature]] = MappingProxyType(
        dict.fromkeys(("GET", "POST", "PUT", "DELETE"), Feature.SITES_API)
    )

    def fields(self) -> Mapping[str, Any]:
        """The body's fields as texts, or as JSON has them. Raises `ApiError` 400."""
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            return self.json_object() if self.request.body else {}
        arguments: dict[str, list[bytes]] = {}
        try:
            parse_body_arguments(
                self.request.headers.get("Content-Type", ""), self.request.body, arguments, {}, self.request.headers
            )
            return {name: values[-1].decode() for name, values in arguments.items()}
        except (HTTPInputError, UnicodeDecodeError):
            raise ApiError(400, "The body is no form.") from None

    def field(self, fields: Mapping[str, Any], name: str) -> str:
        """A field that has to be there, or the parameter of this name. Raises `ApiError` 400."""
        value = fields.get(name) or self.get_query_argument(name, "")
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            raise ApiError(400, f"The parameter {name} is needed.")
        return value.strip()

    async def own_site(self, domain: str) -> Site:
        """The site, when the key's account has it. Raises `ApiError` 404, 429."""
        await self.limit_rate()
        site = await self.in_thread(find_site, self.app_context.engine, domain)
        if site is None or site.state in GONE_STATES or site.account_id != self.key_account_id:
            raise ApiError(404, "The account of this API key has no such site.")
        return site

    async def carry_out(self, work: Callable[[], Result]) -> Result:
        """Run what may refuse what was typed. Raises `ApiError` 400, 403, 404."""
        try:
            return await self.in_thread(work)
        except FormError as refused:
            raise ApiError(400, f"{refused.field}: {refused.message}") from None
        except NotAllowed as refused:
            raise ApiError(403, str(refused)) from None
        except NotThere:
            raise ApiError(404, "There is no such thing on this site.") from None

    @property
    def page_asked(self) -> PageAsked:
        """Which page of a list is asked for. Raises `ApiError` 400."""
        return PageAsked.of(*(self.get_query_argument(name, "") for name in ("limit", "after", "before")))
