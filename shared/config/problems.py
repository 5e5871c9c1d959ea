"""What is said of settings that are missing or wrong, and by a program that can't go on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class ConfigurationError(Exception):
    """A setting is missing or wrong; the message is one line that names it."""


def one_line(exc: ValidationError) -> str:
    """Return one sentence that names each wrong setting."""
    problems = []
    for error in exc.errors(include_input=False, include_url=False, include_context=False):
        name = str(error["loc"][0]).upper() if error["loc"] else "settings"
        reason = "is missing" if error["type"] == "missing" else error["msg"]
        problems.append(f"{name} {reason.removeprefix('Value error, ')}")
    return "; ".join(problems) + " (see .env.example)"


def fail(reason: str, code: int) -> int:
    """Say on standard error why a program ends; return its exit code."""
    sys.stderr.write(f"{reason}\n")
    return code
