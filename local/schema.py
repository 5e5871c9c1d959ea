"""Writes the baseline migration: the files of supabase/schemas, in the order of config.toml."""

import tomllib
from pathlib import Path

from local.database import MIGRATIONS
from local.settings import ROOT

SUPABASE = ROOT / "supabase"
BASELINE = MIGRATIONS / "20261127000000_baseline.sql"

HEADER = "-- Written by `make schema` from supabase/schemas. Change the schema there.\n\n"


def schema_files() -> list[Path]:
    """Return the files that say what the schema is, in the order in which they apply."""
    config = tomllib.loads((SUPABASE / "config.toml").read_text())
    return [SUPABASE / path for path in config["db"]["migrations"]["schema_paths"]]


def baseline_text() -> str:
    """Return the baseline that the schema files make."""
    return HEADER + "\n".join(path.read_text() for path in schema_files())


if __name__ == "__main__":
    BASELINE.write_text(baseline_text())
