"""Who may come in and how long they stay, and what a developer sees beside a page."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel

from server.config.setting import setting


class Env(StrEnum):
    """What this installation is for."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"


class AccountSettings(BaseModel):
    """Group `accounts`."""

    env: Env = setting(
        Env.PRODUCTION,
        "accounts",
        "development shows each page's SQL, times and mails under it",
        "production or development",
    )
    # A server that anyone can reach must not hand out accounts unasked.
    invite_only: bool = setting(
        True, "accounts", "only invited people may make an account; false opens /signup", "true or false"
    )
    # OWASP ASVS 5.0, 7.3: an idle and an absolute limit, decided and written down. Two weeks cover a holiday.
    session_idle_days: int = setting(
        14, "accounts", "days without a visit after which a login ends", "a whole number from 1 to 365", ge=1, le=365
    )
    session_max_days: int = setting(
        90, "accounts", "days after which a login ends in any case", "a whole number from 1 to 365", ge=1, le=365
    )
    # Plausible's limit, which its clients know to keep to.
    api_requests_per_hour: int = setting(
        600,
        "accounts",
        "requests per hour that one API key may send to the stats and sites APIs",
        "a whole number from 1 to 10000",
        ge=1,
        le=10_000,
    )
