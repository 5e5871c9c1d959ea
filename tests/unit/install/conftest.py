"""A project's folder, for each test its own."""

from pathlib import Path

import pytest

from tests.support.installed import CONFIG


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder, with a migration, a function and a setting of its own."""
    files = {
        "supabase/config.toml": CONFIG,
        "supabase/migrations/20250101000000_notes.sql": "create table public.notes ();",
        "supabase/migrations/notes_to_self.sql": "select 1;",
        "supabase/functions/hello/index.ts": "Deno.serve(() => new Response());",
        "supabase/functions/_shared/cors.ts": "export const cors = {};",
        ".env": "SUPABASE_URL=https://x.supabase.co\n",
        "README.md": "An app.\n",
    }
    for name, text in files.items():
        path = tmp_path / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "app"
