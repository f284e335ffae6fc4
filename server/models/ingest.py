"""What the ingest core keeps in the app database: salts, batch claims, watermarks, versions."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from server.models.base import Base


class Salt(Base):
    """The visitor salt of one calendar date."""

    __tablename__ = "salts"

    date: Mapped[str] = mapped_column(String(10), primary_key=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary(16))


class BatchClaim(Base):
    """A server batch that was claimed by its idempotency key; `answer` is absent while it is under way."""

    __tablename__ = "batch_claims"

    account_id: Mapped[int] = mapped_column(primary_key=True)
    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    body_hash: Mapped[str] = mapped_column(String(64))
    claimed_at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    status: Mapped[int | None] = mapped_column(default=None)
    answer: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)


class Watermark(Base):
    """The time of the oldest unflushed hit of one spool folder; without such a hit, the time of the report."""

    __tablename__ = "watermarks"

    spool_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    home_id: Mapped[str] = mapped_column(String(32))
    oldest_unflushed_at_ms: Mapped[int] = mapped_column(BigInteger)
    updated_at_ms: Mapped[int] = mapped_column(BigInteger)


class Version(Base):
    """A counter that grows with each change of what it names."""

    __tablename__ = "versions"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, default=1)
