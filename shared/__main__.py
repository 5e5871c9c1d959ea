"""The programs of whoever runs a project, by one name: python -m message_persistence install.

The same as `python -m message_persistence.install`, and so on. In a checkout it is `shared`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAMS: Final = {
    "install": ("install.__main__", "put the schema, the forwarders and settings into a project"),
    "adopt": ("adoption.__main__", "take a project's old chat tables over"),
    "doctor": ("doctor", "check that what is stored is whole, and mend it"),
    "usage": ("usage", "print what the project's users used"),
}
MISUSED: Final = 2


def main(arguments: Sequence[str]) -> int:
    """Run the program that is named; return its exit code."""
    name, *rest = arguments or ["--help"]
    if name not in PROGRAMS:
        lines = (f"  {name:9}{what}" for name, (_, what) in PROGRAMS.items())
        print(f"usage: python -m {__package__} PROGRAM ...\n", *lines, sep="\n")
        return 0 if name in {"-h", "--help"} else MISUSED
    program = import_module(f".{PROGRAMS[name][0]}", __package__)
    code: int = program.main(rest)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
