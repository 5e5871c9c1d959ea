"""Into a project that `supabase init` has made, with things of its own, on a Postgres 17.

One run, by the real CLI, from a push of the project's own migrations to a removal; each test
looks at what its steps have left.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local.node import NODE
from local.settings import ROOT
from tests.support.catalog import describe, difference
from tests.support.clients import CLIENTS, install_clients
from tests.support.installed import contents
from tests.support.postgres import programs_of, running_server
from tests.support.project_stack import ProjectStack
from tests.support.supabase_cli import Cli

SCHEMA = "chat"

# What everybody has: a table of messages, a health function, a policy on Realtime's table, a schema
# for what isn't served; and of the names that ours have, as many as fit.
NOTES = """
create table public.messages (
    id bigint generated always as identity primary key,
    user_id uuid not null default auth.uid(),
    body text not null
);
alter table public.messages enable row level security;
create policy select_own on public.messages for select to authenticated
    using (user_id = (select auth.uid()));
grant select on table public.messages to authenticated;
insert into public.messages (user_id, body)
select gen_random_uuid(), 'row ' || n from generate_series(1, 200) as n;

create schema private;
comment on schema private is 'Not served.';
create function private.require_self() returns boolean language sql as 'select true';
create function public.ping() returns text language sql as $$ select 'pong' $$;
create extension pg_trgm with schema public;
create policy listen_to_own_conversation on realtime.messages for select to authenticated
    using (realtime.topic() = 'lobby');
"""
LATER = "alter table public.messages add column is_read boolean not null default false;\n"
ROWS = "select md5(string_agg(m::text, ',' order by id)) from public.messages as m"
HEALTH = 'Deno.serve(() => new Response("ok"));\n'


FUNCTIONS = {
    "health/index.ts": 'Deno.serve(() => new Response("ok"));\n',
    "_shared/cors.ts": "export const cors = {};\n",
}
CONFIGURED = "\n# of the project\n[functions.health]\nverify_jwt = true # theirs\n"


@dataclass
class Adopter:
    """Somebody with a project: what they did, and what was there after each step."""

    cli: Cli
    stack: ProjectStack
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    databases: dict[str, tuple[str, str]] = field(default_factory=dict)
    pushed: dict[str, list[str]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)

    def install(self, step: str, *options: str) -> None:
        """Run our program, as its page says."""
        where = ["--into", str(self.cli.workdir), "--database-url", self.stack.db_url]
        done = self.run(sys.executable, "-m", "shared.install", *where, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        self.said[step] = done.stdout
        self.look(step)

    def push(self, step: str) -> None:
        """Push what the folder has and the database lacks."""
        self.pushed[step] = self.cli.ask("db", "push", url=self.stack.db_url)["migrations"]
        self.look(step)

    def look(self, step: str) -> None:
        """Note what the files are and what the project's own tables and rows are."""
        files = contents(self.cli.workdir / "supabase")
        own = {name: text for name, text in files.items() if not name.startswith(".temp/")}
        self.files[step] = own
        with psycopg.connect(self.stack.db_url) as connection:
            (rows,) = connection.execute(ROWS.encode()).fetchone() or ("",)
            self.databases[step] = (describe(connection, ("public", "private")), rows)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program with the service's settings."""
        environment = {**os.environ, **self.stack.environment}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )

    def rows(self, table: str, **columns: Any) -> httpx.Response:
        """Read a table of ours as the user, or insert a row, as supabase-js would."""
        profile = {"Accept-Profile": SCHEMA, "Content-Profile": SCHEMA}
        headers = {**self.stack.headers(self.seen["token"]), **profile}
        url = f"{self.stack.url}/rest/v1/{table}"
        if columns:
            return httpx.post(url, json=columns, headers=headers)
        return httpx.get(url, params={"select": "*", "order": "created_at"}, headers=headers)

    def call(self, function: str, **body: Any) -> dict[str, Any]:
        """Call a function of ours as the user."""
        url = f"{self.stack.url}/functions/v1/{function}"
        answer = httpx.post(
            url, json=body, headers=self.stack.headers(self.seen["token"]), timeout=30
        )
        assert answer.status_code == 200, answer.text
        seen: dict[str, Any] = answer.json()
        return seen


