"""A project that has chat tables of its own already, on a database of the test's own."""

import csv
import hashlib
import io
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from local import database
from local.settings import ROOT
from shared.adoption.__main__ import main
from shared.adoption.tables import LEGACY
from tests.support.invariants import counts_of, found_broken
from tests.support.postgres import Server
from tests.support.scratch import MIGRATED

TABLES = """
create table public.conversations (
    id uuid primary key default gen_random_uuid(),
    title text,
    user_id uuid references auth.users,
    project_id uuid,
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);
create table public.messages (
    id uuid primary key default gen_random_uuid(),
    conversation_id uuid references public.conversations on delete cascade,
    user_id uuid,
    role text not null check (role in ('user', 'assistant', 'system')),
    content text,
    generated_code text,
    metadata jsonb,
    is_summary boolean default false,
    created_at timestamptz default now()
);
create index messages_conversation on public.messages (conversation_id, created_at);
alter table public.conversations enable row level security;
alter table public.messages enable row level security;
create policy own on public.conversations for all to authenticated using (user_id = auth.uid());
create policy own on public.messages for all to authenticated using (
    conversation_id in (select id from public.conversations where user_id = auth.uid())
);
grant all on public.conversations, public.messages to authenticated, service_role;
"""

# Three users, and ten conversations of each; every third message has the time of the one before.
ROWS = """
insert into auth.users (id) select md5('user ' || n)::uuid from generate_series(1, 3) as n;
insert into public.conversations (id, title, user_id, created_at, updated_at)
select md5('chat ' || u || ' ' || c)::uuid, 'Chat ' || c, md5('user ' || u)::uuid,
       '2023-01-01'::timestamptz + c * interval '1 day',
       '2023-01-01'::timestamptz + c * interval '1 day'
from generate_series(1, 3) as u, generate_series(1, %(chats)s) as c;
insert into public.messages
    (id, conversation_id, user_id, role, content, generated_code, metadata, created_at)
select md5(c.id || ' message ' || n)::uuid, c.id, c.user_id,
       case when n %% 2 = 1 then 'user' else 'assistant' end,
       'Word' || n || ' of ' || c.title, case when n %% 10 = 0 then 'print(1)' end,
       case when n %% 2 = 0 then jsonb_build_object('success', true, 'duration', n * 0.1) end,
       c.created_at + (n - case when n %% 3 = 0 then 1 else 0 end) * interval '1 second'
from public.conversations as c, generate_series(1, %(messages)s) as n;
"""

# What is stored, in an order and with everything that a copy may not change.
STORED = """
select to_jsonb(t) from (
    select c.id as conversation, c.user_id as owner, c.title, c.project_id, c.metadata as about,
           c.last_seq, c.created_at as begun, c.updated_at, c.archived_at, m.*
    from {0}.conversations as c left join {0}.messages as m on m.conversation_id = c.id
    order by c.id, m.seq
) as t
"""


def user_id(number: int) -> str:
    """Return the id of one of the users that ROWS makes."""
    return str(_md5(f"user {number}"))


def chat_id(user: int, chat: int = 1) -> str:
    """Return the id of one of their conversations."""
    return str(_md5(f"chat {user} {chat}"))


def _md5(text: str) -> uuid.UUID:
    return uuid.UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())


@dataclass
class Said:
    """What the program said, and its exit code."""

    code: int
    text: str
    listed: list[dict[str, str]]

    @property
    def reasons(self) -> dict[str, str]:
        """Return why each row was left out, by its id."""
        return {row["id"]: row["reason"] for row in self.listed}


