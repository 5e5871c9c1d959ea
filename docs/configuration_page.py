"""Writes docs/configuration.md from the settings themselves: python docs/configuration_page.py."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shared.config import Settings  # noqa: E402 - run as a script, from anywhere

PAGE = ROOT / "docs" / "configuration.md"
HEAD = """\
# Configuration

<!-- Written by `make docs` from shared/config/__init__.py; a test compares them. -->

Settings come from the environment, then `.env.local`, then `.env`. Durations are in seconds, sizes
in bytes. A missing or wrong one ends the start with one line that names it. `PORT` says where
`python -m functions` listens.

| setting | default | what it is |
|---|---|---|
"""


def render() -> str:
    """Return the page."""
    return HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        first, *others = _names(name, field)
        also = f" Also read from {', '.join(f'`{other}`' for other in others)}." if others else ""
        secret = " Secret." if _is_secret(field) else ""
        yield f"| `{first}` | {_default(field)} | {field.description}{secret}{also} |\n"


def _names(name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    return [str(c) for c in alias.choices] if isinstance(alias, AliasChoices) else [name.upper()]


def _is_secret(field: FieldInfo) -> bool:
    kind = field.annotation
    return SecretStr in {kind, *get_args(kind)} and "PUBLISHABLE" not in str(field.validation_alias)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ("", (), {}):
        return "unset"
    return f"`{','.join(value) if isinstance(value, tuple) else str(value).lower()}`"


if __name__ == "__main__":
    PAGE.write_text(render())
