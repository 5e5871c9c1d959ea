"""The keys of imports in SQL: each is claimed once, also by two at the same time."""

import hashlib
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from local import database
from tests.support.sql_calls import make_account

pytest_plugins = ["tests.support.scratch"]

HASH = hashlib.sha256(b"key").hexdigest()


def stage(db: psycopg.Connection, owner: str) -> str:
    """Stage a conversation under a key; return the import's id."""
    import_id, conversation = str(uuid.uuid4()), str(uuid.uuid4())
    header = {
        "id": conversation, "title": "T", "metadata": "{}", "last_seq": 1, "key_hash": HASH,
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z",
        "imported": {"source": "list", "id": "key"},
    }  # fmt: skip
    message = {
        "conversation_id": conversation, "role": "user", "content": "x", "metadata": "{}",
        "created_at": "2020-01-01T00:00:00Z",
    }  # fmt: skip
    db.execute(
        "select public.stage_import(%s, %s, 0, %s, %s)",
        (owner, import_id, json.dumps([header]), json.dumps([message])),
    )
    return import_id


def commit(db: psycopg.Connection, owner: str, import_id: str) -> dict[str, Any]:
    """Commit an import of one conversation; return what became of it."""
    row = db.execute("select public.commit_import(%s, %s, 1)", (owner, import_id)).fetchone()
    assert row is not None
    (outcome,) = row[0]["conversations"]
    return dict(outcome)


@pytest.mark.promise("one key, one effect", red="`claim_import_keys` looks before it inserts")
def test_a_retry_that_waits_for_the_first_brings_back_nothing_that_was_deleted(
    shaped_url: str,
) -> None:
    """Committed and deleted while the second waited: it is gone for the second, too."""
    database.migrate(shaped_url)
    with (
        psycopg.connect(shaped_url, autocommit=True) as db,
        psycopg.connect(shaped_url) as first,
        psycopg.connect(shaped_url, autocommit=True) as second,
        ThreadPoolExecutor(1) as pool,
    ):
        owner = make_account(db)
        imports = [stage(db, owner), stage(db, owner)]
        db.execute("alter function public.commit_import reset lock_timeout")
        assert commit(first, owner, imports[0])["is_taken"] is True
        first.execute("delete from public.conversations where user_id = %s", (owner,))
        waiting = pool.submit(commit, second, owner, imports[1])
        pid = second.info.backend_pid
        while db.execute("select cardinality(pg_blocking_pids(%s))", (pid,)).fetchone() == (0,):
            assert not waiting.done()
        first.commit()
        outcome = waiting.result(timeout=60)
        assert (outcome["is_taken"], outcome["known_id"]) == (False, None)
        assert db.execute("select count(*) from public.conversations").fetchone() == (0,)
