"""People: the first owner, sign-up, resets, and changes of name, mail address and password.

Nothing here tells a stranger whether an address has an account. Sign-up and reset answer at once and the same for every
address; a task (`accounts.sign_up`, `accounts.reset`) looks afterwards and writes to the address what fits. A person
exists only once they have opened a link that was sent to their address.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, LinkInvalid
from server.accounts.passwords import check_strength, hash_password, is_password, needs_new_hash
from server.accounts.sessions import end_logins
from server.accounts.tokens import drop_tokens, look_at_token, make_token, use_token
from server.app_database import reading, writing
from server.clock import now_ms
from server.config import Settings, checked_address
from server.models import Account, BillingProfile, MemberRole, Membership, TokenPurpose, User
from server.sites import FIRST_ACCOUNT_ID
from server.tasks import TaskRun, task

if TYPE_CHECKING:
    from server.services import Services

LONGEST_NAME_CHARS = 100

FREE_PLAN = "FREE"


def clean_email(text: str, field: str = "email") -> str:
    """The address as it is kept: in lower case. Raises `FormError`."""
    try:
        return checked_address(text.strip().lower())
    except ValueError:
        raise FormError(field, "This is not a mail address, such as you@example.com.") from None


def clean_name(text: str, field: str = "name", *, needed: bool = False) -> str:
    """A name as it is kept: without control characters and doubled blanks. Raises `FormError`."""
    name = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    if len(name) > LONGEST_NAME_CHARS:
        raise FormError(field, f"A name may have {LONGEST_NAME_CHARS} characters.")
    if needed and not name:
        raise FormError(field, "A name is needed.")
    return name


# -- the first owner -------------------------------------------------------------------------------------------------


def has_users(session: Session) -> bool:
    """Whether anybody has an account here."""
    return session.execute(select(User.user_id).limit(1)).scalar() is not None


def make_first_run_token(engine: Engine, now: int) -> str | None:
    """A new token for the one-time link that makes the owner; None once there is somebody."""
    with writing(engine) as session:
        return None if has_users(session) else make_token(session, TokenPurpose.FIRST_RUN, now)


def first_run_link(settings: Settings, token: str) -> str:
    """Where a first run's token is used."""
    return f"{settings.snippet_base}/first-run?token={token}"


def check_first_run_link(services: Services, token: str, now: int) -> None:
    """Raises `LinkInvalid` for a link that cannot be used."""
    with reading(services.engine) as session:
        look_at_token(session, TokenPurpose.FIRST_RUN, token, now)


def create_owner(services: Services, token: str, email: str, name: str, password: str, now: int) -> int:
    """Make the installation's first user: owner of the first account, and staff. Raises `LinkInvalid`, `FormError`."""
    check_first_run_link(services, token, now)
    email, name = clean_email(email), clean_name(name)
    check_strength(password, email, name)
    hashed = hash_password(password)
    with writing(services.engine) as session:
        use_token(session, TokenPurpose.FIRST_RUN, token, now)
        if has_users(session):
            raise LinkInvalid
        user = _add_user(session, email, name, hashed, now)
        user.is_staff = True
        session.flush()
        account = session.get_one(Account, FIRST_ACCOUNT_ID)
        account.name = account_name(name, email)
        session.get_one(BillingProfile, FIRST_ACCOUNT_ID).owner_user_id = user.user_id
        session.add(_membership(FIRST_ACCOUNT_ID, user.user_id, MemberRole.OWNER, now))
        write_entry(session, Action.OWNER_CREATED, now, actor=user.user_id, account_id=FIRST_ACCOUNT_ID)
        return user.user_id


# -- sign-up ---------------------------------------------------------------------------------------------------------


def ask_to_sign_up(services: Services, email: str) -> None:
    """Send a link for signing up to this address. Raises `FormError` for what is no address."""
    _ask(services, "accounts.sign_up", clean_email(email))


@task("accounts.sign_up", attempts=5, first_delay_s=10, deadline_s=60)
def _answer_sign_up(run: TaskRun, *, email: str) -> None:
    services = run.services
    with writing(services.engine) as session:
        if find_user(session, email) is not None:
            services.mailer.queue(
                session, email, "already_registered", login_link=_login_link(services), reset_link=_reset_form(services)
            )
            return
        token = make_token(session, TokenPurpose.CONFIRM_EMAIL, now_ms(), email=email)
        link = f"{services.settings.snippet_base}/signup/finish?token={token}"
        services.mailer.queue(session, email, "confirm_email", link=link, expires_in="a day")


def email_of_sign_up(services: Services, token: str, now: int) -> str:
    """The address that a sign-up link was sent to. Raises `LinkInvalid`."""
    with reading(services.engine) as session:
        return look_at_token(session, TokenPurpose.CONFIRM_EMAIL, token, now).email


