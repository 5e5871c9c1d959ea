"""The typesetter's own process: rows as lines of JSON come in, a PDF is written.

    python -m shared.exports.pdf.typeset <target> <bytes of memory it may take>

The first line is the conversation, each further one a message. What goes wrong is said by the
exit status and the name of an exception; no word of anybody's text is written anywhere else.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ....encoding import sandbox
from .worker import typeset


def main(target: str, memory: str) -> None:
    """Set the conversation on standard input."""
    sandbox.enter(int(memory))
    typeset(sys.stdin.buffer, Path(target))


if __name__ == "__main__":
    main(*sys.argv[1:])
