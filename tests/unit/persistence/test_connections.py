"""URLs of Postgres as hosts, libraries and people write them; and connections at rest."""

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from shared.config import ConfigurationError
from shared.persistence import connections
from shared.persistence.connections import Connections
from tests.support.unit_settings import unit_settings
from tests.support.waiting import until

USER = "postgres://postgres.abc:p%40ss@"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{USER}h:6543/postgres?pgbouncer=true", {"port": "6543"}),
        (f"{USER}h/db?connection_limit=1&sslmode=require&supa=base", {"sslmode": "require"}),
        (f"{USER}h", {"dbname": "postgres"}),
        (f"{USER}[::1]:5432/db\n", {"host": "::1", "dbname": "db"}),
        (f" {USER}h1:1,h2:2/db?target_session_attrs=read-write", {"host": "h1,h2", "port": "1,2"}),
        (f"{USER}h/db?connect_timeout=9", {"connect_timeout": "9"}),
        (f"{USER}/db?host=/run/postgresql", {"host": "/run/postgresql"}),
    ],
)
def test_what_hosts_give_is_what_libpq_takes(url: str, expected: dict[str, str]) -> None:
    """Parameters of other drivers are left out, no others; spaces around it are none of it."""
    settings = unit_settings(supabase_db_url=url)
    assert settings.supabase_db_url is not None
    read = conninfo_to_dict(Connections(settings.supabase_db_url.get_secret_value())._conninfo)
    account = {"user": "postgres.abc", "password": "p@ss"}
    assert {name: read[name] for name in account | expected} == account | expected


@pytest.mark.parametrize(
    "address",
    ["u:p@word@h/db", "u:p/word@h/db", "u:%word@h/db", "u:p@h/db?sslmod=word", "u:p@h:word/db"],
)
def test_a_url_that_is_none_is_refused_without_its_password(address: str) -> None:
    """When the process starts, and before a part of it is asked for as a host."""
    with pytest.raises(ConfigurationError, match="percent-encoded") as refused:
        Connections(f"postgresql://{address}")
    assert "word" not in str(refused.value).replace("password", "")


async def test_a_process_at_rest_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """In session mode each holds one of the pooler's, which others wait for."""
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.01)
    kept = Connections(USER + "h")
    near, far = socket.socketpair()
    connection: Any = SimpleNamespace(
        info=SimpleNamespace(transaction_status=TransactionStatus.IDLE),
        fileno=near.fileno,
        pgconn=SimpleNamespace(finish=near.close),
    )
    await kept.give_back(connection)
    await until(lambda: near.fileno() == -1)
    far.close()
    assert kept._idle == []
