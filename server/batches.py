"""`POST /api/events`: up to 10,000 events from a customer's server in one request.

Unlike hits, batches may wait for the app database. With an `Idempotency-Key` the batch is claimed before anything is
appended, for 24 hours, by (account, key) with the body's hash:

| the key was seen with | answer |
|---|---|
| nothing | the batch is taken |
| the same body, answered | the stored answer again |
| the same body, still under way | 409 |
| another body | 422 |

A batch that could not be appended (503) gives its claim back, so that it can be sent again. The answer to a batch that
was appended leaves after the group's commit, like a hit's.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Any

import orjson
from sqlalchemy import Engine, delete, select, update
from tornado.web import HTTPError

from rust_ext import Collector
from server.accounts.access import key
from server.app_database import inserting, writing
from server.clock import DAY_MS, now_ms
from server.handler import AppContext, BaseHandler
from server.models import BatchClaim, Scope

log = logging.getLogger(__name__)

CLAIM_LIFE_MS = DAY_MS

# Stripe's limit for the same header.
MAX_KEY_CHARS = 255

# 10,000 events of 2 KB: also the ingest core's limit for any body that is not a hit.
MAX_BODY_BYTES = 20 * 1024 * 1024

RETRY_AFTER_S = 5


class BatchConflict(Exception):
    """The idempotency key cannot be used for this batch now. Carries the answer; nothing was appended."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def claim_batch(
    engine: Engine, account_id: int, key_hash: str, body_hash: str, now_ms: int
) -> tuple[int, bytes] | None:
    """Claim a batch: None when it is ours to append, else the stored answer. Raises `BatchConflict`. Blocks."""
    with writing(engine) as session:
        session.execute(delete(BatchClaim).where(BatchClaim.claimed_at_ms < now_ms - CLAIM_LIFE_MS))
        claim = inserting(session, BatchClaim).values(
            account_id=account_id, key_hash=key_hash, body_hash=body_hash, claimed_at_ms=now_ms
        )
        # RETURNING says whether the row is new: a driver's row count after a conflict is not reliable.
        if session.execute(claim.on_conflict_do_nothing().returning(BatchClaim.key_hash)).scalar() is not None:
            return None
        ours = (BatchClaim.account_id == account_id) & (BatchClaim.key_hash == key_hash)
        known = session.execute(select(BatchClaim).where(ours)).scalar_one()
        if known.body_hash != body_hash:
            raise BatchConflict(422, "This Idempotency-Key was used with another body.")
        if known.status is None or known.answer is None:
            raise BatchConflict(409, "A batch with this Idempotency-Key is still under way.")
        return known.status, known.answer


def finish_claim(engine: Engine, account_id: int, key_hash: str, status: int, answer: bytes) -> None:
    """Keep a claimed batch's answer. Blocks."""
    ours = (BatchClaim.account_id == account_id) & (BatchClaim.key_hash == key_hash)
    with writing(engine) as session:
        session.execute(update(BatchClaim).where(ours).values(status=status, answer=answer))


def release_claim(engine: Engine, account_id: int, key_hash: str) -> None:
    """Give a claim back: nothing was appended. Blocks."""
    ours = (BatchClaim.account_id == account_id) & (BatchClaim.key_hash == key_hash)
    with writing(engine) as session:
        session.execute(delete(BatchClaim).where(ours))


class BatchRoutes:
    """The endpoint of a process that has a collector."""

    def __init__(self, collector: Collector, engine: Engine) -> None:
        self.collector = collector
        self.engine = engine

    def routes(self, app_context: AppContext) -> list[Any]:
        """For `make_application`."""
        return [(r"/api/events", BatchHandler, {"app_context": app_context, "batches": self})]

    async def append(self, body: bytes, account_id: int, address: str) -> tuple[int, bytes]:
        """Append a batch and wait until it is in the spool: status and report."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()

        def done(is_written: bool) -> None:
            if not written.done():
                written.set_result(is_written)

        report, is_logged, is_commit_due = self.collector.ingest_batch(body, account_id, address, done)
        if is_commit_due:
            loop.call_soon(self.collector.commit)
        if is_logged and not await written:
            return 503, _UNAVAILABLE
        return _status_of(report, is_logged), report


_UNAVAILABLE = orjson.dumps({"error": {"status": 503, "message": "The batch cannot be taken now; send it again."}})


def _status_of(report: bytes, is_logged: bool) -> int:
    """202 when the events are accounted for one by one, 400 when the batch as a whole was refused, 503 without room."""
    refused = None if is_logged else orjson.loads(report).get("refused")
    if refused is None:
        return 202
    return 503 if refused == "unavailable" else 400


class BatchHandler(BaseHandler):
    """See the module."""

    access = key(Scope.EVENTS_WRITE)

    def initialize(self, app_context: AppContext, batches: BatchRoutes | None = None) -> None:
        """`batches` is the process's."""
        super().initialize(app_context)
        assert batches is not None
        self._batches = batches

    async def post(self) -> None:
        """Take one batch."""
        account_id = self.key_account_id
        assert account_id is not None
        body = self.request.body
        if len(body) > MAX_BODY_BYTES:
            raise HTTPError(413, f"A batch may have {MAX_BODY_BYTES} bytes.")
        idempotency_key = self.request.headers.get("Idempotency-Key", "")
        if len(idempotency_key) > MAX_KEY_CHARS:
            raise HTTPError(400, f"An Idempotency-Key may have {MAX_KEY_CHARS} characters.")
        address = self.request.remote_ip or "0.0.0.0"  # noqa: S104 - an unknown client, nothing to bind to
        if not idempotency_key:
            self._answer(*await self._batches.append(body, account_id, address))
            return
        key_hash = hashlib.sha256(idempotency_key.encode()).hexdigest()
        body_hash = hashlib.sha256(body).hexdigest()
        engine = self._batches.engine
        try:
            stored = await self.in_thread(claim_batch, engine, account_id, key_hash, body_hash, now_ms())
        except BatchConflict as conflict:
            raise HTTPError(conflict.status, conflict.message) from None
        if stored is not None:
            self.set_header("Idempotent-Replayed", "true")
            self._answer(*stored)
            return
        status, answer = await self._batches.append(body, account_id, address)
        if status == 503:
            await self.in_thread(release_claim, engine, account_id, key_hash)
        else:
            await self.in_thread(finish_claim, engine, account_id, key_hash, status, answer)
        self._answer(status, answer)

    def _answer(self, status: int, answer: bytes) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        if status == 503:
            self.set_header("Retry-After", str(RETRY_AFTER_S))
        self.finish(answer)
