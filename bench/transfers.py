"""What large imports and account exports cost: python -m bench.transfers [--conversations N].

A file of that many conversations of three messages, and one conversation of as many messages as
there are in --messages, are imported into one account. All of it is exported, in as many parts as
that takes, and each part is imported into another account. Printed are seconds and the most memory
that the functions' process had.
"""

import argparse
import io
import json
import os
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg

from bench.stack import HttpUser
from local.stack import Stack
from tests.support.stack import running_stack

MEGABYTE = 1024 * 1024
ZIP = {"content-type": "application/zip"}
SAID = "A question about the weather, and an answer that says something about it. "
MESSAGES = int(os.environ.get("TRANSFER_MESSAGES", "20000"))
CONVERSATIONS = int(os.environ.get("TRANSFER_CONVERSATIONS", "5000"))


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--conversations", type=int, default=CONVERSATIONS)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    sizes = parser.parse_args()
    with running_stack() as stack:
        measure(stack, sizes.conversations, sizes.messages)


def measure(stack: Stack, conversations: int, messages: int) -> None:
    """Import, export, and import again."""
    owner, other = HttpUser(stack), HttpUser(stack)
    functions = psutil.Process(stack.functions.process().pid)  # type: ignore[union-attr]
    with watched(functions, f"import of {conversations} conversations"):
        send(owner, zipped(many(conversations)))
    with watched(functions, f"import of one conversation of {messages} messages"):
        send(owner, zipped([one(messages)]))
    with watched(functions, "export of the account"):
        parts = list(exported(owner))
    sizes = ", ".join(f"{len(part) / MEGABYTE:.1f} MB" for part in parts)
    print(f"  {len(parts)} parts: {sizes}")
    with watched(functions, "import of these parts"):
        for part in parts:
            send(other, part)
    with psycopg.connect(stack.settings.db_url) as db:
        count = "select count(*), count(distinct conversation_id) from messages where user_id = %s"
        sides = [db.execute(count, (user.id,)).fetchone() for user in (owner, other)]
    print(f"  messages and conversations: {sides[0]} here, {sides[1]} in the copy")


def many(conversations: int) -> Iterator[dict[str, Any]]:
    """Yield short conversations, as a client may keep them."""
    for number in range(conversations):
        yield {
            "title": f"Chat {number}",
            "messages": [
                {"role": ("user", "assistant")[place % 2], "content": f"{number}.{place} {SAID}"}
                for place in range(3)
            ],
        }


def one(messages: int) -> dict[str, Any]:
    """Return a long one."""
    return {
        "title": "Long",
        "messages": [{"role": "user", "content": f"{n} {SAID * 4}"} for n in range(messages)],
    }


def zipped(conversations: Any) -> bytes:
    """Return a zip of a file with these."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("conversations.json", json.dumps(list(conversations)))
    return written.getvalue()


def send(user: HttpUser, file: bytes) -> None:
    """Import a file: ask again as long as it still runs."""
    while True:
        answer = user.functions.post("/import-conversation", content=file, headers=ZIP)
        if answer.status_code != 202:
            break
        print(f"  202 {answer.json()}")
        time.sleep(int(answer.headers["retry-after"]))
    assert answer.status_code == 200, answer.text
    report = answer.json()
    print(f"  {len(report['taken'])} taken, {report['messages']} messages")


def exported(user: HttpUser) -> Iterator[bytes]:
    """Yield each part of an account's export."""
    query = ""
    while True:
        answer = user.functions.get(f"/export-account?{query}")
        answer.raise_for_status()
        yield answer.content
        following = re.match(r"<\?(.*)>", answer.headers.get("link", ""))
        if not following:
            return
        query = following[1]


@contextmanager
def watched(functions: psutil.Process, name: str) -> Iterator[None]:
    """Print how long a block takes, and the most memory that the process has meanwhile."""
    peak = [0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            peak[0] = max(peak[0], functions.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    started = time.perf_counter()
    try:
        yield
    finally:
        ended.set()
        watching.join()
    seconds = time.perf_counter() - started
    print(f"{name}: {seconds:.1f} s, memory {peak[0] / MEGABYTE:.0f} MB")


if __name__ == "__main__":
    main()
