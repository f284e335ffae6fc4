"""What `jobs.retention` is waiting for, and what it is moving."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from server.models.base import Base


class RetentionWait(Base):
    """A site that is to be kept for a shorter time, and since when that is so: its rows wait for 30 days."""

    __tablename__ = "retention_waits"

    site_id: Mapped[int] = mapped_column(
        ForeignKey("sites.site_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    to_class: Mapped[int]
    since_ms: Mapped[int] = mapped_column(BigInteger)


class RetentionMove(Base):
    """Rows of a site, table and month on their way from one retention class to another: `server.retention_moves`.

    `state`: copying (the rows are where they were, whatever else there is), switching (those of the staging table
    count). `cutoff` says which rows: batches before this second, or versions of closings before this millisecond.
    """

    __tablename__ = "retention_moves"

    site_id: Mapped[int] = mapped_column(
        ForeignKey("sites.site_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    store_table: Mapped[str] = mapped_column(String(64), primary_key=True)
    month: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    from_class: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    to_class: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    cutoff: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger, default=0)
