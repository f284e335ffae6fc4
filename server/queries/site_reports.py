"""The figures of reports: of many sites in four statements, read from closed days; of one site as the dashboard asks.

Sites go together when all their days are closed and nothing was imported (`are_closed`). For the others there is
`one_site`, which asks the planner and so reads whatever there is. Both say the same of closed days, as a test holds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from server.closed_days import EPOCH, OPEN, has_values
from server.models import Site
from server.queries.answers import change
from server.queries.closed_tables import EMPTY_NAME_ID, NO_NAME_ID, OTHER, visitors_sql
from server.queries.dimensions import NO_SOURCE
from server.queries.engine import StatsEngine
from server.queries.event_reader import EventReader
from server.queries.metrics import METRICS, VITALS, Metric
from server.queries.parameters import Value
from server.queries.parsing import SiteFacts, parse_query
from server.queries.statements import fill, sql_text
from server.queries.vital_buckets import GROWTH, LEAST, bucket_of, upper_end

HEADLINES = ("visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration")
"""As the dashboard's."""
RATED = tuple(vital for vital in VITALS if vital.good is not None)
LIST_ROWS = 5
READ_ROWS = 50
"""Values are read beyond what is shown: names decide between equals, and a path may have several numbers."""
LEAST_LOADS = 10
"""Page loads in each period below which a vital's rating is chance."""
PERCENT = 75

_DAY_COLUMNS = ("visitors", "visits", "pageviews", "visit_views", "bounces", "engaged_ms")


@dataclass(frozen=True)
class Question:
    """What a report asks: days ascending. `chart` includes `now`. `versions`: of closed days."""

    site_id: int
    now: Sequence[date]
    before: Sequence[date]
    chart: Sequence[date]
    versions: Mapping[date, int] = field(default_factory=dict)

    @property
    def days(self) -> set[date]:
        """Every day that is asked about."""
        return {*self.now, *self.before, *self.chart}


@dataclass(frozen=True)
class Figure:
    """A metric now and before, and its change as `answers.change` has it."""

    metric: Metric
    now: float
    before: float
    change: float | None


@dataclass(frozen=True)
class ListRow:
    """A page or a source."""

    name: str
    visitors: int
    pageviews: int


@dataclass(frozen=True)
class VitalChange:
    """A vital whose rating is another one now. Values as the browser measures them."""

    key: str
    summary: str
    now: float
    before: float
    rating: str
    rating_before: str


@dataclass
class SiteReport:
    """What a report says of a site."""

    headlines: list[Figure] = field(default_factory=list)
    visitors_by_day: dict[date, int] = field(default_factory=dict)
    pages: list[ListRow] = field(default_factory=list)
    sources: list[ListRow] = field(default_factory=list)
    vitals: list[VitalChange] = field(default_factory=list)


def are_closed(question: Question, created: date, *, has_imports: bool) -> bool:
    """Whether closed days alone answer it. Before a site was there it had nothing, unless a day says otherwise."""
    if has_imports:
        return False
    return all(
        question.versions.get(day, OPEN) != OPEN or (day < created and day not in question.versions)
        for day in question.days
    )


def many_sites(reader: EventReader, questions: Sequence[Question]) -> dict[int, SiteReport]:
    """The figures of sites whose days are closed. Raises what `EventReader.rows` raises."""
    found = {each.site_id: SiteReport() for each in questions}
    if not found:
        return found
    _headlines(reader, questions, found)
    _lists(reader, questions, found)
    _vitals(reader, questions, found)
    return found


def one_site(engine: StatsEngine, site: Site, question: Question, now_ms: int) -> SiteReport:
    """The figures of one site, open days and imports included. Raises what `StatsEngine.answer` raises."""
    facts = engine.site_facts(site, now_ms)
    asked = _Asked(engine, facts)
    now, before = (asked.row(HEADLINES, days) for days in (question.now, question.before))
    report = SiteReport(
        [_figure(METRICS[name], was, is_) for name, was, is_ in zip(HEADLINES, before, now, strict=True)]
    )
    by_day = asked.rows(["visitors"], question.chart, "time:day")
    report.visitors_by_day = {day: int(by_day.get(day.isoformat(), [0])[0]) for day in question.chart}
    for name, rows in (("event:page", report.pages), ("visit:source", report.sources)):
        listed = asked.rows(["visitors", "pageviews"], question.now, name)
        rows += [ListRow(value, int(visitors), int(views)) for value, (visitors, views) in listed.items()]
    names = [f"{figure}_{vital.key}" for vital in RATED for figure in (f"p{PERCENT}", "samples")]
    values = [asked.row(names, days, imports=False) for days in (question.now, question.before)]
    for index, vital in enumerate(RATED):
        is_, was = ((_nearest_bucket(row[2 * index]), row[2 * index + 1]) for row in values)
        report.vitals += _rated(vital.key, is_, was)
    return report


