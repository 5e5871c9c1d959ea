"""Our row models against the ones that the Supabase CLI generates from the migrated schema.

`gen types --lang python` is the CLI's own reading of the database: where a column is added, renamed
or made nullable and the model isn't, this fails.
"""

import importlib.util
import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType, NoneType
from typing import Any, get_args
from uuid import UUID

import psycopg
import pytest

from local import database
from shared.models.rows import ConversationRow, MessageRow, TurnRow
from tests.support.supabase_cli import Cli

pytest_plugins = ["tests.support.supabase_cli_plugin"]

# A turn's row is passed on without what only the store needs.
STORES_OWN = {
    "cancel_requested_at", "conversation_id", "draft", "draft_parts", "error", "finished_at",
    "replays", "request_hash", "started_at",
}  # fmt: skip
ROWS = {
    "PublicConversations": (ConversationRow, {"deleting_since"}),  # null in all that is seen
    "PublicMessages": (MessageRow, set()),
    "PublicTurns": (TurnRow, STORES_OWN),
}


def generate(cli: Cli, url: str, folder: Path) -> ModuleType:
    """Let the CLI write its models of a database, and import them."""
    done = cli.run("gen", "types", "--lang", "python", "--schema", "public", url=url)
    assert done.returncode == 0, done.stderr
    path = folder / "generated_types.py"
    # Behind whatever it says of the connection.
    path.write_text(done.stdout[done.stdout.index("from __future__") :])
    spec = importlib.util.spec_from_file_location("generated_types", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["generated_types"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def columns(model: Any) -> dict[str, tuple[str, bool]]:
    """Return each column's kind, and whether it may be null."""
    return {name: kind_of(field.annotation) for name, field in model.model_fields.items()}


def kind_of(annotation: Any) -> tuple[str, bool]:
    """Return a column's kind on both sides: rows pass moments and closed sets on as text."""
    if "JsonValue" in str(annotation) or "dict[" in str(annotation):
        return "json", False
    parts = set(get_args(annotation)) or {annotation}
    is_nullable = NoneType in parts
    kinds = {
        "number" if UUID not in parts and int in parts else "",
        "uuid" if UUID in parts else "",
        "flag" if bool in parts else "",
        "text" if parts & {str, datetime} or all(isinstance(part, str) for part in parts) else "",
    }
    return max(kinds) or "json", is_nullable


def differences(module: ModuleType) -> dict[str, Any]:
    """Return, by table, the columns that a row model and the schema don't agree on."""
    found = {}
    for name, (model, without) in ROWS.items():
        generated = columns(getattr(module, name))
        ours, theirs = set(columns(model).items()), set(generated.items())
        odd = {column for column, _ in ours ^ theirs} - without
        if odd or not without <= generated.keys():
            found[name] = sorted(odd | (without - generated.keys()))
    return found


@pytest.mark.promise("deployment")
def test_the_row_models_are_the_schemas(cli: Cli, shaped_url: str, tmp_path: Path) -> None:
    """Names, kinds and nullability of every column; a column that has drifted is seen."""
    database.migrate(shaped_url)
    assert differences(generate(cli, shaped_url, tmp_path)) == {}
    with psycopg.connect(shaped_url) as connection:
        connection.execute("alter table public.conversations add column pinned boolean")
        connection.execute("alter table public.messages alter column is_summary drop not null")
        connection.execute("alter table public.turns rename column attempt to tries")
    assert differences(generate(cli, shaped_url, tmp_path)) == {
        "PublicConversations": ["pinned"],
        "PublicMessages": ["is_summary"],
        "PublicTurns": ["attempt", "tries"],
    }
