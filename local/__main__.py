"""The commands behind the Makefile: python -m local up, dev, demo and the others."""

import argparse
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future

from local.demo import run_demo
from local.errors import LocalStackError
from local.page import build_page_meanwhile, serve_hot
from local.serve import serve
from local.settings import LocalSettings
from local.stack import Stack

CURL = """\
TOKEN=$(curl -s {url}/auth/v1/signup -H 'apikey: {key}' -H 'Content-Type: application/json' \\
  -d '{{"email": "{email}", "password": "correct-horse"}}' \\
  | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

curl -s {url}/functions/v1/mega-mind -H "Authorization: Bearer $TOKEN" \\
  -H 'Content-Type: application/json' -d '{{"request": "Write a Python function"}}'
"""


def main() -> int:
    """Run one command; return its exit code."""
    commands: dict[str, Callable[[Stack], None]] = {
        "up": up,
        "down": Stack.down,
        "reset": Stack.reset,
        "dev": dev,
        "status": status,
        "demo": run_demo,
        "serve": lambda _: serve(),
        "web": lambda stack: serve_hot(stack.settings.url),
    }
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("command", choices=commands)
    name = parser.parse_args().command
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends as orderly as Ctrl-C
    try:
        chooses_ports = name in {"up", "dev", "demo"}
        settings = LocalSettings.default() if chooses_ports else LocalSettings.running()
        commands[name](Stack(settings, say=say))
    except LocalStackError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def say(line: str) -> None:
    """Print one line of progress at once."""
    print(f"  {line}", flush=True)


def up(stack: Stack) -> None:
    """Start the stack in the background and say where it is."""
    started = time.monotonic()
    stack.require_free_ports()
    page = build_page_meanwhile()
    stack.up()
    _wait_for_page(page)
    environment = stack.settings.environment()
    url = stack.settings.url
    print(f"\nReady after {time.monotonic() - started:.1f} s: {url}")
    print(f"Chat       {url}/")
    print(f"API docs   {url}/functions/v1/docs")
    print(f"Database   {stack.settings.db_url}")
    print(f"Keys       {stack.settings.env_file.name}")
    print(f"Logs       {stack.settings.home.name}/logs/")
    print("\nTry it: the first command signs a user up, the second sends a message.\n")
    email = f"me-{uuid.uuid4().hex[:8]}@example.com"
    key = environment["SUPABASE_PUBLISHABLE_KEY"]
    print(CURL.format(url=url, key=key, email=email), flush=True)


def _wait_for_page(page: "Future[bool]") -> None:
    """Wait for the page; the stack is of use without it."""
    try:
        if page.result():
            say("built the page")
    except LocalStackError as exc:
        say(f"no page: {exc}")


def dev(stack: Stack) -> None:
    """Start the stack, watch it, and stop it on Ctrl-C; say so at once when a part dies."""
    up(stack)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        print("Ctrl-C stops it.", flush=True)
        while not stopped.wait(timeout=0.5):
            for part in stack.dead_parts():
                raise LocalStackError(
                    f"{part.name} has died: {part.last_log_line()}. Run `make dev` again."
                )
    except KeyboardInterrupt:
        print()
    finally:
        stack.down()


def status(stack: Stack) -> None:
    """Say of each part whether it answers."""
    for part in stack.parts:
        state = "ready" if part.answers() else "down"
        print(f"{part.name:10} {state:6} port {part.port}")


if __name__ == "__main__":
    sys.exit(main())
