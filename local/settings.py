"""Where the stack lives, on which ports, and with which keys. Writes .env.local, nothing else."""

import os
import secrets
from dataclasses import dataclass, fields
from pathlib import Path

from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parent.parent

DB_USER = "postgres"
DB_PASSWORD = "postgres"  # noqa: S105 - the Supabase CLI's own, for a server on 127.0.0.1


@dataclass(frozen=True)
class Ports:
    """The TCP ports of the stack, all on 127.0.0.1. The first two are the Supabase CLI's."""

    api: int = 54321
    db: int = 54322
    functions: int = 54331
    realtime: int = 54332

    @classmethod
    def from_environment(cls) -> "Ports":
        """Read API_PORT, DB_PORT, FUNCTIONS_PORT and REALTIME_PORT, each with its default."""
        names = [field.name for field in fields(cls)]
        chosen = {name: os.environ.get(f"{name.upper()}_PORT", "") for name in names}
        return cls(**{name: int(port) for name, port in chosen.items() if port})


@dataclass(frozen=True)
class Keys:
    """The stack's secrets: made once, kept in the env file."""

    publishable: str
    secret: str
    jwt_secret: str

    @classmethod
    def generate(cls) -> "Keys":
        """Make a fresh set."""
        return cls(
            publishable=f"sb_publishable_{secrets.token_urlsafe(24)}",
            secret=f"sb_secret_{secrets.token_urlsafe(24)}",
            jwt_secret=secrets.token_urlsafe(48),
        )

    @classmethod
    def from_env_file(cls, path: Path) -> "Keys | None":
        """Read the set that an earlier start wrote; None where any of it is missing."""
        values = dotenv_values(path) if path.exists() else {}
        found = [
            values.get(name)
            for name in (
                "SUPABASE_PUBLISHABLE_KEY",
                "SUPABASE_SECRET_KEY",
                "SUPABASE_JWT_SECRET",
            )
        ]
        return cls(*[value for value in found if value]) if all(found) else None


@dataclass(frozen=True)
class LocalSettings:
    """One stack: its folder, its env file, its ports."""

    home: Path
    env_file: Path
    ports: Ports

    @classmethod
    def default(cls) -> "LocalSettings":
        """The project's own stack: .local/ and .env.local."""
        return cls(
            home=ROOT / ".local", env_file=ROOT / ".env.local", ports=Ports.from_environment()
        )

    @property
    def url(self) -> str:
        """The one origin of the stack."""
        return f"http://127.0.0.1:{self.ports.api}"

    @property
    def db_url(self) -> str:
        """The database, as its superuser."""
        return f"postgresql://{DB_USER}:{DB_PASSWORD}@127.0.0.1:{self.ports.db}/postgres"

    def keys(self) -> Keys:
        """Return the stack's keys, made and kept on first use."""
        kept = Keys.from_env_file(self.env_file)
        if kept is None:
            kept = Keys.generate()
            self._write(self._environment_with(kept))
        return kept

    def environment(self) -> dict[str, str]:
        """Return what every part and every client needs to know."""
        return self._environment_with(self.keys())

    def write_env_file(self) -> None:
        """Write the env file anew, with today's ports."""
        self._write(self.environment())

    def _environment_with(self, keys: Keys) -> dict[str, str]:
        return {
            "SUPABASE_URL": self.url,
            "SUPABASE_PUBLISHABLE_KEY": keys.publishable,
            "SUPABASE_SECRET_KEY": keys.secret,
            "SUPABASE_JWT_SECRET": keys.jwt_secret,
            "SUPABASE_DB_URL": self.db_url,
        }

    def _write(self, environment: dict[str, str]) -> None:
        """Write the env file in one step, readable by its owner alone."""
        lines = ["# Written by the local stack. Keys for this machine only."]
        lines += [f"{name}={value}" for name, value in environment.items()]
        self.env_file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.env_file.with_name(f"{self.env_file.name}.new")
        draft.touch(mode=0o600)
        draft.write_text("\n".join(lines) + "\n")
        draft.replace(self.env_file)
