"""The job `reconciliation`: our subscriptions against Stripe's list. Nothing to do where nothing can be bought."""

from __future__ import annotations

from jobs.context import JobContext


def run(context: JobContext) -> int:
    """Put right what events failed to tell; returns how many subscriptions were looked at."""
    if not context.services.settings.is_billing_on:
        return 0
    # Imported here: a worker of a server without payments need not hold Stripe's package in memory.
    from server.billing.reconciliation import reconcile

    return reconcile(context.services, context.now_ms(), context.progress).seen