@dataclass
class _Asked:
    """Questions about one site as the dashboard asks them."""

    engine: StatsEngine
    facts: SiteFacts

    def row(self, metrics: Sequence[str], days: Sequence[date], *, imports: bool = True) -> Sequence[Any]:
        """The one row of a question without dimensions."""
        row: Sequence[Any] = self._answer(metrics, days, imports=imports)[0].metrics
        return row

    def rows(self, metrics: Sequence[str], days: Sequence[date], dimension: str) -> dict[str, Sequence[Any]]:
        """Rows by value, the first ones alone but for time."""
        found = self._answer(metrics, days, imports=True, dimension=dimension)
        return {row.dimensions[0]: row.metrics for row in found}

    def _answer(self, metrics: Sequence[str], days: Sequence[date], *, imports: bool, dimension: str = "") -> list[Any]:
        document: dict[str, Any] = {
            "site_id": "",
            "metrics": list(metrics),
            "date_range": [days[0].isoformat(), days[-1].isoformat()],
            "include": {"imports": imports},
        }
        if dimension:
            document["dimensions"] = [dimension]
        if dimension and dimension != "time:day":
            document["pagination"] = {"limit": LIST_ROWS}
        return self.engine.answer(parse_query(document, self.facts)).rows


# -- many sites --------------------------------------------------------------------------------------------------------


def _headlines(reader: EventReader, questions: Sequence[Question], found: Mapping[int, SiteReport]) -> None:
    parameters, versions = _picked(questions, lambda each: each.days)
    sums: dict[tuple[int, date], dict[str, int]] = {}
    for site_id, number, *row in reader.rows(fill(sql_text("report_days"), versions=versions), parameters):
        sums[site_id, EPOCH + timedelta(days=number)] = dict(zip(_DAY_COLUMNS, row, strict=True))
    for each in questions:
        now, before = (dict.fromkeys((*_DAY_COLUMNS, "session_visits"), 0) for _ in range(2))
        for total, days in ((now, each.now), (before, each.before)):
            for day in days:
                for name, value in sums.get((each.site_id, day), {}).items():
                    total[name] += value
            total["session_visits"] = total["visits"]
        report = found[each.site_id]
        for metric in map(METRICS.__getitem__, HEADLINES):
            report.headlines.append(_figure(metric, metric.value(before), metric.value(now)))
        report.visitors_by_day = {day: sums.get((each.site_id, day), {}).get("visitors", 0) for day in each.chart}


def _lists(reader: EventReader, questions: Sequence[Question], found: Mapping[int, SiteReport]) -> None:
    parameters, _ = _picked(questions, lambda each: each.now)
    large, small = (
        _pairs(
            parameters,
            name,
            [
                (each.site_id, each.versions[day])
                for each in questions
                for day in each.now
                if day in each.versions and has_values(each.versions[day]) is is_large
            ],
        )
        for name, is_large in (("large", True), ("small", False))
    )
    text = fill(sql_text("report_lists"), large_versions=large, small_versions=small, visitors=visitors_sql())
    rows = reader.rows(text, {**parameters, "most": READ_ROWS})
    numbers = [(site_id, id_) for site_id, list_, id_, *_ in rows if list_ == "path" and id_ > EMPTY_NAME_ID]
    names = _names(reader, numbers)
    lists: dict[tuple[int, str], dict[str, ListRow]] = defaultdict(dict)
    for site_id, list_, id_, value, visitors, views in rows:
        if list_ == "path":
            # As `closed_tables.daily_sql` names them.
            name = OTHER if id_ == NO_NAME_ID else names.get((site_id, id_), "")
        else:
            name = value or NO_SOURCE
        known = lists[site_id, list_]
        same = known.get(name, ListRow(name, 0, 0))
        known[name] = ListRow(name, same.visitors + visitors, same.pageviews + views)
    for (site_id, list_), values in lists.items():
        first = sorted(values.values(), key=lambda row: (-row.visitors, row.name.encode()))[:LIST_ROWS]
        (found[site_id].pages if list_ == "path" else found[site_id].sources).extend(first)


