"""Every rule of the retry table, the driver's own errors, and the delays."""

from __future__ import annotations

import errno
import ssl

import pytest
from clickhouse_driver import errors as driver_errors

from server.retry import RULES, Backoff, EarlierSendRunning, SchemaMismatch, TokensUsedUp, Verdict, classify


@pytest.mark.parametrize("code", sorted(RULES))
def test_each_code_of_the_table_is_classified_by_it(code: int) -> None:
    failure = classify(driver_errors.ServerException("DB::Exception: no. Stack trace:\n0. ?", code))
    assert failure.verdict is RULES[code].verdict
    assert failure.label == RULES[code].name.lower()
    assert failure.message == "DB::Exception: no."
    assert RULES[code].why


def test_the_codes_agree_with_the_drivers_table() -> None:
    names = {value: name for name, value in vars(driver_errors.ErrorCodes).items() if name.isupper()}
    renamed = {201, 285}  # renamed by ClickHouse since the driver took its list
    assert {code: RULES[code].name for code in RULES if code in names and code not in renamed} == {
        code: name for code, name in names.items() if code in RULES and code not in renamed
    }


@pytest.mark.parametrize(
    ("error", "verdict", "label"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), Verdict.RETRY, "network"),
        (BrokenPipeError(), Verdict.RETRY, "network"),
        (TimeoutError("timed out"), Verdict.RETRY, "network"),
        (EOFError("Unexpected EOF while reading bytes"), Verdict.RETRY, "network"),
        (driver_errors.NetworkError("x"), Verdict.RETRY, "network"),
        (driver_errors.SocketTimeoutError("x"), Verdict.RETRY, "network"),
        (driver_errors.UnexpectedPacketFromServerError("x"), Verdict.RETRY, "unexpected_packet_from_server"),
        (ssl.SSLCertVerificationError("self-signed"), Verdict.SCHEMA, "tls_certificate"),
        (driver_errors.NetworkError("[SSL: CERTIFICATE_VERIFY_FAILED] x"), Verdict.SCHEMA, "tls_certificate"),
        (SchemaMismatch("x"), Verdict.SCHEMA, "schema_mismatch"),
        (EarlierSendRunning("x"), Verdict.RETRY, "earlier_send_running"),
        (TokensUsedUp("x"), Verdict.RETRY, "tokens_used_up"),
        (driver_errors.ServerException("new", 99_999), Verdict.DOUBTFUL, "code_99999"),
        (ValueError("ours"), Verdict.DOUBTFUL, "valueerror"),
    ],
)
def test_errors_outside_the_table(error: Exception, verdict: Verdict, label: str) -> None:
    failure = classify(error)
    assert (failure.verdict, failure.label) == (verdict, label)
    assert failure.message


def test_delays_double_up_to_the_limit_and_start_again() -> None:
    backoff = Backoff(first_s=1.0, longest_s=10.0, draw=lambda low, high: high)
    assert [backoff.next_s() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    backoff.reset()
    assert backoff.next_s() == 1.0


def test_delays_are_spread() -> None:
    backoff = Backoff(first_s=8.0, longest_s=8.0)
    delays = {backoff.next_s() for _ in range(100)}
    assert len(delays) > 90
    assert all(4.0 <= delay <= 8.0 for delay in delays)


def test_a_month_of_failures_does_not_overflow() -> None:
    assert Backoff(failures=10**6).next_s() <= 30.0
