"""Every dimension: what it is of, which column holds it, how its values read.

An event's dimension is a fact about one view or custom event; a visit's is a fact about the visit, which all its events
share. `expression` is SQL over the columns of a row (see `events_rows.sql`) and gives the value as it is shown, so that
grouping, ordering and filtering mean what a reader sees. All of it is ours; nothing of a request becomes SQL text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache

NOT_SET = "(not set)"
NO_SOURCE = "Direct / None"
NO_PROP = "(none)"
OTHER = "(other)"

GOAL = "event:goal"
PAGE = "event:page"
SEGMENT = "segment"
PROPS_PREFIX = "event:props:"

# As the tracker's limit for names of props: rust_ext/ingest/src/payload.
MAX_PROP_NAME_CHARS = 300


class Level(Enum):
    """What a dimension is a fact about."""

    EVENT = auto()
    VISIT = auto()
    TIME = auto()
    GOAL = auto()


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension.

    `column`: of `events` or of a visit, empty where nothing is stored (regions, cities). `fallback`: what is shown for
    an empty value. `names`: what is shown for stored values; others show as they are.
    """

    name: str
    level: Level
    column: str
    summary: str
    fallback: str = ""
    names: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """The name without its level, as Stats API v1 calls the column of a breakdown."""
        return self.name.removeprefix(PROPS_PREFIX).partition(":")[2] or self.name.removeprefix(PROPS_PREFIX)

    def shown(self, stored: str) -> str:
        """How a stored value reads."""
        return dict(self.names).get(stored, stored) or self.fallback

    def stored(self, values: Iterable[str]) -> list[str]:
        """What is stored where one of these is read, each once."""
        wanted = set(values)
        candidates = dict.fromkeys((*(name for name, _ in self.names), "", *values))
        return [each for each in candidates if self.shown(each) in wanted]


CHANNEL_NAMES = {
    "direct": "Direct",
    "organic_search": "Organic Search",
    "paid_search": "Paid Search",
    "organic_social": "Organic Social",
    "paid_social": "Paid Social",
    "email": "Email",
    "referral": "Referral",
    "affiliates": "Affiliates",
    "display": "Display",
    "organic_video": "Organic Video",
    "paid_video": "Paid Video",
    "organic_shopping": "Organic Shopping",
    "paid_shopping": "Paid Shopping",
    "sms": "SMS",
    "push": "Mobile Push Notifications",
    "ai_assistant": "AI Assistants",
    "paid_other": "Paid Other",
    "cross_network": "Cross-network",
    "audio": "Audio",
}
"""`events.channel` as Plausible and Google Analytics write it."""

DEVICE_NAMES = {
    "unknown": NOT_SET,
    "desktop": "Desktop",
    "mobile": "Mobile",
    "tablet": "Tablet",
    "tv": "TV",
    "console": "Console",
    "wearable": "Wearable",
    "bot": "Bot",
}
"""`events.device` as it is shown."""


@cache
def country_names() -> Mapping[str, str]:
    """English names by ISO 3166-1 alpha-2 code, from Unicode's CLDR."""
    # Imported here: it reads its data at the first use.
    from babel import Locale

    territories: Mapping[str, str] = Locale("en").territories
    return {code: name for code, name in territories.items() if len(code) == 2 and code.isalpha()}


# What others call some countries; CLDR's names are those that are shown.
COUNTRY_ALIASES = {
    "United States of America": "US",
    "USA": "US",
    "United Kingdom of Great Britain and Northern Ireland": "GB",
    "Great Britain": "GB",
    "Czech Republic": "CZ",
    "Turkey": "TR",
    "Russian Federation": "RU",
    "Korea, Republic of": "KR",
    "Viet Nam": "VN",
    "Hong Kong": "HK",
    "Macao": "MO",
    "Myanmar": "MM",
    "Iran, Islamic Republic of": "IR",
    "Moldova, Republic of": "MD",
    "Taiwan, Province of China": "TW",
    "Bosnia and Herzegovina": "BA",
    "Trinidad and Tobago": "TT",
    "Antigua and Barbuda": "AG",
}

_EVENT = (
    Dimension("event:name", Level.EVENT, "event_name", "`pageview`, or the name of a custom event"),
    Dimension(PAGE, Level.EVENT, "path", "path of the page on which it happened"),
    Dimension("event:hostname", Level.EVENT, "hostname", "hostname of the page on which it happened"),
)

