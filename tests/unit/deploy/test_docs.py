"""The pages on deploying: what can be run is run, what is named is there."""

import re
import subprocess
from pathlib import Path

import pytest

from local.settings import ROOT
from shared.config import Settings

PAGES = [ROOT / "docs" / "deploy" / name for name in ("hosted.md", "self-hosted.md")]
BLOCK = re.compile(r"^```sh *(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_HERE = {"account", "docker"}


def commands(page: Path) -> list[tuple[str, str]]:
    """Return the blocks of commands of a page, each with its mark."""
    return BLOCK.findall(page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_that_needs_nothing_runs(page: Path, tmp_path: Path) -> None:
    """The others are marked with what they need."""
    environment = {"PATH": "/usr/bin:/bin", "SUPABASE_DOCKER": str(tmp_path)}
    runnable = [text for mark, text in commands(page) if mark not in NOT_HERE]
    assert {mark for mark, _ in commands(page)} <= NOT_HERE | {""}
    assert runnable
    for text in runnable:
        subprocess.run(["/bin/sh", "-euc", text], cwd=ROOT, env=environment, check=True, timeout=20)


def test_the_recipe_is_copied_to_where_the_override_looks_for_it(tmp_path: Path) -> None:
    """By the page's own command."""
    (copy,) = [text for _, text in commands(PAGES[1]) if "cp -r" in text]
    environment = {"PATH": "/usr/bin:/bin", "SUPABASE_DOCKER": str(tmp_path)}
    subprocess.run(["/bin/sh", "-euc", copy], cwd=ROOT, env=environment, check=True, timeout=20)
    assert (tmp_path / "docker-compose.message-persistence.yml").is_file()
    assert (tmp_path / "volumes" / "message-persistence" / "envoy" / "entrypoint.sh").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_names_is_there(page: Path) -> None:
    """Targets of make and settings; tests/deploy/test_docs.py looks at files and links."""
    text = page.read_text()
    targets = re.findall(r"`make ([a-z-]+)`", text)
    known = (ROOT / "supabase" / "functions" / "_shared" / "forward.ts").read_text()
    settings = {*re.findall(r"`((?:FORWARD|CORS|SUPABASE)_[A-Z_]+)[`=]", text)}
    assert [name for name in targets if f"\n{name}:" not in (ROOT / "Makefile").read_text()] == []
    assert [
        name
        for name in settings
        if name.lower() not in Settings.model_fields and f'"{name}"' not in known
    ] == []
