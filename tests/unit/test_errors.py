"""The error tree: codes, statuses and messages that callers may rely on."""

import re

import pytest

from shared import errors
from shared.errors import (
    AppError,
    StoreUnavailableError,
    TurnInProgressError,
    UnauthorizedError,
    every_error,
)

EVERY = sorted(
    {error for error in every_error() if error.__module__.startswith(errors.__name__)},
    key=lambda error: error.__name__,
)

# What callers see: changing any of it breaks somebody.
CODES = {
    "checksum_mismatch": 400,
    "conversation_not_found": 404,
    "forbidden": 403,
    "idempotency_key_reused": 422,
    "import_busy": 503,
    "import_incomplete": 409,
    "search_too_broad": 422,
    "internal_error": 500,
    "invalid_import": 400,
    "branch_not_found": 404,
    "message_not_editable": 422,
    "turn_superseded": 409,
    "invalid_request": 400,
    "legal_hold": 409,
    "legal_hold_not_found": 404,
    "message_not_found": 404,
    "method_not_allowed": 405,
    "not_found": 404,
    "payload_too_large": 413,
    "pdf_not_installed": 501,
    "pdf_busy": 503,
    "pdf_too_large": 422,
    "reply_not_stored": 503,
    "retention_policy_not_found": 404,
    "schema_behind": 503,
    "schema_not_served": 503,
    "store_unavailable": 503,
    "too_many_turns": 429,
    "too_many_requests": 429,
    "too_many_tokens": 429,
    "too_many_bytes": 429,
    "turn_in_progress": 409,
    "turn_not_found": 404,
    "unauthorized": 401,
    "unavailable": 503,
    "unsupported_media_type": 415,
    "request_too_slow": 408,
    "user_not_found": 404,
}


def test_codes_are_unique_stable_words() -> None:
    """Each names one error, and its status is the documented one."""
    assert len({error.code for error in EVERY}) == len(EVERY)
    assert {error.code: error.status for error in EVERY} == CODES


@pytest.mark.parametrize("error", EVERY)
def test_the_docstring_is_the_public_message(error: type[AppError]) -> None:
    """One sentence on one line, in the body that Supabase clients know."""
    raised = error()
    assert raised.message == str(raised) == (error.__doc__ or "").strip()
    assert re.fullmatch(r"[A-Z][^\n]*[.]", raised.message)
    assert {
        "code": error.code,
        "message": raised.message,
        "details": None,
        "hint": None,
    }.items() <= raised.body().items()


def test_an_error_carries_what_it_is_given() -> None:
    """Message, details, hint and Retry-After."""
    error = TurnInProgressError("Busy.", details={"turnId": "1"}, hint="Wait.", retry_after=7)
    assert error.body() == {
        "code": "turn_in_progress",
        "message": "Busy.",
        "details": {"turnId": "1"},
        "hint": "Wait.",
    }
    assert error.headers() == {"Retry-After": "7"}


def test_headers_say_when_to_come_back_and_how_to_sign_in() -> None:
    """What is down by default in two seconds; a 401 has its challenge."""
    assert StoreUnavailableError().headers() == {"Retry-After": "2"}
    assert StoreUnavailableError(retry_after=9).headers() == {"Retry-After": "9"}
    assert UnauthorizedError().headers() == {"WWW-Authenticate": "Bearer"}


def test_an_error_says_whether_the_same_call_may_succeed_later() -> None:
    """A limit, an outage and a turn that runs pass; what is wrong with a request does not."""
    lasting = {error().code for error in EVERY if not error().retryable}
    assert {error.code for error in EVERY} - lasting == {
        "import_busy", "internal_error", "pdf_busy", "reply_not_stored", "request_too_slow",
        "schema_behind", "schema_not_served", "store_unavailable", "too_many_bytes",
        "too_many_requests", "too_many_tokens", "too_many_turns", "turn_in_progress", "unavailable",
    }  # fmt: skip
