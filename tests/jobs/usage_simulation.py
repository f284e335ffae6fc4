"""A year of accounts under a fake clock: late hits, changes of plans, zones and sites, a job that dies.

The app database, the runner and everything that changes terms are real; the event store is a list of hits, of which
each has a time, a moment at which its segment was opened, and one at which it is stored. The twin (`Expected`) knows
all hits and what was changed when, and adds up by hand. It builds periods with the walking functions of
`tests.reference.billing_periods`.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import event, select, update

from jobs.job import Shard
from jobs.limits import JobLimits
from jobs.runner import JobRunner, Piece
from jobs.schedule import JOBS
from jobs.usage_run import meter
from server.app_database import reading, writing
from server.billing.capacity import rejections
from server.billing.plan_changes import Reason, change_plan, plan_of
from server.billing.plans import BASIC, FREE, PLANS_BY_CODE, PREMIUM, Plan
from server.billing.site_owners import note_move
from server.billing.stripe_api import SubscriptionVersion
from server.billing.subscriptions import Heard, _apply
from server.clock import DAY_MS, HOUR_MS, MINUTE_MS
from server.mail import Mailer
from server.models import Account, BillingProfile, Mail, Site, Subscription, UsageDay, UsagePeriod, User
from server.services import Services
from server.tasks import TaskQueue
from tests.jobs.doubles import Clock
from tests.reference.billing_periods import billed_boundaries, calendar_end, month_begins_after

BEGAN_MS = 1_767_225_600_000  # 2026-01-01
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Chatham", "Asia/Kathmandu")
USAGE = next(job for job in JOBS if job.name == "usage")
LEASE_MS = 60_000


class Killed(BaseException):
    """The process ends here and now."""


@dataclass(frozen=True)
class Hits:
    """So many billable hits of a site at one moment."""

    site_id: int
    at_ms: int
    opened_at_ms: int
    stored_at_ms: int
    count: int


@dataclass
class HitList:
    """The event store, as of its clock."""

    clock: Clock
    hits: list[Hits] = field(default_factory=list)

    def hours_since(self, since_ms: int) -> set[tuple[int, int]]:
        now_ms = self.clock()
        return {
            (each.site_id, each.at_ms // HOUR_MS * HOUR_MS // 1000)
            for each in self.hits
            if each.stored_at_ms <= now_ms and each.opened_at_ms >= since_ms
        }

    def count(
        self, site_ids: Sequence[int], day_ms: int, until_ms: int, cuts: Sequence[int]
    ) -> list[tuple[int, int, int]]:
        found: Counter[tuple[int, int]] = Counter()
        for each in self.hits:
            if each.site_id in site_ids and day_ms <= each.at_ms < until_ms and each.stored_at_ms <= self.clock():
                found[each.site_id, max(cut for cut in cuts if cut <= each.at_ms)] += each.count
        return [(site_id, cut, events) for (site_id, cut), events in found.items()]


@dataclass
class Life:
    """What the twin knows of an account. `periods`: (start, end, whether it was billed)."""

    zone: str = "UTC"
    billed: tuple[int, int] | None = None
    periods: list[tuple[int, int, bool]] = field(default_factory=list)

    def observe(self, now_ms: int) -> None:
        """Somebody looks at the account's periods."""
        if not self.periods:
            start_ms = now_ms
            while month_begins_after(self.zone, start_ms) == month_begins_after(self.zone, now_ms):
                start_ms -= 15 * MINUTE_MS if start_ms % DAY_MS or start_ms < now_ms - 20 * DAY_MS else DAY_MS
            start_ms = month_begins_after(self.zone, start_ms)
            self.periods.append((start_ms, self._end(start_ms), self.billed is not None))
        start_ms, end_ms, was_billed = self.periods[-1]
        cut_ms = None
        if self.billed is not None and start_ms < self.billed[0] < end_ms:
            cut_ms = self.billed[0]
        elif was_billed != (self.billed is not None) and end_ms > now_ms > start_ms:
            cut_ms = now_ms
        elif was_billed and self.billed is not None and end_ms > now_ms:
            self.periods[-1] = (start_ms, self._end(start_ms), was_billed)
        if cut_ms is not None:
            self.periods[-1] = (start_ms, cut_ms, was_billed)
            self.periods.append((cut_ms, self._end(cut_ms), self.billed is not None))
        while self.periods[-1][1] <= now_ms:
            start_ms = self.periods[-1][1]
            if self.billed is not None and start_ms < self.billed[0]:
                self.periods.append((start_ms, min(calendar_end(self.zone, start_ms), self.billed[0]), False))
            else:
                self.periods.append((start_ms, self._end(start_ms), self.billed is not None))

    def _end(self, start_ms: int) -> int:
        if self.billed is None:
            return calendar_end(self.zone, start_ms)
        return min(each for each in billed_boundaries(self.billed, start_ms + 40 * DAY_MS) if each > start_ms)


