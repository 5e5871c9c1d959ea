"""The package of the page: its types, its format, and its own tests, each with its own tool."""

import subprocess
from pathlib import Path

import pytest

from local.node import NODE, install_packages
from local.page import WEB

TOOLS = {
    "types": ["typescript/bin/tsc", "--noEmit"],
    "format": ["prettier/bin/prettier.cjs", "--check", "src", "page", "test", "*.ts", "*.json"],
    "tests": ["vitest/vitest.mjs", "run", "--no-isolate"],
}


@pytest.fixture(scope="module")
def packages() -> Path:
    """The package's dependencies, those for development too."""
    install_packages(WEB, "ci")
    return WEB / "node_modules"


@pytest.mark.parametrize("tool", TOOLS)
def test_the_package_is_well(packages: Path, tool: str) -> None:
    """The tool finds nothing."""
    script, *arguments = TOOLS[tool]
    done = subprocess.run(
        [str(NODE), str(packages / script), *arguments],
        cwd=WEB,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
