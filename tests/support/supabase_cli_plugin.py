"""The fixture `cli`: the Supabase CLI on a copy of supabase/."""

import shutil
from pathlib import Path

import pytest

from tests.support.clients import CLIENTS, install_clients
from tests.support.supabase_cli import SUPABASE, Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The CLI that tests/clients locks."""
    install_clients()
    (tmp_path / "supabase").mkdir()
    shutil.copy(SUPABASE / "config.toml", tmp_path / "supabase")
    shutil.copytree(SUPABASE / "migrations", tmp_path / "supabase" / "migrations")
    return Cli(CLIENTS / "node_modules" / ".bin" / "supabase", tmp_path)
