"""The plans as the landing page advertises them. What they hold is `server.billing.plans`', which is what is enforced.

Counted are page views and custom events. Vitals, timings and engagement are free: they come with a page view.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.billing.plans import BASIC, FREE, PREMIUM


@dataclass(frozen=True)
class Plan:
    """One plan. `retention_class` is that of `server.migrate.RETENTION_DAYS`; the price is before tax."""

    code: str
    title: str
    price_cents_per_month: int
    events_per_month: int
    retention_class: int
    summary: str
    features: tuple[str, ...]

    @property
    def price(self) -> str:
        """For people."""
        euros, cents = divmod(self.price_cents_per_month, 100)
        return f"€{euros:,}" if not cents else f"€{euros:,}.{cents:02d}"

    @property
    def events(self) -> str:
        """For people: 100,000, 10 million, or 1 billion."""
        for size, name in ((1_000_000_000, "billion"), (1_000_000, "million")):
            if self.events_per_month % size == 0 and self.events_per_month:
                return f"{self.events_per_month // size:,} {name}"
        return f"{self.events_per_month:,}"

    @property
    def retention(self) -> str:
        """For people."""
        return RETENTION_TEXTS[self.retention_class]


RETENTION_TEXTS = {1: "1 year", 2: "3 years", 3: "5 years"}
"""`server.migrate.RETENTION_DAYS`, which keep a month more for comparisons."""

PLANS = (
    Plan(
        code=FREE.code,
        title=FREE.display_name,
        price_cents_per_month=0,
        events_per_month=FREE.monthly_events,
        retention_class=FREE.retention_class,
        summary="For a blog, a side project, or to see whether you like it.",
        features=(
            "Any number of sites and people",
            "Web vitals and timings",
            "Goals, segments, share links",
        ),
    ),
    Plan(
        code=BASIC.code,
        title=BASIC.display_name,
        price_cents_per_month=2900,
        events_per_month=BASIC.monthly_events,
        retention_class=BASIC.retention_class,
        summary="For a shop or a publication that lives off its visits.",
        features=("Everything in Free", "Funnels and revenue", "Stats API", "Exports of raw events"),
    ),
    Plan(
        code=PREMIUM.code,
        title=PREMIUM.display_name,
        price_cents_per_month=24900,
        events_per_month=PREMIUM.monthly_events,
        retention_class=PREMIUM.retention_class,
        summary="For sites with more traffic in an hour than others in a month.",
        features=("Everything in Basic", "Embedded dashboards", "Sites API", "Help within a working day"),
    ),
)
