"""A report's figures as the words of a mail, and its chart. Says nothing of where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote, urlencode

from server.queries.site_reports import Figure, ListRow, SiteReport, VitalChange
from server.reports.chart import bars_png
from server.reports.periods import MailKind, Period, period_query, period_text

CHART_ID = "chart@footfall"
"""The content id of the chart in the mail."""
LONGEST_NAME_CHARS = 60
"""A path may be very long, and a line of a mail is not."""
_BAR_CHARS = 24

_LABELS = {
    "visitors": "Visitors",
    "visits": "Visits",
    "pageviews": "Page views",
    "views_per_visit": "Views per visit",
    "bounce_rate": "Bounce rate",
    "visit_duration": "Visit duration",
}
"""As the dashboard says (dashboards/src/metrics.ts)."""


@dataclass(frozen=True)
class Content:
    """What the template `site_report` says beside addressee and links; and the pictures in it."""

    values: Mapping[str, object]
    images: Mapping[str, bytes]


def report_content(
    domain: str, kind: MailKind, period: Period, report: SiteReport, *, is_partial: bool = False
) -> Content:
    """The words and the chart of a site's report."""
    days = list(report.visitors_by_day)
    counts = [report.visitors_by_day[day] for day in days]
    values = {
        "site_name": domain,
        "period": period_text(kind, period),
        "is_partial": is_partial,
        "visitors": _counted(report.headlines[0].now, "visitor"),
        "figures": [_figure(each) for each in report.headlines],
        "pages": [_listed(row) for row in report.pages],
        "sources": [_listed(row) for row in report.sources],
        "vitals": [_vital(each) for each in report.vitals],
        "days": _day_lines(days, counts),
        "chart_text": chart_text(days, counts),
    }
    strong = [period.first <= day <= period.last for day in days]
    return Content(values, {CHART_ID: bars_png(counts, strong)})


def dashboard_link(base: str, domain: str, kind: MailKind, period: Period) -> str:
    """The dashboard of the same period."""
    return f"{base}/sites/{quote(domain)}?{urlencode(period_query(kind, period))}"


def chart_text(days: Sequence[date], counts: Sequence[int]) -> str:
    """What the chart shows, for those who do not see it."""
    span = f"{_day(days[0])} to {_day(days[-1])}"
    if not any(counts):
        return f"Visitors by day, {span}: none."
    most = max(counts)
    return (
        f"Visitors by day, {span}: {_number(min(counts))} to {_number(most)}, "
        f"most on {days[counts.index(most)]:%A}, {_day(days[counts.index(most)])}."
    )


def _figure(figure: Figure) -> dict[str, object]:
    name = figure.metric.name
    change, tone = _change(figure)
    return {
        "label": _LABELS[name],
        "value": _value(name, figure.now),
        "before": _value(name, figure.before),
        "change": change,
        "tone": tone,
    }


def _change(figure: Figure) -> tuple[str, str]:
    """The change in words, and whether it is good, bad or neither."""
    change = figure.change
    if not change:
        return "no change", ""
    is_better_less = figure.metric.name == "bounce_rate"
    tone = "good" if (change > 0) is not is_better_less else "bad"
    if figure.metric.name == "bounce_rate":
        return f"{change:+g} points", tone
    if not figure.before:
        return "none before", tone
    return f"{change:+,} %", tone


def _value(name: str, value: float) -> str:
    if name == "views_per_visit":
        return f"{value:.2f}"
    if name == "bounce_rate":
        return f"{value:g} %"
    if name == "visit_duration":
        minutes, seconds = divmod(int(value), 60)
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return _number(value)


def _vital(change: VitalChange) -> dict[str, object]:
    return {
        "label": change.summary,
        "value": _measured(change.key, change.now),
        "before": _measured(change.key, change.before),
        "rating": change.rating,
        "rating_before": change.rating_before,
        "tone": "good" if _RANKS[change.rating] < _RANKS[change.rating_before] else "bad",
    }


_RANKS = {"good": 0, "needs improvement": 1, "poor": 2}


def _measured(key: str, value: float) -> str:
    if key == "cls":
        return f"{value:.2f}"
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"


def _listed(row: ListRow) -> dict[str, object]:
    name = row.name or "(none)"
    if len(name) > LONGEST_NAME_CHARS:
        name = name[: LONGEST_NAME_CHARS - 1] + "…"
    return {"name": name, "visitors": _number(row.visitors)}


def _day_lines(days: Sequence[date], counts: Sequence[int]) -> list[str]:
    """A line for each day: its date, its visitors and a bar of signs."""
    most = max(*counts, 1)
    wide = len(_number(most))
    return [
        f"{day:%a} {day.day:2d} {day:%b}  {_number(count):>{wide}}  {'#' * -(-count * _BAR_CHARS // most)}".rstrip()
        for day, count in zip(days, counts, strict=True)
    ]


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _number(value: float) -> str:
    return f"{int(value):,}"


def _counted(value: float, what: str) -> str:
    return f"{_number(value)} {what}{'' if value == 1 else 's'}"
