"""What an answer of Postgres itself stands for."""

from types import SimpleNamespace

import psycopg
import pytest

from shared.errors import InternalError, StoreUnavailableError
from shared.persistence.postgres import _meaning


class Refusal(psycopg.Error):
    """An error as the server sent it."""

    def __init__(self, code: str, message: str, context: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = code
        self._sent = SimpleNamespace(message_primary=message, context=context)

    @property
    def diag(self) -> SimpleNamespace:  # type: ignore[override]
        """What psycopg reads from the answer."""
        return self._sent


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("42501", 'permission denied to set role "service_role"'),
        ("42501", "keine Berechtigung, um Rolle »service_role« zu setzen"),
        ("22023", "le rôle « service_role » n'existe pas"),
    ],
)
def test_a_role_that_can_not_be_set_is_said_in_any_language(code: str, message: str) -> None:
    """It is the deployment that is wrong: the call may succeed later."""
    meant = _meaning(Refusal(code, message), "ping", "service_role")
    assert isinstance(meant, StoreUnavailableError)
    assert meant.reason == message


def test_what_a_function_itself_says_of_a_role_is_its_own() -> None:
    """A role that it names is none that the call was to be made as."""
    refusal = Refusal("42501", 'permission denied: "service_role"', "PL/pgSQL function ping()")
    assert isinstance(_meaning(refusal, "ping", "service_role"), InternalError)