class Year:
    """Accounts, each with an owner and sites, and what happens to them."""

    def __init__(self, services: Services, seed: int, accounts: Sequence[int]) -> None:
        self.random = random.Random(seed)
        self.clock = Clock(BEGAN_MS + self.random.randrange(DAY_MS))
        self.store = HitList(self.clock)
        tasks = TaskQueue(services.settings, services.engine, now_ms=self.clock)
        mailer = Mailer(services.settings, services.secret_key, tasks)
        self.services = dataclasses.replace(services, tasks=tasks, mailer=mailer)
        self.engine = services.engine
        self.lives = {account_id: Life() for account_id in accounts}
        self.owner_of: dict[int, list[tuple[int, int]]] = {}
        self.expected_over: set[int] = set()
        self.crashes = 0
        self.runs = 0
        self.rejected = 0
        job = dataclasses.replace(USAGE, schedule="11 */3 * * *", function=lambda context: meter(context, self.store))
        limits = JobLimits(lease_ms=LEASE_MS, progress_interval_ms=30_000, covered_rows=1, record_attempts=1)
        self.runner = JobRunner(
            self.services, [job], limits=limits, clock=self.clock, pause=lambda seconds: None, has_heartbeat=False
        )
        self.piece = Piece(job, Shard())
        with writing(self.engine) as session:
            for account_id in accounts:
                for number in range(2):
                    site = Site(
                        public_id=f"{account_id}-{number}",
                        domain=f"s{account_id}-{number}.example",
                        account_id=account_id,
                        created_at_ms=self.clock(),
                    )
                    session.add(site)
                    session.flush()
                    self.owner_of[site.site_id] = [(0, account_id)]
                session.add(Subscription(account_id=account_id, customer_id=f"cus_{account_id}"))

    # -- what happens --------------------------------------------------------------------------------------------

    def advance(self) -> None:
        hours = self.random.choice([0.25, 5, 24, 30, 60, 100, 200])
        self.clock.advance(hours * 3600 + self.random.randrange(900))

    def hits(self) -> None:
        """Hits since about a week ago; some are stored days later."""
        now_ms = self.clock()
        for _ in range(self.random.randrange(6)):
            at_ms = now_ms - self.random.choice([0, HOUR_MS, 12 * HOUR_MS, 2 * DAY_MS, 7 * DAY_MS - 1])
            opened_at_ms = max(at_ms, now_ms - self.random.choice([0, 0, 30 * HOUR_MS]))
            late_ms = self.random.choice([0, 0, 0, MINUTE_MS, 7 * HOUR_MS, 40 * HOUR_MS])
            site_id = self.random.choice(list(self.owner_of))
            count = self.random.choice([1, 10, 5_000, 20_000, 60_000, 5_000_000])
            count = min(count, 70_000) if self.random.random() < 0.8 else count
            self.store.hits.append(Hits(site_id, at_ms, opened_at_ms, now_ms + late_ms, count))

    def change(self) -> None:
        """One of the things that people and Stripe do."""
        account_id = self.random.choice(list(self.lives))
        kind = self.random.choice(["zone", "month", "year", "end", "switch", "staff", "move"])
        life = self.lives[account_id]
        if kind == "zone":
            life.zone = self.random.choice(ZONES)
            with writing(self.engine) as session:
                session.execute(update(Account).where(Account.account_id == account_id).values(timezone=life.zone))
        elif kind in ("month", "year"):
            start_ms = self.clock() - self.clock() % 1000
            length_ms = (365 if kind == "year" else 31) * DAY_MS
            self.hear(account_id, (start_ms, start_ms + length_ms), self.random.choice([BASIC, PREMIUM]))
        elif kind == "switch" and life.billed is not None:
            self.hear(account_id, life.billed, self.random.choice([BASIC, PREMIUM]))
        elif kind == "end":
            self.hear(account_id, None, FREE)
        elif kind == "staff":
            with writing(self.engine) as session:
                plan = self.random.choice([FREE, BASIC])
                change_plan(session, self.services, account_id, plan, Reason.STAFF, self.clock())
        elif kind == "move":
            self.move(self.random.choice(list(self.owner_of)), account_id)

    def renew(self) -> None:
        """What is billed goes on; we may hear of it a while later."""
        for account_id, life in self.lives.items():
            if life.billed is not None and life.billed[1] <= self.clock() and self.random.random() < 0.7:
                boundaries = billed_boundaries(life.billed, self.clock())
                with reading(self.engine) as session:
                    code = session.get_one(Subscription, account_id).entitled_plan_code
                self.hear(account_id, (boundaries[-2], boundaries[-1]), PLANS_BY_CODE[code])

    def hear(self, account_id: int, billed: tuple[int, int] | None, plan: Plan) -> None:
        """Apply what Stripe says."""
        status = "active" if billed is not None else "canceled"
        starts_at_ms, ends_at_ms = billed or (None, None)
        version = SubscriptionVersion(
            "sub", "cus", "si", f"price_{plan.code}", status, 1, starts_at_ms, ends_at_ms, None, None, False, False
        )
        with reading(self.engine) as session:
            row = session.get_one(Subscription, account_id)
        assert _apply(self.services, row, Heard(version, None, plan, has_had_trial=False), [], self.clock()) is not None
        self.lives[account_id].billed = billed
        self.lives[account_id].observe(self.clock())

    def move(self, site_id: int, to_account_id: int) -> None:
        """A site changes hands."""
        from_account_id = self.owner_of[site_id][-1][1]
        if from_account_id == to_account_id:
            return
        with writing(self.engine) as session:
            session.execute(update(Site).where(Site.site_id == site_id).values(account_id=to_account_id))
            note_move(session, site_id, from_account_id, to_account_id, self.clock())
        self.owner_of[site_id].append((self.clock(), to_account_id))
        for account_id in (from_account_id, to_account_id):
            self.lives[account_id].observe(self.clock())

    # -- the job -------------------------------------------------------------------------------------------------

    def run(self, dies: bool) -> None:
        """Run the job if it is due, to its end or to a crash at any statement or commit."""
        self.runner.tick()
        points = self.random.randrange(1, 150) if dies else None
        began_ms = self.clock()
        with killed_after(self.engine, points) as has_died:
            results = self.runner.catch_up(self.piece)
        if has_died():
            self.crashes += 1
            self._note_over()
            # Another process takes it up once the lease is over.
            self.clock.advance(LEASE_MS / 1000 + 1)
            self.run(dies=False)
            return
        assert all(result.is_settled and not result.error for result in results), results
        if results:
            self.runs += 1
            for life in self.lives.values():
                life.observe(began_ms)
            self._note_over()
            self.check_mails()

    def _note_over(self) -> None:
        """Who is over the plan after an attempt: only those may have been told."""
        with reading(self.engine) as session:
            for row in self._running(session):
                if row.counted_events >= plan_of(session, row.account_id).monthly_events:
                    self.expected_over.add(row.period_id)
            self.rejected += bool(rejections(session, self.clock()))

    def _running(self, session: object) -> list[UsagePeriod]:
        now_ms = self.clock()
        has_now = (UsagePeriod.starts_at_ms <= now_ms) & (UsagePeriod.ends_at_ms > now_ms)
        return list(session.execute(select(UsagePeriod).where(has_now)).scalars())  # type: ignore[attr-defined]

    # -- what must hold ------------------------------------------------------------------------------------------

    def check_mails(self) -> None:
        """After a whole run everybody who is near or over has been told, once."""
        with reading(self.engine) as session:
            for row in self._running(session):
                limit = plan_of(session, row.account_id).monthly_events
                if row.counted_events >= limit:
                    assert row.depleted_at_ms is not None, row.period_id
                elif row.counted_events >= 0.8 * limit:
                    assert row.warned_at_ms is not None or row.depleted_at_ms is not None, row.period_id

    def check(self) -> None:
        """Everything, once all hits are stored and counted."""
        with reading(self.engine) as session:
            rows = list(session.execute(select(UsagePeriod).order_by(UsagePeriod.starts_at_ms)).scalars())
            days = list(session.execute(select(UsageDay)).scalars())
            owners = {row.account_id: row.owner_user_id for row in session.execute(select(BillingProfile)).scalars()}
            addresses = {row.user_id: row.email for row in session.execute(select(User)).scalars()}
            mails = list(session.execute(select(Mail)).scalars())
        for account_id, life in self.lives.items():
            mine = [row for row in rows if row.account_id == account_id]
            chain = [(shown(row.starts_at_ms), shown(row.ends_at_ms)) for row in mine]
            assert chain == [(shown(start_ms), shown(end_ms)) for start_ms, end_ms, _ in life.periods]
            for row in mine:
                naive = sum(each.count for each in self.store.hits if self._is_in(each, row))
                assert row.counted_events == naive, (account_id, shown(row.starts_at_ms), shown(row.ends_at_ms))
                assert row.counted_events == sum(each.events for each in days if each.period_id == row.period_id)
        for template, told_at in (("capacity_depleted", "depleted_at_ms"), ("capacity_warning", "warned_at_ms")):
            sent = Counter((mail.to_address, mail.created_at_ms) for mail in mails if mail.template == template)
            told = [row for row in rows if getattr(row, told_at) is not None]
            noted = Counter((addresses[owners[row.account_id] or 0], getattr(row, told_at)) for row in told)
            assert sent == noted, template
        assert {row.period_id for row in rows if row.depleted_at_ms is not None} == self.expected_over

    def _is_in(self, hits: Hits, row: UsagePeriod) -> bool:
        owner = [account_id for since_ms, account_id in self.owner_of[hits.site_id] if since_ms <= hits.at_ms][-1]
        return owner == row.account_id and row.starts_at_ms <= hits.at_ms < row.ends_at_ms


