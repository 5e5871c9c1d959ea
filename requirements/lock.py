"""Writes the lock files: exact versions with hashes, for every platform, no registry named."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("database", "model", "telemetry")
COMPILE = (
    *(sys.executable, "-m", "uv", "pip", "compile", "--quiet"),
    *("--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-emit-index-url", "--no-header"),
)


def compile_lock(source: str, target: str, *options: str) -> None:
    """Resolve one lock file."""
    command = [*COMPILE, source, "-o", f"requirements/{target}", *options]
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    # The largest set first: what is shipped is a part of what was tested.
    compile_lock("pyproject.toml", "dev.txt", "--all-extras", "--group", "dev")
    tested = ("-c", "requirements/dev.txt")
    compile_lock("pyproject.toml", "runtime.txt", "--group", "service", *tested)
    compile_lock("pyproject.toml", "pdf.txt", "--group", "pdf", *tested)
    for extra in EXTRAS:
        compile_lock("pyproject.toml", f"{extra}.txt", "--extra", extra, *tested)
    compile_lock("requirements/uv.in", "uv.txt", *tested)
