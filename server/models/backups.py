"""What is known here of the backups elsewhere."""

from __future__ import annotations

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from server.models.base import Base


class Backup(Base):
    """One backup. `state`: running, complete, failed, removed.

    A running one whose `beat_until_ms` is over was lost with its process. `expires_at_ms`: after it the backup is
    removed.
    """

    __tablename__ = "backups"

    backup_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    started_at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    ended_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    beat_until_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    expires_at_ms: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger, default=0)
    file_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    new_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
