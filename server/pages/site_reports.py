"""Mails about a site: who gets which, alerts about its traffic, and the links that begin and end them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from tornado.web import HTTPError

from server.accounts.access import PUBLIC, by_method, member
from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, LinkInvalid, NotAllowed
from server.app_database import reading, writing
from server.billing.plan_changes import has_feature
from server.billing.plans import Feature
from server.clock import now_ms
from server.handler import AppContext
from server.models import MemberRole, Site
from server.pages.joining import DEAD_LINK
from server.pages.page import PageHandler
from server.pages.site_settings import Change, SettingsPage
from server.queries.errors import QueryFailed, QueryRefused
from server.queries.periods import SiteCalendar
from server.queries.site_reports import Question, one_site
from server.rate_limit import rate_limit
from server.reports.content import dashboard_link, report_content
from server.reports.periods import REPORT_KINDS, MailKind, chart_days, latest_period, period_before
from server.reports.subscriptions import (
    KIND_NAMES,
    ask_other_address,
    checked_kinds,
    choose_for_members,
    read_readers,
    remove_other_address,
)
from server.reports.traffic_alerts import (
    REPEATS_S,
    AlertCause,
    AlertChoice,
    checked_threshold,
    read_alerts,
    set_alerts,
)
from server.reports.unsubscribing import agree, look_at_agreement, look_at_subscription, unsubscribe
from server.site_zones import zones_of

KIND_HEADS = {
    MailKind.DAILY: "Daily",
    MailKind.WEEKLY: "Weekly",
    MailKind.MONTHLY: "Monthly",
    MailKind.ALERTS: "Alerts",
}


class ReportsHandler(SettingsPage):
    """`/sites/<domain>/settings/reports`: everybody chooses for themselves; admins for others, and set alerts."""

    access = by_method(GET=member(MemberRole.VIEWER), POST=member(MemberRole.VIEWER))
    plan_features: ClassVar[Mapping[str, Feature]] = {"POST": Feature.REPORTS}
    template = "settings_reports.html"
    tab = "/reports"

    def changes(self) -> Mapping[str, Change]:
        """See the base."""
        return {
            "mine": self._choose_mine,
            "test": self._send_test,
            "people": self._choose_for_people,
            "ask": self._ask,
            "unask": self._unask,
            "alerts": self._set_alerts,
        }

    async def _choose_mine(self, site: Site, actor: int) -> tuple[str, str]:
        kinds = checked_kinds(self.get_body_arguments("kind"))
        services = self.app_context.services
        await self.in_thread(choose_for_members, services, site.site_id, {actor: kinds}, actor, now_ms())
        return site.domain, "reports"

    async def _choose_for_people(self, site: Site, actor: int) -> tuple[str, str]:
        self._need_admin()
        numbers = self.get_body_arguments("person")
        if not all(number.isdecimal() and len(number) <= 9 for number in numbers):
            raise HTTPError(400, "People are named by number.")
        wanted = {int(number): checked_kinds(self.get_body_arguments(f"kind-{number}")) for number in numbers}
        services = self.app_context.services
        await self.in_thread(choose_for_members, services, site.site_id, wanted, actor, now_ms())
        return site.domain, "reports"

    async def _ask(self, site: Site, actor: int) -> tuple[str, str]:
        self._need_admin()
        email = self.form("email")["email"]
        kinds = checked_kinds(self.get_body_arguments("other-kind"))
        services = self.app_context.services
        await self.in_thread(ask_other_address, services, site.site_id, email, kinds, actor, now_ms())
        return site.domain, "report-asked"

    async def _unask(self, site: Site, actor: int) -> tuple[str, str]:
        self._need_admin()
        email = self.form("email")["email"]
        await self.in_thread(remove_other_address, self.app_context.services, site.site_id, email, actor, now_ms())
        return site.domain, "report-removed"

    async def _set_alerts(self, site: Site, actor: int) -> tuple[str, str]:
        self._need_admin()
        repeat = self.form("repeat_s")["repeat_s"]
        if repeat not in map(str, REPEATS_S):
            raise FormError("repeat_s", "Choose one of the times in the list.")
        tells_end = bool(self.form("tells_end")["tells_end"])
        choices = {
            cause: AlertChoice(checked_threshold(cause, self.form(str(cause))[str(cause)]), int(repeat), tells_end)
            for cause in AlertCause
        }
        await self.in_thread(set_alerts, self.app_context.services, site.site_id, choices, actor, now_ms())
        return site.domain, "traffic-alerts"

    async def _send_test(self, site: Site, actor: int) -> tuple[str, str]:
        await self._count_test()
        (kind,) = checked_kinds([self.form("test_kind")["test_kind"] or MailKind.DAILY])
        if kind not in REPORT_KINDS:
            raise FormError("", "Choose a report.")
        try:
            await self.app_context.stats.run(self._queue_test, site, kind, actor)
        except (QueryFailed, QueryRefused) as error:
            raise FormError("", f"The figures cannot be read now: {error}") from None
        return site.domain, "report-test"

    @rate_limit("3/m", "20/h")
    async def _count_test(self) -> None:
        """A report costs a dozen questions."""

    def _queue_test(self, site: Site, kind: MailKind, actor: int) -> None:
        """Queue the newest report to the one who asks. Blocks."""
        login, _ = self.member
        context = self.app_context
        at_ms = now_ms()
        with reading(context.engine) as session:
            calendar = SiteCalendar(zones_of(session, site))
        period = latest_period(kind, calendar, at_ms)
        question = Question(site.site_id, period.days, period_before(kind, period).days, chart_days(kind, period))
        report = one_site(context.stats.engine, site, question, at_ms)
        content = report_content(site.domain, kind, period, report)
        base = context.settings.snippet_base
        with writing(context.engine) as session:
            context.services.mailer.queue(
                session,
                login.email,
                "site_report",
                headers={},
                images=content.images,
                why=f"You asked for this {kind} report about {site.domain} once, to see what it looks like.",
                dashboard_link=dashboard_link(base, site.domain, kind, period),
                footer_label="Choose which mails you get",
                footer_link=f"{base}/sites/{site.domain}/settings/reports",
                **content.values,
            )
            write_entry(
                session,
                Action.REPORT_TEST_SENT,
                at_ms,
                actor=actor,
                account_id=site.account_id,
                target=site.domain,
                kind=str(kind),
            )

    def _need_admin(self) -> None:
        _, place = self.member
        if place.role.rank < MemberRole.ADMIN.rank:
            raise NotAllowed(f"This needs the role {MemberRole.ADMIN}; you are {place.role} in {place.name}.")

    def read(self) -> dict[str, Any]:
        """See the base."""
        assert self.site is not None
        login, place = self.member
        with reading(self.app_context.engine) as session:
            readers = read_readers(session, self.site)
            alerts = read_alerts(session, self.site.site_id)
            is_in_plan = has_feature(session, self.app_context.settings, self.site.account_id, Feature.REPORTS)
        everybody = [each.kinds for each in readers.people] + [each.kinds for each in readers.others]
        mine = next((person.kinds for person in readers.people if person.member.user_id == login.user_id), set())
        return {
            "is_admin": place.role.rank >= MemberRole.ADMIN.rank,
            "is_in_plan": is_in_plan,
            "kinds": KIND_HEADS,
            "kind_names": KIND_NAMES,
            "report_kinds": REPORT_KINDS,
            "mine": mine,
            "readers": readers,
            "hears": any(MailKind.ALERTS in kinds for kinds in everybody),
            "thresholds": {str(cause): str(row.threshold) for cause, row in alerts.items()},
            "repeat_s": next((row.repeat_s for row in alerts.values()), REPEATS_S[1]),
            "repeats": [(each, _hours(each)) for each in REPEATS_S],
            "tells_end": any(row.tells_end for row in alerts.values()),
        }


def _hours(seconds: int) -> str:
    hours = timedelta(seconds=seconds) // timedelta(hours=1)
    return "an hour" if hours == 1 else "a day" if hours == 24 else f"{hours} hours"


class UnsubscribeHandler(PageHandler):
    """`/unsubscribe/<token>`: ends one subscription. Mail programs post here by themselves, without any cookie."""

    access = by_method(GET=PUBLIC, POST=PUBLIC)
    template = "unsubscribe.html"

    def check_xsrf_cookie(self) -> None:
        """The token in the address is what allows it (RFC 8058, section 3.1: no cookies)."""

    def check_trusted_origin(self, origin: str) -> bool:
        """Webmail may post from its own pages."""
        return True

    @rate_limit("30/m")
    async def get(self, token: str) -> None:
        """A page with a button: programs that only look at links end nothing."""

        def look() -> tuple[str, str]:
            with reading(self.app_context.engine) as session:
                row, site = look_at_subscription(session, self.app_context.services.secret_key, token)
                return site.domain, row.kind

        try:
            domain, kind = await self.in_thread(look)
        except LinkInvalid:
            raise HTTPError(410, DEAD_LINK) from None
        self.show(domain=domain, what=KIND_NAMES[MailKind(kind)])

    @rate_limit("30/m", "300/h")
    async def post(self, token: str) -> None:
        """End it."""

        def end() -> str:
            with writing(self.app_context.engine) as session:
                return unsubscribe(session, self.app_context.services.secret_key, token, now_ms())

        try:
            domain = await self.in_thread(end)
        except LinkInvalid:
            # Ended before, or never there: the program that posts is to hear no failure for a second click.
            self.show("message.html", title="You are unsubscribed", text=ENDED_BEFORE, link="", link_text="")
            return
        text = f"You get no such mails about {domain} any more. Others that you chose go on."
        self.show("message.html", title="You are unsubscribed", text=text, link="", link_text="")


ENDED_BEFORE = "Whatever this link was for is not sent any more."


class AgreeHandler(PageHandler):
    """`/reports/agree`: the owner of an address agrees to get mails about a site."""

    access = by_method(GET=PUBLIC, POST=PUBLIC)
    template = "reports_agree.html"

    @rate_limit("30/m")
    async def get(self) -> None:
        """What is offered, and a button."""

        def look() -> tuple[str, str]:
            with reading(self.app_context.engine) as session:
                row, site = look_at_agreement(session, self.app_context.services.secret_key, self._token, now_ms())
                return site.domain, row.email or ""

        domain, email = await self._follow(look)
        self.show(domain=domain, email=email, token=self._token)

    @rate_limit("10/m")
    async def post(self) -> None:
        """Begin."""

        def begin() -> str:
            with writing(self.app_context.engine) as session:
                return agree(session, self.app_context.services.secret_key, self._token, now_ms())

        domain = await self._follow(begin)
        text = f"You will get mails about {domain}. Each has a link that ends it."
        self.show("message.html", title="Thank you", text=text, link="", link_text="")

    @property
    def _token(self) -> str:
        return self.get_argument("token", "")

    async def _follow(self, work: Any) -> Any:
        try:
            return await self.in_thread(work)
        except LinkInvalid:
            raise HTTPError(410, DEAD_LINK) from None


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [
        (r"/sites/(?P<domain>[^?]+)/settings/reports", ReportsHandler, given),
        (r"/unsubscribe/([0-9a-f-]{1,60})", UnsubscribeHandler, given),
        (r"/reports/agree", AgreeHandler, given),
    ]
