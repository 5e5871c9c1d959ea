"""The folder of a Supabase project: where its parts are."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dotenv import dotenv_values

if TYPE_CHECKING:
    from pathlib import Path

ENV_FILES = (".env", ".env.local", "supabase/.env", "supabase/functions/.env")


class NoProjectError(ValueError):
    """This is no Supabase project's folder; the message says why."""


@dataclass(frozen=True)
class Project:
    """A checkout of somebody's project."""

    root: Path

    @classmethod
    def at(cls, root: Path, *, source: Path) -> Project:
        """Return the project of a folder; raise NoProjectError if it is none, or is ours."""
        project = cls(root)
        if project.supabase.resolve() == source:
            raise NoProjectError(f"{root} is this checkout: name the folder of the project")
        if not project.config.is_file():
            raise NoProjectError(f"there is no {project.config}: run `supabase init` in it first")
        try:
            tomllib.loads(project.config.read_bytes().decode())
        except ValueError as exc:
            raise NoProjectError(f"{project.config} can't be read: {exc}") from exc
        return project

    @property
    def supabase(self) -> Path:
        """What the CLI works on."""
        return self.root / "supabase"

    @property
    def config(self) -> Path:
        """The CLI's configuration."""
        return self.supabase / "config.toml"

    @property
    def migrations(self) -> Path:
        """The project's migrations."""
        return self.supabase / "migrations"

    @property
    def functions(self) -> Path:
        """The project's functions."""
        return self.supabase / "functions"

    @property
    def settings_example(self) -> Path:
        """Where the service's settings are listed."""
        return self.supabase / "message-persistence.env.example"

    def versions(self) -> list[str]:
        """Return the versions of the migrations in the folder; the CLI passes over other files."""
        names = (path.name.partition("_") for path in self.migrations.glob("*_*.sql"))
        return sorted(version for version, _, _ in names if version.isdecimal())

    def settings_given(self) -> dict[str, set[str]]:
        """Return the names of the settings in each of the project's env files."""
        return {
            name: set(dotenv_values(self.root / name))
            for name in ENV_FILES
            if (self.root / name).is_file()
        }
