"""Writes what each endpoint needs outside of Python: python -m local.forwarders.

A forwarder in supabase/functions, its `verify_jwt = false`, and its name in the gateways' routes.
The list of endpoints is the bundle's own document.
"""

import re
import shutil
from pathlib import Path

from functions.app import app
from local.settings import ROOT
from shared.http.application import PREFIX

FUNCTIONS = Path("supabase/functions")
CONFIG = Path("supabase/config.toml")
RECIPES = Path("deploy/self-hosted/volumes/message-persistence")
ROUTES = (
    RECIPES / "envoy/route.yaml",
    RECIPES / "envoy/errors.yaml",
    RECIPES / "kong/services.yaml",
)

FORWARDER = 'import {{ serve }} from "../_shared/forward.ts";\n\nserve("{name}");\n'
SECTION = "[functions.{name}]\nverify_jwt = false\n"
SECTIONS = re.compile(r"\[functions\.[a-z-]+\]\nverify_jwt = false\n(?:\n(?=\[functions\.))?")
NAMES = re.compile(rf"(?<={PREFIX}/\()[a-z|-]*(?=\))")


def endpoints() -> list[str]:
    """Return the name of every endpoint: the first part of each address in the document."""
    paths = app.openapi()["paths"]
    return sorted({path.removeprefix(f"{PREFIX}/").split("/")[0] for path in paths})


def write_all(root: Path = ROOT) -> None:
    """Write the files of every endpoint, and remove those of endpoints that are gone."""
    names = endpoints()
    for gone in {path.parent for path in (root / FUNCTIONS).glob("*/index.ts")}:
        if gone.name not in names:
            shutil.rmtree(gone)
    for name in names:
        (root / FUNCTIONS / name).mkdir(parents=True, exist_ok=True)
        (root / FUNCTIONS / name / "index.ts").write_text(FORWARDER.format(name=name))
    config = SECTIONS.sub("", (root / CONFIG).read_text())
    sections = "\n".join(SECTION.format(name=name) for name in names)
    (root / CONFIG).write_text(config + sections)
    for route in ROUTES:
        text = (root / route).read_text()
        (root / route).write_text(NAMES.sub("|".join(names), text))


if __name__ == "__main__":
    write_all()
