"""The panel of those who run the installation: one module a room, its templates beside it.

Every room is for staff who showed their second factor within twelve hours. What a room changes, it changes in one
transaction with its entry in the audit log; what it lists is bounded, and costs the same number of statements however
many rows there are.

| module | room |
|---|---|
| `staff_page` | what all rooms have: the way to the others, reading, writing, numbers of the query |
| `overview` | what needs an eye, and who signed up |
| `accounts`, `people`, `sites` | finding one; its page, with block, plan, flags, acting as a person |
| `deletions` | requests to delete an account |
| `announcements` | a mail to a group |
| `mail` | what was sent, the outbox, the test mail |
| `jobs`, `tasks` | runs and their lengths, starting one; the queue |
| `drops`, `quarantine` | hits that did not become rows, and those that could not be stored |
| `flags`, `log`, `data` | feature flags, the audit log, every table |
| `acting` | ends acting as somebody |
"""

from __future__ import annotations

from typing import Any

from server.handler import AppContext
from server.pages.admin import (
    accounts,
    acting,
    announcements,
    data,
    deletions,
    drops,
    flags,
    jobs,
    log,
    mail,
    overview,
    people,
    quarantine,
    sites,
    tasks,
)


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    found: list[Any] = []
    for module in (
        overview,
        accounts,
        people,
        sites,
        deletions,
        announcements,
        mail,
        jobs,
        tasks,
        drops,
        quarantine,
        flags,
        log,
        data,
        acting,
    ):
        found += module.routes(app_context)
    return found