def live(year: Year, days: int) -> None:
    """So many days, and then as many more as everything needs to be stored, counted and frozen."""
    end_ms = year.clock() + days * DAY_MS
    for _ in range(2):
        # The first look makes the job known, the second begins everybody's first month.
        year.run(dies=False)
        year.clock.advance(6 * 3600)
    while year.clock() < end_ms:
        year.advance()
        year.renew()
        year.hits()
        if year.random.random() < 0.25:
            year.change()
        if year.random.random() < 0.85:
            year.run(dies=year.random.random() < 0.3)
    for _ in range(16):
        year.clock.advance(26 * 3600)
        year.run(dies=False)


@contextmanager
def killed_after(engine: object, points: int | None) -> Iterator[Callable[[], bool]]:
    """Everything on this engine dies at the so manieth statement or commit; says whether it has."""
    left, has_died = points, False

    def at_point(*_: object) -> None:
        nonlocal left
        if left is not None:
            left -= 1
            if left < 0:
                left = None
                raise Killed

    event.listen(engine, "before_cursor_execute", at_point)
    event.listen(engine, "commit", at_point)
    try:
        yield lambda: has_died
    except Killed:
        has_died = True
    finally:
        event.remove(engine, "before_cursor_execute", at_point)
        event.remove(engine, "commit", at_point)


def shown(at_ms: int) -> str:
    """For a failure's message."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
