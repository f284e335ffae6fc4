"""What a site's people set up for its figures: goals, funnels, segments, annotations; what closing and imports keep."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.models.base import Base


class Goal(Base):
    """Something visitors may do. `kind`: event (by `event_name`), page (by `page_pattern` with `*` and `**`), scroll
    (`page_pattern` read at least `scroll_percent` deep). With `currency` its events' revenue is summed.
    """

    __tablename__ = "goals"
    __table_args__ = (UniqueConstraint("site_id", "display_name", name="uq_goals_site_id"),)

    goal_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"))
    display_name: Mapped[str] = mapped_column(String(120))
    kind: Mapped[str] = mapped_column(String(8))
    event_name: Mapped[str] = mapped_column(String(120), default="")
    page_pattern: Mapped[str] = mapped_column(String(2000), default="")
    scroll_percent: Mapped[int] = mapped_column(default=0)
    currency: Mapped[str] = mapped_column(String(3), default="")
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class Funnel(Base):
    """Goals in an order. `goal_ids` are those of the same site, the first step first."""

    __tablename__ = "funnels"
    __table_args__ = (UniqueConstraint("site_id", "name", name="uq_funnels_site_id"),)

    funnel_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    goal_ids: Mapped[list[int]] = mapped_column(JSON, default=list)
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class Segment(Base):
    """Filters under a name, for everybody of the site or for the one who made it (`is_personal`)."""

    __tablename__ = "segments"

    segment_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    filters: Mapped[list[Any]] = mapped_column(JSON, default=list)
    is_personal: Mapped[bool] = mapped_column(default=True)
    created_by_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="CASCADE"), default=None, index=True
    )
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class Annotation(Base):
    """A note on a day of the chart. `day` is the site's local date."""

    __tablename__ = "annotations"

    annotation_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"), index=True)
    day: Mapped[str] = mapped_column(String(10))
    text: Mapped[str] = mapped_column(String(300))
    created_by_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="SET NULL"), default=None
    )
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class ClosedDay(Base):
    """The version of a site's local day that readers use. Dirty: rows came later, it is to be closed again."""

    __tablename__ = "closed_days"

    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    is_dirty: Mapped[bool] = mapped_column(default=False, index=True)
    starts_at_ms: Mapped[int] = mapped_column(BigInteger)
    ends_at_ms: Mapped[int] = mapped_column(BigInteger)
    closed_at_ms: Mapped[int] = mapped_column(BigInteger)


class OpenDay(Base):
    """The version that readers use of a local day that is not over: see `server.open_days`."""

    __tablename__ = "open_days"

    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    starts_at_ms: Mapped[int] = mapped_column(BigInteger)
    cut_ms: Mapped[int] = mapped_column(BigInteger)
    next_at_ms: Mapped[int] = mapped_column(BigInteger)


class ClosedMonth(Base):
    """The version of the sums of a site's whole month (its first date), and of what they are sums."""

    __tablename__ = "closed_months"

    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"), primary_key=True)
    month: Mapped[str] = mapped_column(String(10), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    days_digest: Mapped[str] = mapped_column(String(32))


class SiteTimezone(Base):
    """The time zone of a site's days from a date on: a change never moves days that have been counted."""

    __tablename__ = "site_timezones"

    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"), primary_key=True)
    from_day: Mapped[str] = mapped_column(String(10), primary_key=True)
    timezone: Mapped[str] = mapped_column(String(64))


class Import(Base):
    """Figures or events taken over from elsewhere.

    `kind`: plausible, umami, ga4, access_log; demo is no import: how far `server.demo` is told. `state`: uploaded,
    running, done, failed, cancelled, removing.
    """

    __tablename__ = "imports"

    import_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    file_name: Mapped[str] = mapped_column(String(200))
    content_hash: Mapped[str] = mapped_column(String(64))
    task_id: Mapped[int | None] = mapped_column(default=None)
    first_day: Mapped[str] = mapped_column(String(10), default="")
    last_day: Mapped[str] = mapped_column(String(10), default="")
    rows: Mapped[int] = mapped_column(BigInteger, default=0)
    report: Mapped[str] = mapped_column(Text, default="")
    created_by_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="SET NULL"), default=None
    )
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    ended_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