def sign_up(services: Services, token: str, name: str, password: str, now: int) -> int:
    """Make the person and an account of their own. Raises `LinkInvalid`, `FormError`."""
    name = clean_name(name)
    check_strength(password, email_of_sign_up(services, token, now), name)
    hashed = hash_password(password)
    with writing(services.engine) as session:
        email = use_token(session, TokenPurpose.CONFIRM_EMAIL, token, now).email
        if find_user(session, email) is not None:
            raise LinkInvalid
        user = _add_user(session, email, name, hashed, now)
        session.flush()
        add_account(session, account_name(name, email), user.user_id, now)
        return user.user_id


def add_account(session: Session, name: str, owner_user_id: int, now: int) -> int:
    """Make an account with its owner and plan."""
    account = Account(name=name, created_at_ms=now)
    session.add(account)
    session.flush()
    session.add(_membership(account.account_id, owner_user_id, MemberRole.OWNER, now))
    session.add(BillingProfile(account_id=account.account_id, owner_user_id=owner_user_id, plan_code=FREE_PLAN))
    write_entry(session, Action.USER_CREATED, now, actor=owner_user_id, account_id=account.account_id)
    return account.account_id


def add_confirmed_user(session: Session, email: str, name: str, password_hash: str, now: int) -> User:
    """Make a person whose address a link has confirmed: part of accepting an invitation."""
    user = _add_user(session, email, name, password_hash, now)
    session.flush()
    write_entry(session, Action.USER_CREATED, now, actor=user.user_id)
    return user


# -- passwords -------------------------------------------------------------------------------------------------------


def check_login(services: Services, email: str, password: str) -> User | None:
    """The active user with this address and password. Takes as long for an address that nobody has."""
    with reading(services.engine) as session:
        user = find_user(session, email.strip().lower())
    right = is_password(user.password_hash if user is not None else None, password)
    if user is None or not right or user.state != "active":
        return None
    if needs_new_hash(user.password_hash):
        with writing(services.engine) as session:
            session.get_one(User, user.user_id).password_hash = hash_password(password)
    return user


def ask_for_reset(services: Services, email: str) -> None:
    """Send a link for a new password, if the address has an account. Raises `FormError` for what is no address."""
    _ask(services, "accounts.reset", clean_email(email))


@task("accounts.reset", attempts=5, first_delay_s=10, deadline_s=60)
def _answer_reset(run: TaskRun, *, email: str) -> None:
    services = run.services
    with writing(services.engine) as session:
        user = find_user(session, email)
        if user is None or user.state != "active":
            return
        token = make_token(session, TokenPurpose.RESET_PASSWORD, now_ms(), user_id=user.user_id)
        services.mailer.queue(
            session, email, "reset_password", name=user.name, link=reset_link(services, token), expires_in="an hour"
        )


def reset_link(services: Services, token: str) -> str:
    """Where a reset token is used."""
    return f"{services.settings.snippet_base}/reset/finish?token={token}"


def check_reset_link(services: Services, token: str, now: int) -> None:
    """Raises `LinkInvalid` for a link that cannot be used."""
    with reading(services.engine) as session:
        look_at_token(session, TokenPurpose.RESET_PASSWORD, token, now)


def reset_password(services: Services, token: str, password: str, now: int) -> int:
    """Set a new password by a link; ends every login of the user. Raises `LinkInvalid`, `FormError`."""
    with reading(services.engine) as session:
        row = look_at_token(session, TokenPurpose.RESET_PASSWORD, token, now)
        user = session.get_one(User, row.user_id)
    check_strength(password, user.email, user.name)
    hashed = hash_password(password)
    with writing(services.engine) as session:
        use_token(session, TokenPurpose.RESET_PASSWORD, token, now)
        user = session.get_one(User, user.user_id)
        user.password_hash = hashed
        end_logins(session, user.user_id)
        drop_tokens(session, user.user_id, TokenPurpose.SECOND_FACTOR, TokenPurpose.CHANGE_EMAIL)
        write_entry(session, Action.PASSWORD_RESET, now, actor=user.user_id)
        services.mailer.queue(
            session,
            user.email,
            "password_changed",
            name=user.name,
            login_link=_login_link(services),
            reset_link=_reset_form(services),
        )
    return user.user_id


