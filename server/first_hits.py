"""When a site's first hit came: asked of the event store until there is one, then kept with the site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, update

from server.app_database import writing
from server.clock import now_ms
from server.models import Site


def find_first_hit(engine: Engine, site: Site, count: Callable[[int], dict[str, Any]]) -> int | None:
    """The time of a site's first hit, imports aside; None as long as there is none. Blocks.

    `count` asks the event store (`server.site_counts`), whose errors pass. It is asked once more only after a reset.
    """
    if site.first_hit_at_ms is not None:
        return site.first_hit_at_ms
    first = count(site.site_id)["first_hit"]
    if first is None:
        return None
    # The store knows the hour. While somebody waits for it, the first hit is at most seconds old.
    first_ms = min(now_ms(), max(int(first.timestamp() * 1000), site.created_at_ms))
    with writing(engine) as session:
        unknown = (Site.site_id == site.site_id) & Site.first_hit_at_ms.is_(None)
        session.execute(update(Site).where(unknown).values(first_hit_at_ms=first_ms))
    return first_ms
