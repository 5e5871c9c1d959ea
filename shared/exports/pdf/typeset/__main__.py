"""The typesetter's own process: rows as lines of JSON come in, a PDF is written.

    python -m shared.exports.pdf.typeset <target> <bytes of memory it may take>

The first line is the conversation, each further one a message. What goes wrong is said by the
exit status and the name of an exception; no word of anybody's text is written anywhere else.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shared.exports.pdf.typeset.worker import limit_memory, typeset


def main(target: str, memory: str) -> None:
    """Set the conversation on standard input."""
    limit_memory(int(memory))
    typeset(sys.stdin.buffer, Path(target))


def _name_only(kind: type[BaseException], *_: object) -> None:
    sys.stderr.write(kind.__name__)


if __name__ == "__main__":
    sys.excepthook = _name_only
    main(*sys.argv[1:])