def change_password(services: Services, user_id: int, session_id: int, current: str, password: str, now: int) -> None:
    """Set a new password by the current one; ends the user's other logins. Raises `FormError`."""
    user = confirm_password(services, user_id, current, "current")
    check_strength(password, user.email, user.name)
    hashed = hash_password(password)
    with writing(services.engine) as session:
        user = session.get_one(User, user_id)
        user.password_hash = hashed
        end_logins(session, user_id, but=session_id)
        drop_tokens(session, user_id, *TokenPurpose)
        write_entry(session, Action.PASSWORD_CHANGED, now, actor=user_id)
        services.mailer.queue(
            session,
            user.email,
            "password_changed",
            name=user.name,
            login_link=_login_link(services),
            reset_link=_reset_form(services),
        )


def confirm_password(services: Services, user_id: int, password: str, field: str = "password") -> User:
    """The user, when the password is theirs: asked for before anything that could lock them out. Raises `FormError`."""
    with reading(services.engine) as session:
        user = session.get_one(User, user_id)
    if not is_password(user.password_hash, password):
        raise FormError(field, "This is not your password.")
    return user


# -- name and mail address -------------------------------------------------------------------------------------------


def change_name(services: Services, user_id: int, name: str) -> None:
    """Raises `FormError`."""
    name = clean_name(name)
    with writing(services.engine) as session:
        session.get_one(User, user_id).name = name


def ask_for_new_email(services: Services, user_id: int, password: str, email: str) -> None:
    """Send a link to the new address; the old one stays until it is opened. Raises `FormError`."""
    email = clean_email(email)
    user = confirm_password(services, user_id, password)
    if email == user.email:
        raise FormError("email", "This is your address already.")
    with writing(services.engine) as session:
        services.tasks.enqueue(session, "accounts.new_email", arguments={"user_id": user_id, "email": email})


@task("accounts.new_email", attempts=5, first_delay_s=10, deadline_s=60)
def _answer_new_email(run: TaskRun, *, user_id: int, email: str) -> None:
    services = run.services
    with writing(services.engine) as session:
        user = session.get(User, user_id)
        if user is None:
            return
        if find_user(session, email) is not None:
            services.mailer.queue(
                session, email, "already_registered", login_link=_login_link(services), reset_link=_reset_form(services)
            )
            return
        drop_tokens(session, user_id, TokenPurpose.CHANGE_EMAIL)
        token = make_token(session, TokenPurpose.CHANGE_EMAIL, now_ms(), user_id=user_id, email=email)
        link = f"{services.settings.snippet_base}/email/confirm?token={token}"
        services.mailer.queue(session, email, "change_email", name=user.name, link=link, expires_in="a day")


def new_email_of(services: Services, token: str, now: int) -> str:
    """The address that a confirmation link was sent to. Raises `LinkInvalid`."""
    with reading(services.engine) as session:
        return look_at_token(session, TokenPurpose.CHANGE_EMAIL, token, now).email


def change_email(services: Services, token: str, now: int) -> None:
    """Take the new address, and tell the old one. Raises `LinkInvalid`, also when the address was taken meanwhile."""
    with writing(services.engine) as session:
        row = use_token(session, TokenPurpose.CHANGE_EMAIL, token, now)
        if find_user(session, row.email) is not None:
            raise LinkInvalid
        user = session.get_one(User, row.user_id)
        old, user.email = user.email, row.email
        # A reset link that waits in the old mailbox must not open the account any more.
        drop_tokens(session, user.user_id, TokenPurpose.RESET_PASSWORD)
        write_entry(session, Action.EMAIL_CHANGED, now, actor=user.user_id)
        services.mailer.queue(session, old, "email_change_notice", name=user.name, login_link=_login_link(services))


def find_user(session: Session, email: str) -> User | None:
    """The user with this address, given in lower case."""
    return session.execute(select(User).where(User.email == email)).scalar()


def count_users(session: Session) -> int:
    """How many people there are."""
    return session.execute(select(func.count()).select_from(User)).scalar_one()


def account_name(name: str, email: str) -> str:
    """What a new account is called until somebody renames it."""
    return name or email.partition("@")[0]


def _ask(services: Services, kind: str, email: str) -> None:
    # One request per address is under way at a time, however often it is sent; the address is no part of the key.
    key = f"{kind}:{hashlib.sha256(email.encode()).hexdigest()}"
    with writing(services.engine) as session:
        services.tasks.enqueue(session, kind, arguments={"email": email}, unique_key=key)


def _login_link(services: Services) -> str:
    return f"{services.settings.snippet_base}/login"


def _reset_form(services: Services) -> str:
    return f"{services.settings.snippet_base}/reset"


def _add_user(session: Session, email: str, name: str, password_hash: str, now: int) -> User:
    user = User(email=email, name=name, password_hash=password_hash, email_confirmed_at_ms=now, created_at_ms=now)
    session.add(user)
    return user


def _membership(account_id: int, user_id: int, role: MemberRole, now: int) -> Membership:
    return Membership(account_id=account_id, user_id=user_id, role=role, created_at_ms=now)
