"""What happens on the demo's days. The same day of the same story is always the same, so a year can be continued.

Days are counted back from the day on which the story was begun (its last day), and keep their place in it when more
days follow: what follows has the usual traffic.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

# Visits of an ordinary weekday at the end of the story. A year of it makes some 1.3 million events.
USUAL_VISITS = 950

# Sunday to Saturday in Python's order Monday = 0: a shop for people at work sleeps at weekends, but not wholly.
WEEKDAYS = (1.06, 1.08, 1.05, 1.02, 0.94, 0.78, 0.86)

# A year's growth, as a factor from its first day to its last.
GROWTH = 1.6

# The days of the viral spike: how much more than usual, from the day it began.
SPIKE = (7.5, 4.4, 2.3, 1.5, 1.2)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that people would note on the chart."""

    days_before_end: int
    text: str


SPIKE_BEGAN = Moment(71, "Front page of Hacker News: “We cut our page weight by 92 %”")
SALE_BEGAN = Moment(118, "Summer sale")
SALE_ENDED = Moment(105, "Summer sale ends")
SPRING_BEGAN = Moment(240, "Spring campaign: paid social")
SLOW_BEGAN = Moment(158, "Release 4.2: product pictures without sizes")
SLOW_ENDED = Moment(147, "Release 4.2.1: pictures fixed")
LAGGING_BEGAN = Moment(19, "Release 5.0: new shopping basket, heavier pages")
LAGGING_ENDED = Moment(12, "Release 5.0.2: fast again")
CRAWLER_CAME = Moment(92, "A crawler reads the whole shop")

MOMENTS = (
    SPIKE_BEGAN,
    SALE_BEGAN,
    SALE_ENDED,
    SPRING_BEGAN,
    SLOW_BEGAN,
    SLOW_ENDED,
    LAGGING_BEGAN,
    LAGGING_ENDED,
    CRAWLER_CAME,
)

# How long the crawler and the spring campaign stayed.
CRAWLER_DAYS = 6
SPRING_DAYS = 21


@dataclass(frozen=True, slots=True)
class StoryDay:
    """One site-local day. Shares are of visits; `slow_…` are factors on what is measured."""

    day: date
    visits: int
    spike_share: float
    sale_share: float
    paid_social_share: float
    newsletter_share: float
    slow_pictures: float
    slow_clicks: float
    bots_per_visit: float


@dataclass(frozen=True)
class Story:
    """The year that ends with `last_day`. `scale` multiplies the visits."""

    last_day: date
    scale: float = 1.0

    @property
    def first_day(self) -> date:
        """The same date a year before, so that the whole year can be compared with none of its days twice."""
        return self.last_day - timedelta(days=365)

    def date_of(self, moment: Moment) -> date:
        """When a moment is."""
        return self.last_day - timedelta(days=moment.days_before_end)

    def days(self, first: date, last: date) -> Iterator[StoryDay]:
        """The days from one to another."""
        for ordinal in range(first.toordinal(), last.toordinal() + 1):
            yield self.day(date.fromordinal(ordinal))

    def day(self, day: date) -> StoryDay:
        """What happens on a day."""
        age = (self.last_day - day).days
        spike = self._spike(age)
        on_sale = SALE_ENDED.days_before_end < age <= SALE_BEGAN.days_before_end
        in_spring = SPRING_BEGAN.days_before_end - SPRING_DAYS < age <= SPRING_BEGAN.days_before_end
        has_crawler = CRAWLER_CAME.days_before_end - CRAWLER_DAYS < age <= CRAWLER_CAME.days_before_end
        usual = USUAL_VISITS * WEEKDAYS[day.weekday()] * season(day) * self._growth(age) * (0.93 + 0.14 * _chance(day))
        usual *= 1 + 0.35 * on_sale + 0.25 * in_spring
        is_slow = SLOW_ENDED.days_before_end < age <= SLOW_BEGAN.days_before_end
        is_lagging = LAGGING_ENDED.days_before_end < age <= LAGGING_BEGAN.days_before_end
        # Letters go out on Thursdays and are read until Friday.
        newsletter = {3: 0.14, 4: 0.06}.get(day.weekday(), 0.012)
        return StoryDay(
            day=day,
            visits=max(1, round(usual * spike * self.scale)),
            spike_share=1 - 1 / spike,
            sale_share=0.18 if on_sale else 0.0,
            paid_social_share=0.22 if in_spring else 0.015,
            newsletter_share=newsletter / spike,
            slow_pictures=1.95 if is_slow else 1.5 if is_lagging else 1.0,
            slow_clicks=2.6 if is_lagging else 1.0,
            bots_per_visit=(1.9 if has_crawler else 0.22) / spike,
        )

    @staticmethod
    def _spike(age: int) -> float:
        since = SPIKE_BEGAN.days_before_end - age
        return SPIKE[since] if 0 <= since < len(SPIKE) else 1.0

    @staticmethod
    def _growth(age: int) -> float:
        return float(GROWTH ** (-min(max(age, 0), 366) / 365))


def season(day: date) -> float:
    """Coffee is drunk in winter, bought before Christmas, and hardly at all in the first days of January."""
    year_share = day.timetuple().tm_yday / 365
    factor = 1 + 0.14 * math.cos(2 * math.pi * (year_share - 0.04))
    if (day.month, day.day) >= (11, 20) and day.month == 11:
        factor *= 1.35  # the week of Black Friday
    elif day.month == 12 and day.day <= 20:
        factor *= 1.25
    elif (day.month == 12 and day.day >= 24) or (day.month == 1 and day.day <= 3):
        factor *= 0.6
    return factor


def _chance(day: date) -> float:
    """Some number of [0, 1) for a day, the same wherever it is asked for."""
    digest = hashlib.blake2b(str(day).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") / 2**32