@pytest.fixture(scope="module")
def adopter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adopter]:
    """All of it, once."""
    install_clients()
    programs = programs_of(17)
    if programs is None:
        pytest.skip("no PostgreSQL 17 server on this machine (only its programs are needed)")
    folder = tmp_path_factory.mktemp("app")
    cli = Cli(CLIENTS / "node_modules" / ".bin" / "supabase", folder)
    with running_server(programs) as server, ProjectStack.on(server, SCHEMA) as stack:
        adopter = Adopter(cli, stack)
        begin(adopter)
        install(adopter)
        use(adopter)
        remove(adopter)
        yield adopter


def begin(adopter: Adopter) -> None:
    """Make the project, with things of its own that are pushed already."""
    assert adopter.cli.run("init").returncode == 0
    supabase = adopter.cli.workdir / "supabase"
    files = {f"functions/{name}": text for name, text in FUNCTIONS.items()}
    files |= {"migrations/20250101000000_notes.sql": NOTES, "seed.sql": "select 1;\n"}
    for name, text in files.items():
        path = supabase / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    config = supabase / "config.toml"
    config.write_text(config.read_text() + CONFIGURED)
    adopter.push("begun")


def install(adopter: Adopter) -> None:
    """As the page has it: a rehearsal, the install, a second run, a push; and a push of theirs."""
    adopter.install("rehearsed", "--schema", SCHEMA, "--dry-run")
    adopter.install("installed", "--schema", SCHEMA)
    adopter.install("again")
    adopter.push("pushed")
    adopter.install("after the push")
    adopter.push("pushed again")


def use(adopter: Adopter) -> None:
    """Sign up, have a turn, load, search; an application of supabase-js; the doctor."""
    adopter.stack.serve()
    adopter.seen["token"] = adopter.stack.sign_up()
    turn = adopter.call("mega-mind", request="Where is the quarterly lighthouse report?")
    adopter.seen["turn"] = turn
    adopter.seen["loaded"] = adopter.call(
        "load-conversation", conversationId=turn["conversationId"]
    )
    adopter.seen["found"] = adopter.call("search-messages", q="lighthouse")
    adopter.seen["rows"] = adopter.rows("messages").json()
    url, key = adopter.stack.url, adopter.stack.publishable_key
    program = str(CLIENTS / "application.mjs")
    application = adopter.run(str(NODE), program, url, key, SCHEMA)
    assert application.returncode == 0, application.stderr
    adopter.seen["application"] = json.loads(application.stdout)
    adopter.seen["doctor"] = adopter.run(sys.executable, "-m", "shared.doctor")
    adopter.look("used")


def remove(adopter: Adopter) -> None:
    """First ours without its rows, then the rows too."""
    adopter.install("removed", "--remove")
    adopter.push("removal pushed")
    adopter.seen["kept"] = adopter.rows("messages").json()
    adopter.seen["refused"] = adopter.rows("conversations", title="New").status_code
    adopter.install("all removed", "--remove", "--with-data")
    adopter.push("all pushed")
    with psycopg.connect(adopter.stack.db_url) as connection:
        left = "select nspname from pg_namespace where nspname like 'chat%'"
        adopter.seen["left"] = connection.execute(left.encode()).fetchall()


@pytest.mark.promise("installing")
def test_the_projects_own_tables_and_rows_are_the_same_at_every_step(adopter: Adopter) -> None:
    """Catalog and checksum, but for our policy on Realtime's table, and extensions, which stay."""
    catalog, rows = adopter.databases["begun"]
    for step, (now, rows_now) in adopter.databases.items():
        assert difference(without_ours(catalog), without_ours(now)) == "", step
        assert rows_now == rows, step
    assert "chat_listen_to_own_conversation" in adopter.databases["used"][0]
    assert "chat_listen_to_own_conversation" not in adopter.databases["all pushed"][0]


