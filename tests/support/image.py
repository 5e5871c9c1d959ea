"""The image without Docker: what the Dockerfile copies, and no package but the locked ones."""

import re
import shutil
from importlib.metadata import packages_distributions
from pathlib import Path

from local.settings import ROOT

DOCKERFILE = ROOT / "Dockerfile"

BLOCKER = """\
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"{{name}} is not in the image", name=name)

sys.meta_path.insert(0, Blocked())
"""


def copied_paths() -> list[str]:
    """Return what the image's own stage copies out of the repository."""
    stage = DOCKERFILE.read_text().partition(" AS base")[2].partition("\nFROM ")[0]
    return re.findall(r"^COPY (?!--from)(\S+) ", stage, re.MULTILINE)


def locked_names(*locks: str) -> set[str]:
    """Return the distributions that these lock files install."""
    text = "".join((ROOT / "requirements" / f"{lock}.txt").read_text() for lock in locks)
    return {_plain(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}


def build_image(folder: Path, *locks: str) -> Path:
    """Make a folder with the image's files, where nothing outside of the locks can be imported."""
    for path in copied_paths():
        shutil.copytree(ROOT / path, folder / path, ignore=shutil.ignore_patterns("__pycache__"))
    locked = locked_names("runtime", *locks)
    blocked = {
        module
        for module, distributions in packages_distributions().items()
        if not locked & {_plain(name) for name in distributions}
    }
    (folder / "sitecustomize.py").write_text(BLOCKER.format(names=sorted(blocked)))
    return folder


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
