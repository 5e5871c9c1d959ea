"""The library's wheel, built from this repository."""

import subprocess
import sys
from pathlib import Path

from local.settings import ROOT


def build_wheel(folder: Path) -> Path:
    """Build it into a folder; return the file."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (built,) = folder.glob("*.whl")
    return built
