"""The demo's site in the app database: what its owner would have set up, a share link, and how far its rows go.

A row of `imports` of the kind `demo`, which no page shows, says on which day the story ends and up to which moment it
is told (`server.imports.rows.Saved.resume`); it goes when the site's figures are reset, so the demo is told anew then.
What people change or delete of the setup stays as they left it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from server.accounts.share_links import add_share_link
from server.app_database import bump_version, reading, writing
from server.demo.story import MOMENTS, Story
from server.imports.rows import ImportState, Saved
from server.models import Annotation, Funnel, Goal, Import, Segment, ShareLink, Site
from server.queries.periods import SiteCalendar
from server.sites import add_site, find_site

DEMO_DOMAIN = "demo.example"
DEMO_ZONE = "Europe/Berlin"
DEMO_KIND = "demo"
LINK_NAME = "Live demo"


@dataclass(frozen=True)
class _Goal:
    """The columns of a goal that are chosen."""

    display_name: str
    kind: str
    event_name: str = ""
    page_pattern: str = ""
    scroll_percent: int = 0
    currency: str = ""


GOALS = (
    _Goal("Purchase", "event", event_name="Purchase", currency="EUR"),
    _Goal("Add to cart", "event", event_name="Add to cart"),
    _Goal("Newsletter signup", "event", event_name="Newsletter signup"),
    _Goal("Looked at a product", "page", page_pattern="/products/*"),
    _Goal("Checkout", "page", page_pattern="/checkout"),
    _Goal("Read an article", "scroll", page_pattern="/blog/*", scroll_percent=75),
)
FUNNEL = ("Buying", ("Looked at a product", "Add to cart", "Checkout", "Purchase"))
SEGMENT = ("Phones in Germany", [["is", "visit:device", ["Mobile"]], ["is", "visit:country", ["DE"]]])


@dataclass(frozen=True)
class Demo:
    """The demo as it stands. `filled_until_ms`: rows before this moment are there, with their counts."""

    site_id: int
    domain: str
    retention_class: int
    import_id: int
    slug: str
    story: Story
    filled_until_ms: int

    @property
    def calendar(self) -> SiteCalendar:
        """When its days start."""
        return SiteCalendar.of(DEMO_ZONE)

    @property
    def share_path(self) -> str:
        """Where its dashboard is, for everybody."""
        return f"/share/{self.slug}"


def prepare_demo(engine: Engine, now_ms: int, scale: float = 1.0) -> Demo:
    """The demo's site, made when it is missing; `scale` is taken at its making. Raises `SiteError`."""
    site = find_site(engine, DEMO_DOMAIN) or add_site(engine, DEMO_DOMAIN, DEMO_ZONE)
    with writing(engine) as session:
        row = _import_of(session, site.site_id)
        if row is None:
            row = _set_up(session, site.site_id, now_ms, scale)
            bump_version(session)
        saved = Saved.from_text(row.report)
        story = Story(date.fromisoformat(saved.resume["last_day"]), saved.resume["scale"])
        return Demo(
            site_id=site.site_id,
            domain=site.domain,
            retention_class=site.retention_class,
            import_id=row.import_id,
            slug=_share_link(session, session.get_one(Site, site.site_id)).slug,
            story=story,
            filled_until_ms=saved.resume["filled_until_ms"],
        )


def save_filled(engine: Engine, demo: Demo, filled_until_ms: int, rows: int) -> None:
    """So many more rows are there, up to this moment."""
    with writing(engine) as session:
        row = session.get_one(Import, demo.import_id)
        saved = Saved.from_text(row.report)
        saved.resume["filled_until_ms"] = filled_until_ms
        row.report, row.rows, row.state = saved.as_text(), row.rows + rows, ImportState.DONE
        row.last_day = str(demo.calendar.day_at(filled_until_ms - 1))
        row.ended_at_ms = filled_until_ms


def find_demo_link(engine: Engine) -> str | None:
    """The path of the demo's dashboard, when there is a demo."""
    named = select(ShareLink.slug).join(Site, Site.site_id == ShareLink.site_id)
    named = named.where(Site.domain == DEMO_DOMAIN, ShareLink.name == LINK_NAME, ShareLink.password_hash.is_(None))
    with reading(engine) as session:
        slug = session.execute(named).scalars().first()
    return None if slug is None else f"/share/{slug}"


def _import_of(session: Session, site_id: int) -> Import | None:
    ours = select(Import).where(Import.site_id == site_id, Import.kind == DEMO_KIND)
    return session.execute(ours).scalars().first()


def _set_up(session: Session, site_id: int, now_ms: int, scale: float) -> Import:
    calendar = SiteCalendar.of(DEMO_ZONE)
    story = Story(calendar.day_at(now_ms), scale)
    first_ms = calendar.start_ms(story.first_day)
    site = session.get_one(Site, site_id)
    site.created_at_ms = min(site.created_at_ms, first_ms)
    site.first_hit_at_ms = min(site.first_hit_at_ms or first_ms, first_ms)
    _add_goals(session, site_id, now_ms)
    noted = set(session.execute(select(Annotation.text).where(Annotation.site_id == site_id)).scalars())
    for moment in MOMENTS:
        if moment.text not in noted:
            day = str(story.date_of(moment))
            session.add(Annotation(site_id=site_id, day=day, text=moment.text, created_at_ms=now_ms))
    name, filters = SEGMENT
    named = (Segment.site_id == site_id) & (Segment.name == name)
    if session.execute(select(Segment.segment_id).where(named)).scalar() is None:
        session.add(Segment(site_id=site_id, name=name, filters=filters, is_personal=False, created_at_ms=now_ms))
    resume = {"last_day": str(story.last_day), "scale": scale, "filled_until_ms": first_ms}
    row = Import(
        site_id=site_id,
        kind=DEMO_KIND,
        state=ImportState.RUNNING,
        file_name="a made-up year",
        content_hash=DEMO_KIND,
        report=Saved(resume=resume).as_text(),
        first_day=str(story.first_day),
        created_at_ms=now_ms,
    )
    session.add(row)
    session.flush()
    return row


def _add_goals(session: Session, site_id: int, now_ms: int) -> None:
    present = {
        goal.display_name: goal.goal_id
        for goal in session.execute(select(Goal).where(Goal.site_id == site_id)).scalars()
    }
    for goal in GOALS:
        if goal.display_name in present:
            continue
        added = Goal(site_id=site_id, created_at_ms=now_ms, **asdict(goal))
        session.add(added)
        session.flush()
        present[goal.display_name] = added.goal_id
    name, steps = FUNNEL
    if session.execute(select(Funnel.funnel_id).where(Funnel.site_id == site_id, Funnel.name == name)).scalar() is None:
        session.add(
            Funnel(site_id=site_id, name=name, goal_ids=[present[step] for step in steps], created_at_ms=now_ms)
        )


def _share_link(session: Session, site: Site) -> ShareLink:
    named = select(ShareLink).where(
        ShareLink.site_id == site.site_id, ShareLink.name == LINK_NAME, ShareLink.password_hash.is_(None)
    )
    found = session.execute(named).scalars().first()
    if found is None:
        found = add_share_link(session, site, LINK_NAME, "", actor=None)
        session.flush()
    return found
