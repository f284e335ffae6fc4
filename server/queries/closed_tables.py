"""What is stored of closed days, and SQL that reads their whole numbers.

| table | one row for each | keys |
|---|---|---|
| `sessions` | visit; and engaged time that belongs to no visit (`is_stray`) | site_id, day, version |
| `daily` | value of a dimension; of the whole day: `total` | site_id, dimension, value, value_id, day, version |
| `hourly` | hour of the site's clocks, by the instant at which it begins | site_id, day, version, starts_at |
| `vitals` | page load that reported something | site_id, day, version |
| `names` | path of a site, by number | site_id, name_id |
| `closings` | version that was ever begun, with the number of rows of `events` it was made of | site_id, day, version |

Versions: a row counts when its version is the one that `closed_days` names for its day (`server.closed_days`). A site's
versions are unique, so for one site `version IN (…)` says all. A version without values (`has_values`: fewer than
`VALUES_LEAST_EVENTS` views and custom events) has of `daily` only the total, and nothing in `hourly`: its breakdowns
are read from its few sessions. Figures that were imported are rows of `daily` whose version is the import's number;
they count beside whatever else there is of the day.

The open day of a large site has a version of its rows up to a cut (`server.open_days`), whole but for `vitals`
and without `(other)`.

Sums of whole months (`server.closed_months`) are rows of `daily` under the month's last date and a version of their
own, of the dimensions `ROLLED`: `(other)` is the sum of the days' rows of that name, as when days are added up.

Weights: all numbers in `daily` and `hourly` are multiplied by the weight of the day's hits. A day on which a site
changed its sampling has hits of several weights: it is never closed (its version stays 0), but read from `events`.

Visitors are distinct within a day; over days they are added up. In `sessions` the `visitor_number` tells who came
several times a day; it is 0 for everyone else, so that most visitors are a plain sum.

`daily`, by dimension (the names are those of `events` and of a visit's columns):

| dimension | what counts for a value | components |
|---|---|---|
| `total` | everything | all but revenue |
| a visit's attribute, `entry_page`, `exit_page` | visits with the value | visitors to engaged_ms |
| `path` | events on the page; its engaged time, scroll depth | visitors, visits, pageviews, events, `PAGE_COMPONENTS` |
| `event_name` | events of the name, `pageview` among them | visitors, visits, pageviews, events |
| `revenue` | custom events of the name, by currency | revenue_micros, revenue_events |

A value is `value`, or the name of `value_id` where that is not 0 (1: the empty path, which has no row in `names`).
Closings store paths by number and imports as they are, so a closed path without a number is `(other)`. At
most `MOST_VALUES` of a (site, day, dimension) are kept, by visitors, then views, then name; the others are added up as
`(other)`, visitors too.

`vitals` holds one bucket per metric and load (`vital_buckets`, plus one; 0: the load did not report it), `sessions` one
element of `pages` per page on which anything happened, viewed ones first in the order of their first view, those with
engaged time alone last (so many as `silent_pages` says; -1: nobody counted, and they stand anywhere), and one
element of `events` per name and currency of custom events, one of `engagement` per page that reported engaged time, by
its place in `pages`. Their ALIAS columns give what is not stored as it is: `views`, `customs`, `bounced`, `entry_id`,
`exit_id`, `visit_engaged_ms`, `page_engaged_ms`, `page_scroll_percent`; the last three, and `bounced`, read rows of
before `engagement` as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from server.queries.parameters import Parameters
from server.queries.statements import fill, sql_text

OTHER = "(other)"
NO_NAME_ID = 0
"""The value is in `value`."""
EMPTY_NAME_ID = 1
"""The empty path: of visits without a view."""

MOST_VALUES = 10_000
"""Values of a dimension, site and day that are told apart."""
VALUES_LEAST_EVENTS = 1_000
"""Days with fewer views and custom events have no breakdowns: a hundred rows of `daily` for a few visits cost more than
the visits, measured."""

MOST_PLACES = 2**20
"""Of an array in which a list is summed: as many as the server takes, 8 MiB."""
MOST_SUMS_BY_PLACE = 3
"""With more sums to a row, arrays are no faster than a table of groups."""

ATTRIBUTES = (
    "browser",
    "browser_version",
    "os",
    "os_version",
    "device",
    "screen_class",
    "channel",
    "referrer_source",
    "referrer",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "click_id",
    "country",
    "language",
    "visit_hostname",
)
"""The attributes of a visit, as columns of `sessions` and dimensions of `daily`."""

SESSION_COLUMNS = (
    *ATTRIBUTES,
    "day",
    "visitor_number",
    "weight",
    "is_stray",
    "silent_pages",
    "pages.id",
    "pages.views",
    "pages.customs",
    "events.name",
    "events.currency",
    "events.count",
    "events.revenue_micros",
    "views",
    "customs",
    "bounced",
    "entry_id",
    "exit_id",
    "visit_engaged_ms",
    "page_engaged_ms",
    "page_scroll_percent",
)
"""What questions about visits read of `sessions`: stored columns, and ALIAS columns, which are made of these."""

VITAL_ATTRIBUTES = (
    "browser",
    "browser_version",
    "os",
    "os_version",
    "device",
    "screen_class",
    "country",
    "language",
    "hostname",
)
"""What is known of a page load in `vitals`, beside its page."""

NAMED = ("path", "entry_page", "exit_page")
"""Dimensions of `daily` whose values are numbers of `names`."""

ROLLED = (*NAMED, "referrer")
"""Dimensions of which there are sums of whole months: those with thousands of values a day. Of the others a year's rows
stand in a few granules, and sums by month would stand in as many, measured."""

VISIT_COMPONENTS = ("visitors", "visits", "pageviews", "events", "visit_views", "bounces", "engaged_ms")
PAGE_COMPONENTS = ("page_engaged_ms", "page_visits", "scroll_percent", "scrolled_pages")
REVENUE_COMPONENTS = ("revenue_micros", "revenue_events")
COMPONENTS = (*VISIT_COMPONENTS, *PAGE_COMPONENTS, *REVENUE_COMPONENTS)
HOURLY_COMPONENTS = VISIT_COMPONENTS


def where_closed(
    parameters: Parameters, site_id: int, first: date, last: date, versions: Sequence[int], dimension: str = ""
) -> str:
    """The condition that picks the rows of these versions (and numbers of imports) from any closed table.

    `dimension`: of `daily`. Ascending primary key columns first; no row when there are no versions.
    """
    parts = [f"site_id = {parameters.bind(site_id, 'UInt32')}"]
    if dimension:
        parts.append(f"dimension = {parameters.text(dimension)}")
    parts.append(f"day >= toDate({parameters.text(first.isoformat())})")
    parts.append(f"day <= toDate({parameters.text(last.isoformat())})")
    # Numbers of ours, hundreds for a year: bound, each statement takes the driver a millisecond more. Without
    # `identity` the key is asked for each of them, and leaves out nothing that the days have not.
    parts.append(f"identity(version) IN [{', '.join(str(int(version)) for version in sorted(versions))}]")
    return " AND ".join(parts)


def visitors_sql(hit: str = "") -> str:
    """Distinct visitors of some visits, by their weight; `hit`: of those visits that count.

    Most came once a day and have no number; each of the others counts once a day. All visits of a day weigh the same,
    so day, number and weight are one number, of which the set is summed: a map for each visit took a tenth longer.
    """
    also = f" AND {hit}" if hit else ""
    key = "bitShiftLeft(toUInt64(toUInt16(day)), 48) + bitShiftLeft(toUInt64(visitor_number), 16) + weight"
    several = f"arraySum(k -> bitAnd(k, 65535), groupUniqArrayIf({key}, visitor_number > 0{also}))"
    return f"toInt64(sumIf(weight, visitor_number = 0{also}) + {several})"


def daily_sql(
    parameters: Parameters,
    site_id: int,
    first: date,
    last: date,
    versions: Sequence[int],
    dimension: str,
    components: Sequence[str],
    *,
    bucket: str = "",
    currency: str = "",
    order_by: str = "",
    limit_rows: int = 0,
    are_imports: bool = False,
    dates: Sequence[date] = (),
    most: str = "",
    numbers_below: int = 0,
) -> str:
    """`SELECT [bucket,] value, component, …` of one dimension, a row for each value (and bucket).

    For `total` there is no column `value`. `bucket`: SQL over `day`, such as `toStartOfMonth(day)`. `currency`: of
    `revenue`, which has one row for each. Numbers are Int64.
    With `order_by` (SQL over the components) and `limit_rows` only the first so many rows, and those equal to the last
    of them, come back: names are looked up for these alone, which is what makes a short list of many values fast. The
    caller sorts and cuts once more, by name where rows are equal.
    `are_imports`: the versions are numbers of imports, which store names as they are. `dates`: under which the rows
    stand, where that is not every day from the first to the last. `most`: the component that `order_by` alone goes
    by, downwards, for lists of names with `numbers_below`, a bound of their numbers (`name_numbers`).
    """
    where = where_closed(parameters, site_id, first, last, versions, dimension)
    if dates:
        # The key then passes over all days between; with the versions alone it would not.
        listed = ", ".join(f"'{day.isoformat()}'" for day in sorted(dates))
        where += f" AND day IN ({listed})"
    if currency:
        where += f" AND currency = {parameters.text(currency)}"
    sums = ", ".join(f"toInt64(sum({name})) AS {name}" for name in components)
    keys = [f"{bucket} AS bucket"] if bucket else []
    names = ["bucket"] if bucket else []
    if dimension == "total":
        grouped = f" GROUP BY {', '.join(names)}" if names else ""
        return f"SELECT {', '.join((*keys, sums))} FROM daily WHERE {where}{grouped}"  # noqa: S608 - names of ours
    cut = f" ORDER BY {order_by} LIMIT {limit_rows} WITH TIES" if order_by and limit_rows else ""
    first_columns = "bucket, " if bucket else ""
    columns = ", ".join(components)

    def grouped_by(key: str, shown: str) -> str:
        selected = ", ".join((*keys, shown, sums))
        groups = ", ".join((*names, key))
        return f"SELECT {selected} FROM daily WHERE {where} GROUP BY {groups}"  # noqa: S608 - names of ours

    if dimension not in NAMED or are_imports:
        return grouped_by("value", "value") + cut
    # By number alone: a key of a number and a text takes four times as long. The join keeps the few rows that are shown
    # in memory and lets the many names pass.
    is_summed_by_place = 0 < numbers_below <= MOST_PLACES and len(components) <= MOST_SUMS_BY_PLACE
    if cut and is_summed_by_place and most in components and "visitors" in components:
        text = _first_by_place(where, components, most, limit_rows, numbers_below)
    else:
        text = grouped_by("id", "value_id AS id") + cut
    return (
        f"SELECT {first_columns}if(f.id = {NO_NAME_ID}, '{OTHER}', n.name) AS value, {columns} "  # noqa: S608 - ours
        f"FROM {names_sql(parameters, site_id)} AS n ANY RIGHT JOIN ({text}) AS f ON n.name_id = f.id"
    )


def _first_by_place(where: str, components: Sequence[str], most: str, limit_rows: int, numbers_below: int) -> str:
    """`SELECT id, component, …`: the first rows, summed in arrays."""
    return fill(
        sql_text("daily_first"),
        columns=", ".join(f"toInt64(place_{name}) AS {name}" for name in components),
        sums=", ".join(f"sumResample(0, {numbers_below}, 1)({name}, value_id) AS sums_{name}" for name in components),
        places=", ".join(f"sums_{name} AS place_{name}" for name in components),
        most=most,
        limit=str(limit_rows),
        below=str(numbers_below),
        where=where,
    )


def names_sql(parameters: Parameters, site_id: int) -> str:
    """A site's paths by number: `(SELECT name_id, name …)`."""
    return f"(SELECT name_id, name FROM names WHERE site_id = {parameters.bind(site_id, 'UInt32')})"  # noqa: S608


def name_ids_sql(parameters: Parameters, site_id: int, condition: str) -> str:
    """The numbers of a site's paths that fulfil a condition over `name`, as an Array(UInt32), for `has` and `hasAny`.

    The empty path is not among them.
    """
    site = parameters.bind(site_id, "UInt32")
    return f"(SELECT groupArray(name_id) FROM names WHERE site_id = {site} AND {condition})"  # noqa: S608 - bound