class Project:
    """A database that is shaped like Supabase's, with tables of its own in public."""

    def __init__(self, url: str, folder: Path, old_schema: str) -> None:
        self.url = url
        self.owner_url = f"{url}?options=-c%20role%3Dpostgres"  # who is no superuser
        self.folder = folder
        self.old_schema = old_schema
        self.db = psycopg.connect(url, autocommit=True)

    def has(self, tables: str = TABLES, *, chats: int = 10, messages: int = 20) -> None:
        """Make old tables, as the owner; with rows, unless chats is 0."""
        with psycopg.connect(self.owner_url, autocommit=True) as owner:
            owner.execute(f"create schema if not exists {self.old_schema}".encode())
            owner.execute(self._moved(tables))
            if chats:
                with psycopg.ClientCursor(owner) as cursor:
                    cursor.execute(self._moved(ROWS), {"chats": chats, "messages": messages})

    def _moved(self, statements: str) -> bytes:
        return statements.replace("public.", f"{self.old_schema}.").encode()

    def says(self, chat: str | None, content: str | None = "Odd.", **columns: Any) -> str:
        """Insert an old message, and return its id."""
        values = {"id": str(uuid.uuid4()), "conversation_id": chat, "content": content,
                  "role": "user", **columns}  # fmt: skip
        self.insert("messages", **values)
        return str(values["id"])

    def insert(self, table: str, **values: Any) -> None:
        """Insert a row into an old table."""
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join(["%s"] * len(values))
        self.db.execute(
            f"insert into {self.old_schema}.{table} ({names}) values ({marks})".encode(),
            [Jsonb(v) if isinstance(v, dict | list) else v for v in values.values()],
        )

    def move_aside(self) -> Path:
        """Write the migration that moves the old tables, apply it, and then ours."""
        said = self.adopt("--write-migration", str(self.folder))
        assert said.code == 0, said.text
        (migration,) = self.folder.glob("*_move_old_chats_aside.sql")
        database.migrate(self.url, self.folder)
        database.migrate(self.url)
        self.old_schema = LEGACY
        return migration

    def adopt(self, *options: str) -> Said:
        """Run the program to its end, in this process."""
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = main(self.command(*options)[3:])
        listed = self.folder / "left-out.csv"
        rows = list(csv.DictReader(listed.open())) if listed.exists() else []
        return Said(code, said.getvalue(), rows)

    def command(self, *options: str) -> list[str]:
        """Return the program's command line."""
        listed = self.folder / "left-out.csv"
        listed.unlink(missing_ok=True)
        return [sys.executable, "-m", "shared.adoption", f"--database-url={self.owner_url}",
                f"--left-out={listed}", *options]  # fmt: skip

    def process(self) -> dict[str, Any]:
        """Return how its process is started."""
        return {"cwd": ROOT, "env": dict(os.environ), "text": True,
                "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}  # fmt: skip

    def stored(self, schema: str = "public") -> list[dict[str, Any]]:
        """Return every conversation and message of ours."""
        return [row[0] for row in self.db.execute(STORED.format(schema).encode()).fetchall()]

    def stored_message(self, message: str) -> dict[str, Any]:
        """Return a message of ours."""
        row = self.db.execute(
            "select to_jsonb(m) from public.messages as m where id = %s", (message,)
        ).fetchone()
        assert row is not None
        found: dict[str, Any] = row[0]
        return found

    def old_message(self, chat: str) -> str:
        """Return the id of an old message of this conversation."""
        row = self.db.execute(
            f"select id::text from {self.old_schema}.messages"
            " where conversation_id = %s limit 1".encode(), (chat,),
        ).fetchone()  # fmt: skip
        assert row is not None
        return str(row[0])

    def broken(self) -> dict[str, int]:
        """Return what the doctor finds."""
        return counts_of(found_broken(self.db))


def old_rows(project: Project) -> list[Any]:
    """Return a fingerprint of each old table."""
    return [
        project.db.execute(
            "select md5(string_agg(o::text, ';' order by o.id)), count(*)"
            f" from {project.old_schema}.{table} as o".encode()
        ).fetchone()
        for table in ("conversations", "messages")
    ]


@contextmanager
def new_project(server: Server, folder: Path) -> Iterator[Project]:
    """Make a project that has our tables, and whose old ones are moved aside already."""
    with server.database(MIGRATED) as url:
        made = Project(url, folder, LEGACY)
        made.db.execute(f"alter database {made.db.info.dbname} owner to postgres".encode())
        yield made
        made.db.close()


@pytest.fixture
def project(bare_server: Server, tmp_path: Path) -> Iterator[Project]:
    """A project that has our tables, and whose old ones are moved aside already."""
    with new_project(bare_server, tmp_path) as made:
        yield made


@pytest.fixture
def early_project(bare_server: Server, tmp_path: Path) -> Iterator[Project]:
    """A project that has nothing of ours yet, and has its old tables in public."""
    with bare_server.database() as url:
        database.shape(url)
        made = Project(url, tmp_path, "public")
        yield made
        made.db.close()
