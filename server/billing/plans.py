"""The plans: what an account may use, and for how much of a month. Data, not rows: a plan changes with a release.

Amounts of money are not here: a plan names the settings that hold Stripe's prices, and Stripe knows what they cost,
in which currency and with which tax. `Settings.are_plans_enforced` says whether limits and features hold at all: on a
server without payments nobody could buy more, so there usage is only counted.

Imports nothing of ours but the settings' module of prices, so that any module may import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from server.config.billing import Interval


class Feature(StrEnum):
    """What a plan may have or lack. Enforced where it is used: at the route, in the query, in the job."""

    STATS_API = "stats_api"
    """Reading figures with an API key."""
    EXPORTS = "exports"
    """Taking raw events away as files; figures every plan may."""
    FUNNELS = "funnels"
    """Following visitors through several goals."""
    REVENUE = "revenue"
    """Goals that count money."""
    REPORTS = "reports"
    """Reports and alerts about traffic by mail."""
    EMBEDDING = "embedding"
    """The dashboard inside other pages."""
    SITES_API = "sites_api"
    """Adding and changing sites with an API key."""

    @property
    def meaning(self) -> str:
        """A line of a pricing table."""
        return _MEANINGS[self]


_MEANINGS: Mapping[Feature, str] = MappingProxyType(
    {
        Feature.STATS_API: "Stats API",
        Feature.EXPORTS: "Exports of raw events",
        Feature.FUNNELS: "Funnels",
        Feature.REVENUE: "Revenue of goals",
        Feature.REPORTS: "Reports and alerts by mail",
        Feature.EMBEDDING: "Embedded dashboards",
        Feature.SITES_API: "Sites API",
    }
)


IN_EVERY_PLAN = ("Any number of sites and people", "Web vitals and timings", "Goals, segments, share links")
"""What no plan lacks; lines of a pricing table."""


@dataclass(frozen=True)
class Plan:
    """One plan.

    `monthly_events`: page views and custom events of one billing period; `retention_class`: how long they are kept
    (`server.migrate.RETENTION_DAYS`), in years as people are told `retention_years`; `price_settings`: the setting that
    names Stripe's price for each interval, none for a plan that costs nothing; `trial_days`: free days of an account's
    first subscription.
    """

    code: str
    display_name: str
    monthly_events: int
    retention_class: int
    retention_years: int
    features: frozenset[Feature]
    price_settings: Mapping[Interval, str] = field(hash=False)
    trial_days: int
    summary: str

    @property
    def is_paid(self) -> bool:
        """Whether it can be bought."""
        return bool(self.price_settings)

    @property
    def rank(self) -> int:
        """The place in the order of `PLANS`: a greater one is an upgrade."""
        return PLANS.index(self)

    @property
    def feature_lines(self) -> list[str]:
        """What it contains, for people, in one order for all plans."""
        return [feature.meaning for feature in Feature if feature in self.features]

    @property
    def offer_lines(self) -> list[str]:
        """The same for somebody who compares: what it adds to the plan before it."""
        if self.rank == 0:
            return [*IN_EVERY_PLAN, *self.feature_lines]
        before = PLANS[self.rank - 1]
        return [
            f"Everything in {before.display_name}",
            *(line for line in self.feature_lines if line not in before.feature_lines),
        ]

    @property
    def events_text(self) -> str:
        """`monthly_events` for people: 100,000, 10 million, or 1 billion."""
        for size, name in ((1_000_000_000, "billion"), (1_000_000, "million")):
            if self.monthly_events % size == 0:
                return f"{self.monthly_events // size:,} {name}"
        return f"{self.monthly_events:,}"

    @property
    def retention_text(self) -> str:
        """`retention_years` for people."""
        return f"{self.retention_years} year{'' if self.retention_years == 1 else 's'}"

    def has(self, feature: Feature) -> bool:
        """Whether it contains a feature."""
        return feature in self.features


_BASIC_FEATURES = frozenset((Feature.STATS_API, Feature.EXPORTS, Feature.FUNNELS, Feature.REVENUE, Feature.REPORTS))

FREE = Plan(
    code="FREE",
    display_name="Free",
    monthly_events=100_000,
    retention_class=1,
    retention_years=1,
    features=frozenset((Feature.REPORTS,)),
    price_settings=MappingProxyType({}),
    trial_days=0,
    summary="For a blog, a side project, or to see whether you like it.",
)
BASIC = Plan(
    code="BASIC",
    display_name="Basic",
    monthly_events=10_000_000,
    retention_class=2,
    retention_years=3,
    features=_BASIC_FEATURES,
    price_settings=MappingProxyType(
        {Interval.MONTH: "stripe_basic_monthly_price", Interval.YEAR: "stripe_basic_annual_price"}
    ),
    trial_days=14,
    summary="For a shop or a publication that lives off its visits.",
)
PREMIUM = Plan(
    code="PREMIUM",
    display_name="Premium",
    monthly_events=1_000_000_000,
    retention_class=3,
    retention_years=5,
    features=frozenset(Feature),
    price_settings=MappingProxyType(
        {Interval.MONTH: "stripe_premium_monthly_price", Interval.YEAR: "stripe_premium_annual_price"}
    ),
    trial_days=14,
    summary="For sites with more traffic in an hour than others in a month.",
)

PLANS: tuple[Plan, ...] = (FREE, BASIC, PREMIUM)
"""From the least to the greatest."""

PLANS_BY_CODE: Mapping[str, Plan] = MappingProxyType({plan.code: plan for plan in PLANS})


class UnknownPlan(LookupError):
    """A row or a form names a plan that this release does not have."""


def plan_held(code: str | None) -> Plan:
    """The plan that an account holds by its row: FREE without a code, and for one of a release that is gone."""
    return PLANS_BY_CODE.get(code or "", FREE)


def plan_by_code(code: str) -> Plan:
    """The plan of this code. Raises `UnknownPlan`."""
    try:
        return PLANS_BY_CODE[code]
    except KeyError:
        raise UnknownPlan(f"there is no plan {code!r}") from None