def without_ours(catalog: str) -> str:
    """Leave out what an install adds beside the project's own."""
    ours = re.compile(r"\w+ (?:chat|btree_gin|pg_trgm)")
    return "\n".join(line for line in catalog.split("\n") if not ours.match(line))


def test_the_projects_own_files_are_the_same_at_every_step(adopter: Adopter) -> None:
    """Byte for byte; config.toml has more in it while ours is there, and nothing less."""
    begun = adopter.files["begun"]
    for step, files in adopter.files.items():
        changed = {name for name, text in begun.items() if files.get(name) != text}
        is_there = step not in {"begun", "rehearsed", "all removed", "all pushed"}
        assert changed == ({"config.toml"} if is_there else set()), step
    added = adopter.files["all removed"].keys() - begun.keys()
    assert {Path(name).parent for name in added} == {Path("migrations")}


def test_each_push_brings_what_was_written_and_no_more(adopter: Adopter) -> None:
    """By the real CLI, without asking for a repair or for --include-all."""
    ours = [Path(n).name for n in sorted(adopter.files["installed"]) if "_persistence_" in n]
    migrations = [name for name in ours if name.endswith(".sql")]
    assert adopter.pushed["begun"] == ["20250101000000_notes.sql"]
    assert adopter.pushed["pushed"] == migrations
    assert adopter.pushed["pushed again"] == []
    for step in ("removal pushed", "all pushed"):
        assert [name.partition("_")[2] for name in adopter.pushed[step]] == [
            "remove_message_persistence_policy.sql",
            "remove_message_persistence.sql",
        ]


def test_a_rehearsal_and_a_second_run_write_nothing(adopter: Adopter) -> None:
    """Before and after the push."""
    assert adopter.files["rehearsed"] == adopter.files["begun"]
    assert adopter.files["again"] == adopter.files["installed"] == adopter.files["after the push"]
    assert "chat  is in the database" in adopter.said["after the push"]
    assert "health is the project's own" in " ".join(adopter.said["installed"].split())


def test_a_turn_is_stored_loaded_and_found_in_the_schema(adopter: Adopter) -> None:
    """The function's answer, the page of the conversation, and the table read by its owner."""
    turn, rows = adopter.seen["turn"], adopter.seen["rows"]
    assert turn["success"] is True
    assert rows == [turn["userMessage"], turn["message"]] == adopter.seen["loaded"]["messages"]
    (hit,) = [h for h in adopter.seen["found"]["hits"] if h["role"] == "user"]
    assert hit["messageId"] == rows[0]["id"]


def test_an_application_that_names_the_schema_works_unmodified(adopter: Adopter) -> None:
    """supabase-js with `db: { schema }`: tables, functions and the private channel."""
    seen = adopter.seen["application"]
    assert seen["messages"] == [seen["turn"]["userMessage"], seen["turn"]["message"]]
    assert seen["joined"]["status"] == "SUBSCRIBED"
    assert seen["refused"]["status"] != "SUBSCRIBED"
    statuses = [e["payload"]["status"] for e in seen["events"] if e["event"] == "status"]
    assert (statuses[0], statuses[-1]) == ("accepted", "idle")
    assert (seen["unseen"], seen["missing"]) == ([], 404)


def test_the_doctor_finds_all_well(adopter: Adopter) -> None:
    """In the schema that DATABASE_SCHEMA names."""
    doctor = adopter.seen["doctor"]
    assert (doctor.returncode, doctor.stderr) == (0, "")
    assert "All is well." in doctor.stdout


def test_a_removal_leaves_the_rows_to_be_read_and_a_second_one_nothing(adopter: Adopter) -> None:
    """The owner reads them as before and writes no more; with the data, the schemas go."""
    assert adopter.seen["kept"] == adopter.seen["rows"]
    assert adopter.seen["refused"] == 403
    assert adopter.seen["left"] == []
