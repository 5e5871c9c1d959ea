"""The process that reads a file: an upload on its standard input, parts on its standard output.

    IMPORT_TASK=<ReadingTask as JSON> python -m shared.imports

Its standard error says in the end what was found, or what is wrong with the file.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from datetime import UTC, datetime

from ..encoding import sandbox
from ..errors import ChecksumMismatchError, InvalidImportError
from ..models.transfers import ImportFault, ReadFile, ReadingTask
from .parts import write_parts
from .reading import FileReader

STACK_BYTES = 256 * 1024 * 1024  # LibreChat nests each message in the one before
RECURSION = 30_000


def read(task: ReadingTask) -> ReadFile:
    """Read the upload and say what it held."""
    reader = FileReader(limit=task.limit, now=datetime.now(UTC), user_id=task.user_id, key=task.key)
    with open(sys.stdin.fileno(), "rb") as upload:  # noqa: PTH123 - it has no path
        digest = hashlib.file_digest(upload, "sha256").hexdigest()
        upload.seek(0)
        try:
            reads = reader.read(upload, is_zip=task.is_zip)
            found = write_parts(reads, sys.stdout.buffer, by=task.by, key=task.key)
        except (InvalidImportError, ChecksumMismatchError) as exc:
            fault = ImportFault(code=exc.code, message=exc.message, details=exc.details)
            return ReadFile(error=fault)
    sys.stdout.flush()
    found.digest = digest
    return found


def main() -> None:
    """Read on a large stack; the result, or the name of what broke, is the last that is written."""
    task = ReadingTask.model_validate_json(os.environ["IMPORT_TASK"])
    sandbox.enter(task.memory)
    sys.setrecursionlimit(RECURSION)
    threading.stack_size(STACK_BYTES)
    results: list[str] = []

    def work() -> None:
        results.append(read(task).model_dump_json())

    threading.excepthook = lambda failed: sandbox.name_only(failed.exc_type)
    reading = threading.Thread(target=work)
    reading.start()
    reading.join()
    sys.stderr.write("".join(results))
    sys.exit(0 if results else 1)


if __name__ == "__main__":
    main()
