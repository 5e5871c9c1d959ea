"""Writes the migrations: the files of supabase/schemas, in the order of config.toml.

One baseline, and behind it, by itself, the policy that a platform may refuse.
"""

import tomllib
from pathlib import Path

from local.database import MIGRATIONS
from local.settings import ROOT

SUPABASE = ROOT / "supabase"
BASELINE = MIGRATIONS / "20261127000000_baseline.sql"
POLICY = MIGRATIONS / "20261127000001_listen_policy.sql"
POLICY_FILE = SUPABASE / "schemas" / "live_events_policy.sql"

HEADER = "-- Written by `make schema` from supabase/schemas. Change the schema there.\n\n"


def schema_files() -> list[Path]:
    """Return the files that say what the schema is, in the order in which they apply."""
    config = tomllib.loads((SUPABASE / "config.toml").read_text())
    return [SUPABASE / path for path in config["db"]["migrations"]["schema_paths"]]


def migration_texts() -> dict[Path, str]:
    """Return the migrations that the schema files make."""
    baseline = [path for path in schema_files() if path != POLICY_FILE]
    return {
        path: HEADER + "\n".join(file.read_text() for file in files)
        for path, files in ((BASELINE, baseline), (POLICY, [POLICY_FILE]))
    }


if __name__ == "__main__":
    for path, text in migration_texts().items():
        path.write_text(text)
