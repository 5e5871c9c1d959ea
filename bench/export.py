"""What a long conversation costs to export and import: python -m bench.export [--messages N].

The export's memory is that of the functions' process while a client downloads, above what the
process had before, for a tenth of the messages and for all of them: bounded means that the two
don't differ by ten. Beside it, what the file itself would take. The import goes into another
account, against as many bare inserts in one transaction.
"""

import argparse
import io
import json
import time
import uuid
import zipfile
from dataclasses import dataclass

import httpx
import psutil
import psycopg

from local.stack import Stack
from tests.support.stack import running_stack

MEGABYTE = 1024 * 1024
CHARS = 2000
FORMATS = ("json", "markdown")
FILL = """
insert into messages (conversation_id, user_id, role, content, metadata)
select c.id, c.user_id, 'user', left(repeat(md5(n::text), 1 + %(chars)s / 32), %(chars)s),
       '{"n": 1}'
from conversations as c, generate_series(1, %(count)s) as n
where c.id = %(id)s
"""
BARE = """
create table if not exists bench_rows (id uuid default gen_random_uuid() primary key,
    role text, content text, metadata jsonb, created_at timestamptz default now());
insert into bench_rows (role, content, metadata)
select role, content, metadata from messages where conversation_id = '{id}'
"""


@dataclass
class Account:
    """A user with a client of the functions."""

    id: str
    http: httpx.Client


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=10_000)
    messages = parser.parse_args().messages
    with running_stack() as stack, psycopg.connect(stack.settings.db_url, autocommit=True) as db:
        measure(stack, db, messages)


def measure(stack: Stack, db: psycopg.Connection, messages: int) -> None:
    """Export a tenth, then all; import all of it elsewhere."""
    owner, other = sign_up(stack), sign_up(stack)
    functions = functions_process(stack)
    small, large = (conversation(owner, db, count) for count in (messages // 10, messages))
    for export_format in FORMATS:  # so that nothing is loaded for the first time below
        download(owner, functions, small, export_format)
    for export_format in FORMATS:
        for count, one in ((messages // 10, small), (messages, large)):
            size, seconds, growth = download(owner, functions, one, export_format)
            print(
                f"export {export_format:9} {count:7} messages  {size / MEGABYTE:7.1f} MB  "
                f"{seconds:6.2f} s  memory +{growth / MEGABYTE:.1f} MB"
            )
    file = owner.http.get("/export-conversation", params={"conversationId": large}).content
    started = time.perf_counter()
    answer = other.http.post(
        "/import-conversation", content=file, headers={"content-type": "application/json"}
    )
    taken = time.perf_counter() - started
    assert answer.json()["messages"] == messages, answer.text
    started = time.perf_counter()
    db.execute(BARE.format(id=large).encode())
    bare = time.perf_counter() - started
    print(f"import {messages} messages {taken:.2f} s   bare inserts {bare:.2f} s   "
          f"ratio {taken / bare:.1f}")  # fmt: skip
    account(owner, functions)


def account(owner: Account, functions: psutil.Process) -> None:
    """Export everything as a zip."""
    before, peak = functions.memory_info().rss, 0
    started, content = time.perf_counter(), io.BytesIO()
    with owner.http.stream("GET", "/export-account") as answer:
        for chunk in answer.iter_bytes():
            content.write(chunk)
            peak = max(peak, functions.memory_info().rss)
    seconds = time.perf_counter() - started
    counts = json.loads(zipfile.ZipFile(content).read("manifest.json"))["counts"]
    print(
        f"account zip {counts['messages']} messages  {content.tell() / MEGABYTE:.1f} MB  "
        f"{seconds:.2f} s  memory +{max(0, peak - before) / MEGABYTE:.1f} MB"
    )


def download(
    owner: Account, functions: psutil.Process, conversation: str, export_format: str
) -> tuple[int, float, int]:
    """Download a conversation; return its bytes, the seconds, and how far the process grew."""
    before, peak, size = functions.memory_info().rss, 0, 0
    started = time.perf_counter()
    query = {"conversationId": conversation, "format": export_format}
    with owner.http.stream("GET", "/export-conversation", params=query) as answer:
        for chunk in answer.iter_bytes():
            size += len(chunk)
            peak = max(peak, functions.memory_info().rss)
    return size, time.perf_counter() - started, max(0, peak - before)


def functions_process(stack: Stack) -> psutil.Process:
    """Return the process that serves the functions."""
    process = stack.functions.process()
    assert process is not None
    return process


def sign_up(stack: Stack) -> Account:
    """Make an account."""
    environment = stack.settings.environment()
    public = {"apikey": environment["SUPABASE_PUBLISHABLE_KEY"]}
    made = {"email": f"{uuid.uuid4().hex}@example.com", "password": uuid.uuid4().hex}
    session = httpx.post(f"{stack.settings.url}/auth/v1/signup", headers=public, json=made).json()
    return Account(
        session["user"]["id"],
        httpx.Client(
            base_url=f"{stack.settings.url}/functions/v1",
            headers={"authorization": f"Bearer {session['access_token']}"},
            timeout=600,
        ),
    )


def conversation(owner: Account, db: psycopg.Connection, count: int) -> str:
    """Make a conversation of so many messages of 2,000 characters."""
    made = owner.http.post("/conversations", json={"title": f"{count} messages"}).json()
    row = str(made["conversation"]["id"])
    for _ in range(0, count, 500):  # short transactions: each message updates its conversation
        db.execute(FILL, {"id": row, "count": min(500, count), "chars": CHARS})
    return row


if __name__ == "__main__":
    main()