_VISIT = (
    Dimension("visit:entry_page", Level.VISIT, "entry_page", "path of the visit's first view"),
    Dimension("visit:exit_page", Level.VISIT, "exit_page", "path of the visit's last view"),
    Dimension("visit:entry_page_hostname", Level.VISIT, "visit_hostname", "hostname of the visit's first event"),
    Dimension("visit:source", Level.VISIT, "referrer_source", "who sent the visitor", NO_SOURCE),
    Dimension("visit:referrer", Level.VISIT, "referrer", "address of the page that linked here", NO_SOURCE),
    Dimension("visit:channel", Level.VISIT, "channel", "kind of source", names=tuple(CHANNEL_NAMES.items())),
    Dimension("visit:utm_medium", Level.VISIT, "utm_medium", "utm_medium of the entry page", NOT_SET),
    Dimension("visit:utm_source", Level.VISIT, "utm_source", "utm_source of the entry page", NOT_SET),
    Dimension("visit:utm_campaign", Level.VISIT, "utm_campaign", "utm_campaign of the entry page", NOT_SET),
    Dimension("visit:utm_content", Level.VISIT, "utm_content", "utm_content of the entry page", NOT_SET),
    Dimension("visit:utm_term", Level.VISIT, "utm_term", "utm_term of the entry page", NOT_SET),
    Dimension("visit:click_id", Level.VISIT, "click_id", "name of the advertiser's click id, never its value", NOT_SET),
    Dimension("visit:device", Level.VISIT, "device", "class of device", NOT_SET, tuple(DEVICE_NAMES.items())),
    Dimension("visit:screen", Level.VISIT, "screen_class", "width of the screen, in classes", NOT_SET),
    Dimension("visit:browser", Level.VISIT, "browser", "browser", NOT_SET),
    Dimension("visit:browser_version", Level.VISIT, "browser_version", "its version", NOT_SET),
    Dimension("visit:os", Level.VISIT, "os", "operating system", NOT_SET),
    Dimension("visit:os_version", Level.VISIT, "os_version", "its version", NOT_SET),
    Dimension("visit:language", Level.VISIT, "language", "language of the browser", NOT_SET),
    Dimension("visit:country", Level.VISIT, "country", "ISO 3166-1 alpha-2 code"),
    Dimension("visit:country_name", Level.VISIT, "country", "English name of the country"),
    Dimension("visit:region", Level.VISIT, "", "always empty: only the country is known"),
    Dimension("visit:region_name", Level.VISIT, "", "always empty: only the country is known"),
    Dimension("visit:city", Level.VISIT, "", "always empty: only the country is known"),
    Dimension("visit:city_name", Level.VISIT, "", "always empty: only the country is known"),
)

_TIME = (
    Dimension("time", Level.TIME, "", "hours, days, weeks or months, whichever suits the range"),
    Dimension("time:minute", Level.TIME, "", "site-local minute"),
    Dimension("time:hour", Level.TIME, "", "site-local hour, such as 2026-11-25 13:00:00"),
    Dimension("time:day", Level.TIME, "", "site-local day"),
    Dimension("time:week", Level.TIME, "", "Monday of the week, or the range's first day"),
    Dimension("time:month", Level.TIME, "", "first day of the month"),
)

_GOAL = Dimension(GOAL, Level.GOAL, "", "display name of a goal of the site")

DIMENSIONS: Mapping[str, Dimension] = {each.name: each for each in (*_EVENT, _GOAL, *_VISIT, *_TIME)}
"""Every dimension but the props, which are as many as sites have."""

FILTERABLE = tuple(each.name for each in DIMENSIONS.values() if each.level is not Level.TIME)

VISIT_COLUMNS = tuple(dict.fromkeys(each.column for each in _VISIT if each.column))
"""The columns of a visit that dimensions read, each once."""


def find_dimension(name: str) -> Dimension | None:
    """The dimension of this name, a prop's among them."""
    if name.startswith(PROPS_PREFIX):
        prop = name.removeprefix(PROPS_PREFIX)
        if not 0 < len(prop) <= MAX_PROP_NAME_CHARS:
            return None
        return Dimension(name, Level.EVENT, "props", "value of a custom property", NO_PROP)
    return DIMENSIONS.get(name)