def _names(reader: EventReader, numbers: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
    wanted = sorted(set(numbers))
    if not wanted:
        return {}
    parameters: dict[str, Value] = {"site_ids": sorted({site_id for site_id, _ in wanted})}
    text = fill(sql_text("report_names"), ids=_pairs(parameters, "named", wanted))
    return {(site_id, name_id): name for site_id, name_id, name in reader.rows(text, parameters)}


def _vitals(reader: EventReader, questions: Sequence[Question], found: Mapping[int, SiteReport]) -> None:
    now, before = (_percentiles(reader, questions, days) for days in ("now", "before"))
    for site_id in now.keys() & before.keys():
        for index, vital in enumerate(RATED):
            found[site_id].vitals += _rated(vital.key, now[site_id][index], before[site_id][index])


def _percentiles(reader: EventReader, questions: Sequence[Question], days: str) -> dict[int, list[tuple[int, int]]]:
    """(bucket, loads) of each rated vital, by site."""
    parameters, versions = _picked(questions, lambda each: getattr(each, days))
    figures = ", ".join(
        f"toInt64(quantileExactWeightedIf({PERCENT / 100})({vital.key}, weight, {vital.key} > 0)) - 1, "
        f"toInt64(sumIf(weight, {vital.key} > 0))"
        for vital in RATED
    )
    rows = reader.rows(fill(sql_text("report_vitals"), figures=figures, versions=versions), parameters)
    return {site_id: list(zip(row[::2], row[1::2], strict=True)) for site_id, *row in rows}


def _picked(questions: Sequence[Question], days_of: Any) -> tuple[dict[str, Value], str]:
    """Parameters that bound a statement to some days of each site, and its set of (site, version)."""
    days = [day for each in questions for day in days_of(each)]
    parameters: dict[str, Value] = {
        "site_ids": [each.site_id for each in questions],
        "first": min(days).isoformat(),
        "last": max(days).isoformat(),
    }
    # Versions are unique for a site alone: those that closed together share theirs.
    pairs = [(each.site_id, each.versions[day]) for each in questions for day in days_of(each) if day in each.versions]
    return parameters, _pairs(parameters, "closed", pairs)


def _pairs(parameters: dict[str, Value], name: str, pairs: Sequence[tuple[int, int]]) -> str:
    """A set of (site, number) for IN; its parts are added to the parameters."""
    parameters[f"{name}_sites"] = [site_id for site_id, _ in pairs]
    parameters[f"{name}_numbers"] = [number for _, number in pairs]
    zipped = f"arrayZip({{{name}_sites:Array(UInt32)}}, {{{name}_numbers:Array(UInt64)}})"
    return f"(SELECT pair.1, pair.2 FROM (SELECT arrayJoin({zipped}) AS pair))"  # noqa: S608 - names of ours


# -- what it means -----------------------------------------------------------------------------------------------------


def _figure(metric: Metric, before: Any, now: Any) -> Figure:
    return Figure(metric, now or 0, before or 0, change(metric, before, now))


def rating_of(key: str, bucket: int) -> str:
    """How a vital's value is rated: good, needs improvement, poor."""
    vital = next(each for each in RATED if each.key == key)
    assert vital.good is not None
    assert vital.poor is not None
    if bucket <= bucket_of(vital.good):
        return "good"
    return "poor" if bucket > bucket_of(vital.poor) else "needs improvement"


def _rated(key: str, now: tuple[int, int], before: tuple[int, int]) -> list[VitalChange]:
    if now[1] < LEAST_LOADS or before[1] < LEAST_LOADS:
        return []
    rating, rating_before = rating_of(key, now[0]), rating_of(key, before[0])
    if rating == rating_before:
        return []
    summary = next(vital.summary for vital in RATED if vital.key == key)
    return [VitalChange(key, summary, upper_end(now[0]), upper_end(before[0]), rating, rating_before)]


def _nearest_bucket(value: float | None) -> int:
    """The bucket whose upper end was rounded to this value."""
    if value is None or value <= LEAST:
        return 0
    return round(math.log(value / LEAST) / math.log(GROWTH))
