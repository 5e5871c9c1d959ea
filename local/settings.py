"""Where the stack lives, on which ports, and with which keys: in .local/ and .env.local."""

import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dotenv import dotenv_values

from local.ports import API_PORT, Ports

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".local"
PORTS_FILE = HOME / "ports.json"

# The superuser. The Supabase CLI takes the role of postgres where it is named supabase_admin.
DB_USER = "admin"
LOGIN_ROLE = "message_persistence"
DB_PASSWORD = "postgres"  # noqa: S105 - the Supabase CLI's own, for a server on 127.0.0.1


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
        """This checkout's stack, on the ports that are asked for, else on those it has."""
        return cls._of_checkout(Ports.wanted() or Ports.load(PORTS_FILE))

    @classmethod
    def running(cls) -> "LocalSettings":
        """This checkout's stack as it runs, whatever ports are asked for now."""
        return cls._of_checkout(Ports.load(PORTS_FILE) or Ports.wanted())

    @classmethod
    def _of_checkout(cls, ports: Ports | None) -> "LocalSettings":
        return cls(
            home=HOME, env_file=ROOT / ".env.local", ports=ports or Ports.following(API_PORT)
        )

    @property
    def ports_file(self) -> Path:
        """Where the ports of a stack that was started are kept until it is stopped."""
        return self.home / PORTS_FILE.name

    @property
    def url(self) -> str:
        """The one origin of the stack."""
        return f"http://127.0.0.1:{self.ports.api}"

    @property
    def db_url(self) -> str:
        """The database, as its superuser."""
        return f"postgresql://{DB_USER}:{DB_PASSWORD}@127.0.0.1:{self.ports.db}/postgres"

    @property
    def direct_url(self) -> str:
        """The database, as the role that the functions log in as where they call it themselves."""
        return self.db_url.replace(f"//{DB_USER}:", f"//{LOGIN_ROLE}:")

    @cached_property
    def keys(self) -> Keys:
        """The stack's keys: those that an earlier start kept, else new ones."""
        return Keys.from_env_file(self.env_file) or Keys.generate()

    def environment(self) -> dict[str, str]:
        """Return what every part and every client needs to know."""
        return {
            "SUPABASE_URL": self.url,
            "SUPABASE_PUBLISHABLE_KEY": self.keys.publishable,
            "SUPABASE_SECRET_KEY": self.keys.secret,
            "SUPABASE_JWT_SECRET": self.keys.jwt_secret,
            "SUPABASE_DB_URL": "off",  # whatever an .env says of a project elsewhere
        }

    def keep(self) -> None:
        """Write the env file and the ports, for the commands and clients that come after."""
        self._write_env_file()
        self.ports.save(self.ports_file)

    def forget_ports(self) -> None:
        """Leave the next start free to choose: nothing runs on these ports."""
        self.ports_file.unlink(missing_ok=True)

    def _write_env_file(self) -> None:
        """Write the env file in one step, readable by its owner alone."""
        lines = [
            "# Written by the local stack. Keys for this machine only.",
            "# With this in place of `off` functions call the store at its database itself.",
            f"#SUPABASE_DB_URL={self.direct_url}",
        ]
        lines += [f"{name}={value}" for name, value in self.environment().items()]
        self.env_file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.env_file.with_name(f"{self.env_file.name}.new")
        unfinished.touch(mode=0o600)
        unfinished.write_text("\n".join(lines) + "\n")
        unfinished.replace(self.env_file)
