"""Destroying an account whose deletion was approved: its sites one by one, then people, keys and all else it has.

What it pays for ends first; a Stripe that does not answer holds everything up, so that nobody pays for what is gone.
What remains is the account's number, its deletion request and the audit log. Every step may be cut and done again.
"""

from __future__ import annotations

from clickhouse_driver.errors import Error as ClickHouseError
from sqlalchemy import delete, select, update

from server.accounts.audit_log import Action, write_entry
from server.accounts.deletion import only_members, owners_of
from server.app_database import bump_version, reading, writing
from server.backups.register import last_expiry
from server.billing.checkout import end_subscriptions
from server.billing.errors import StripeAway, StripeRefused
from server.clock import time_text
from server.destruction import MutationFailed
from server.models import Account, DeletionRequest, FeatureFlag, Mail, Site, User
from server.retry import TokensUsedUp
from server.site_destruction import HitsUnderWay, Means, destroy_site, tables_about

HELD_UP = (HitsUnderWay, MutationFailed, TokensUsedUp, StripeAway, StripeRefused, ClickHouseError, OSError)
"""What may be over by the next time: a machine, a store or Stripe is away."""


def destroy_account(means: Means, request_id: int) -> bool:
    """Destroy the account of an approved request; whether it is destroyed now. False: it was refused or taken back.

    Raises what `destroy_site` raises, and `StripeAway`, `StripeRefused`.
    """
    account_id = _begin(means, request_id)
    if account_id is None:
        return False
    means.progress("what is paid")
    end_subscriptions(means.services, account_id)
    for site_id in _sites(means, account_id):
        destroy_site(means, site_id)
    _finish(means, request_id, account_id)
    return True


def _begin(means: Means, request_id: int) -> int | None:
    with writing(means.services.engine) as session:
        means.fence(session)
        account_id = session.get_one(DeletionRequest, request_id).account_id
        session.get_one(Account, account_id, with_for_update=True)
        request = session.get_one(DeletionRequest, request_id, populate_existing=True)
        is_over = request.refused_at_ms or request.taken_back_at_ms or request.destroyed_at_ms
        if is_over or request.approved_at_ms is None:
            return None
        if request.destruction_began_at_ms is None:
            request.destruction_began_at_ms = means.now_ms()
        return account_id


def _sites(means: Means, account_id: int) -> list[int]:
    """Its sites, none of which counts any more, whoever made it meanwhile."""
    theirs = Site.account_id == account_id
    living = theirs & Site.state.not_in(("deleting", "destroyed"))
    with writing(means.services.engine) as session:
        means.fence(session)
        session.execute(update(Site).where(living).values(state="deleting", deleted_at_ms=means.now_ms()))
        bump_version(session)
    with reading(means.services.engine) as session:
        return list(session.execute(select(Site.site_id).where(theirs).order_by(Site.site_id)).scalars())


def _finish(means: Means, request_id: int, account_id: int) -> None:
    services, now_ms = means.services, means.now_ms()
    means.progress("people and keys")
    with writing(services.engine) as session:
        means.fence(session)
        account = session.get_one(Account, account_id, with_for_update=True)
        request = session.get_one(DeletionRequest, request_id)
        owners = [(owner.email, owner.name) for owner in owners_of(session, account_id)]
        people = only_members(session, account_id)
        theirs = select(User.email).where(User.user_id.in_(people))
        for address in list(session.execute(theirs).scalars()):
            session.execute(delete(Mail).where(Mail.to_address == address))
        for table in tables_about("account_id"):
            session.execute(delete(table).where(table.c.account_id == account_id))
        session.execute(delete(User).where(User.user_id.in_(people)))
        for flag in session.execute(select(FeatureFlag)).scalars():
            if account_id in flag.account_ids:
                flag.account_ids = [number for number in flag.account_ids if number != account_id]
        request.destroyed_at_ms = now_ms
        request.backups_until_ms = last_expiry(session, means.services.settings, now_ms)
        until = "" if request.backups_until_ms is None else time_text(request.backups_until_ms)
        write_entry(
            session,
            Action.ACCOUNT_DESTROYED,
            now_ms,
            account_id=account_id,
            target=account.name,
            people=len(people),
            backups_until=until,
        )
        sentence = (
            f"Backups that were made before may still hold some of it; the last of them expires at {until}."
            if until
            else "No backup holds any of it."
        )
        for address, name in owners:
            services.mailer.queue(
                session, address, "account_destroyed", name=name, account_name=account.name, sentence=sentence
            )
        account.state, account.name = "destroyed", f"destroyed #{account_id}"
        account.state_before_deletion = ""
        bump_version(session)
