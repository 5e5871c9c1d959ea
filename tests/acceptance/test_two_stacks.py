"""Two checkouts on one machine: each stack serves its own, whatever failed between the starts."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local import node
from local.ports import Ports, is_free
from local.settings import ROOT, LocalSettings
from local.stack import processes_left_in
from tests.support.stack import temporary_home

FOLDERS = ("functions", "local", "shared", "supabase")
SPAN = 40  # ports from one stack's first to the next one's
UP = (
    "from local.settings import LocalSettings; from local.stack import Stack;"
    "Stack(LocalSettings.default(), with_seed=False).up()"
)


@dataclass
class Checkout:
    """A copy of the project, and the commands that are run in it."""

    root: Path

    @property
    def settings(self) -> LocalSettings:
        """Its stack, as it was started last."""
        home = self.root / ".local"
        ports = Ports.load(home / "ports.json")
        assert ports is not None
        return LocalSettings(home, self.root / ".env.local", ports)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python in it, without the settings of the test's own environment."""
        inherited = {"PATH": os.environ["PATH"], "PYTHONPATH": str(self.root)}
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.root,
            env={**inherited, **environment},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    def up(self, api_port: int) -> subprocess.CompletedProcess[str]:
        """Start its stack as `make up` does, but for the page and the example."""
        return self.run("-c", UP, API_PORT=str(api_port))


@pytest.fixture
def checkouts() -> Iterator[list[Checkout]]:
    """Two copies of this checkout; their packages of Node are this one's."""
    node.install_gateway()
    home = temporary_home()
    made = [Checkout(home / name) for name in ("first", "second")]
    try:
        for checkout in made:
            for folder in FOLDERS:
                ignored = shutil.ignore_patterns("node_modules")
                shutil.copytree(ROOT / folder, checkout.root / folder, ignore=ignored)
            shutil.copy(ROOT / ".env.example", checkout.root)
            packages = Path("local", "node", "node_modules")
            (checkout.root / packages).symlink_to(ROOT / packages)
        yield made
    finally:
        for checkout in made:
            checkout.run("-m", "local", "down")
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def api_port() -> int:
    """A port such that those before and after it, which the two stacks take, are free too."""
    return next(
        port
        for port in random.sample(range(20_000, 30_000, SPAN), 200)
        if all(map(is_free, range(port - 11, port + 2 * SPAN)))
    )


def send(settings: LocalSettings, text: str) -> dict[str, Any]:
    """Sign up at a stack, send a message to it, and return the response."""
    body = {"email": f"{text}@example.com", "password": "correct-horse"}
    with httpx.Client(base_url=settings.url, timeout=30) as client:
        signed_up = client.post(
            "/auth/v1/signup", json=body, headers={"apikey": settings.keys.publishable}
        )
        bearer = f"Bearer {signed_up.raise_for_status().json()['access_token']}"
        sent = client.post(
            "/functions/v1/mega-mind", json={"request": text}, headers={"authorization": bearer}
        )
        return dict(sent.raise_for_status().json())


def contents(settings: LocalSettings) -> list[Any]:
    """Return what users have said, by a stack's own database."""
    with psycopg.connect(settings.db_url) as connection:
        rows = connection.execute("select content from messages where role = 'user'")
        return [content for (content,) in rows]


def test_two_stacks_side_by_side_serve_their_own(checkouts: list[Checkout], api_port: int) -> None:
    """Between their starts one fails, on ports of which the first has some, and leaves nothing."""
    first, second = checkouts
    started = first.up(api_port)
    assert started.returncode == 0, started.stderr

    # Its Realtime's port would be the first one's gateway, which answers as a Realtime does.
    failed = second.up(api_port - 11)
    assert f"Port {api_port}, which realtime needs, is taken by node" in failed.stderr
    assert f"in {first.root}" in failed.stderr
    home = second.root / ".local"
    ports = Ports.following(api_port - 11)
    assert processes_left_in(LocalSettings(home, home, ports)) == []
    assert all(map(is_free, (ports.api, ports.db, ports.functions)))
    left = {path.name for path in home.iterdir()}
    assert left == {"lock"}
    assert not (second.root / ".env.local").exists()

    demo = second.run("-m", "local", "demo", API_PORT=str(api_port))
    assert demo.returncode == 1
    assert demo.stderr.startswith(f"error: Port {api_port + 1}, which db needs, is taken by")

    started = second.up(api_port + SPAN)
    assert started.returncode == 0, started.stderr
    assert first.settings.ports == Ports.following(api_port)
    assert second.settings.ports == Ports.following(api_port + SPAN)
    assert send(first.settings, "first")["success"]
    assert send(second.settings, "second")["success"]
    assert [contents(stack.settings) for stack in checkouts] == [["first"], ["second"]]

    for checkout in checkouts:
        status = checkout.run("-m", "local", "status").stdout
        assert status.count("ready") == 4
        for port in asdict(checkout.settings.ports).values():
            assert f"port {port}\n" in status


def test_a_start_that_fails_half_way_stops_what_it_began(
    checkouts: list[Checkout], api_port: int
) -> None:
    """Here the functions refuse a setting; with it mended the same start goes through."""
    checkout = checkouts[0]
    failed = checkout.run("-c", UP, API_PORT=str(api_port), MAX_BODY_BYTES="none")
    assert "functions ended at once: configuration error: MAX_BODY_BYTES" in failed.stderr
    ports = Ports.following(api_port)
    assert all(map(is_free, asdict(ports).values()))
    assert list((checkout.root / ".local" / "run").iterdir()) == []
    started = checkout.up(api_port)
    assert started.returncode == 0, started.stderr
    assert send(checkout.settings, "after")["success"]
