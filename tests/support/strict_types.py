"""Whether a file in TypeScript passes the strictest types, as an app's own compiler checks it."""

import subprocess
from pathlib import Path

from local.node import NODE, install_packages
from tests.support.ai_sdk_page import EXAMPLE


def type_errors(file: Path) -> str:
    """Return what the compiler says of a file: nothing where all is well."""
    install_packages(EXAMPLE, "ci")
    modules = EXAMPLE / "node_modules"
    done = subprocess.run(
        [
            NODE, modules / "typescript" / "bin" / "tsc", "--ignoreConfig", "--noEmit", "--strict",
            "--noUnusedLocals", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess",
            "--module", "esnext", "--moduleResolution", "bundler", "--target", "es2023",
            "--lib", "ES2023,DOM", "--types", "node", "--typeRoots", modules / "@types", file,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stdout or done.stderr
