"""Accounts, mail and jobs of a whole `serve` on PostgreSQL and Redis, while Redis is killed and comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from server.config import load_settings
from server.mail import OutboxMail, list_outbox
from tests.server.accounts.people import PASSWORD, token_in
from tests.server.pages.site_host import Browser
from tests.server.test_serve import wait_until
from tests.services.app_databases import copied_postgresql
from tests.services.footfall import FootfallServer, running_footfall
from tests.services.redis import redis_server

# Nobody listens there: hits wait in the spool.
NO_CLICKHOUSE = "clickhouse://127.0.0.1:1/footfall"

OWNER = "owner@example.com"


def first_run_token(server: FootfallServer) -> str:
    done = server.command("users", "link")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().partition("token=")[2]


def wait_for_mail(server: FootfallServer, address: str, is_it: Callable[[OutboxMail], bool]) -> OutboxMail:
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        for mail in list_outbox(load_settings(data_dir=server.data_dir)):
            if mail.to_address == address and is_it(mail):
                return mail
        time.sleep(0.1)
    raise AssertionError("the mail did not come")


def invite_and_join(server: FootfallServer, owner: Browser, email: str) -> Browser:
    """From the form to the newcomer's login: database, task queue, worker, mail, cookies."""
    answer = owner.post("/accounts/1/team", {"email": email, "role": "viewer"})
    assert answer.status == 303, answer.text
    token = token_in(wait_for_mail(server, email, lambda mail: "token=" in mail.text))
    newcomer = Browser(server.port)
    answer = newcomer.post("/invitations/accept", {"token": token, "name": "", "password": PASSWORD})
    assert answer.status == 303, answer.text
    assert newcomer.get("/accounts/1/team").status == 200
    return newcomer


def metric(server: FootfallServer, name: str) -> float:
    page = Browser(server.internal_port).get("/metrics").text
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))


@pytest.mark.slow
def test_people_work_on_while_redis_is_gone_and_after_it_is_back(tmp_path: Path, postgresql_to_copy: str) -> None:
    with (
        copied_postgresql(postgresql_to_copy) as database_url,
        redis_server(tmp_path) as redis,
        running_footfall(
            tmp_path / "data",
            clickhouse_url=NO_CLICKHOUSE,
            app_database_url=database_url,
            redis_url=redis.url,
            processes="2",
        ) as server,
    ):
        owner = Browser(server.port)
        given = {"token": first_run_token(server), "email": OWNER, "name": "Olga", "password": PASSWORD}
        assert owner.post("/first-run", given).status == 303
        invite_and_join(server, owner, "before@example.com")
        redis.kill()
        invite_and_join(server, owner, "during@example.com")
        assert Browser(server.port).log_in(OWNER, PASSWORD).status == 303
        wrong = Browser(server.port)
        # Two processes, each counting for itself: at most twice the limit gets through.
        statuses = [wrong.log_in(OWNER, "not the password").status for _ in range(21)]
        assert set(statuses) == {400, 429}
        wait_until(lambda: metric(server, "footfall_redis_away") > 0)
        assert server.command("sites", "add", "during.example").returncode == 0
        redis.start()
        invite_and_join(server, owner, "after@example.com")

        def is_used_again() -> bool:
            Browser(server.port).post("/reset", {"email": "nobody@example.com"})
            return metric(server, "footfall_redis_away") == 0

        wait_until(is_used_again, 30)
        assert server.stop() == 0
    errors = [line for line in server.log_path.read_text().splitlines() if '"level":"error"' in line]
    assert errors == []
