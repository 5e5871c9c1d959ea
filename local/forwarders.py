"""Writes what each endpoint needs outside of Python: python -m local.forwarders.

A forwarder in supabase/functions, its `verify_jwt = false`, and its name in the gateways' routes.
The endpoints are those of functions/app.py.
"""

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from textwrap import indent

from functions.app import ENDPOINTS
from local.settings import ROOT
from shared.http.application import PREFIX

FUNCTIONS = Path("supabase/functions")
CONFIG = Path("supabase/config.toml")
RECIPES = Path("deploy/self-hosted/volumes/message-persistence")
ROUTE, ERRORS = RECIPES / "envoy/route.yaml", RECIPES / "envoy/errors.yaml"
KONG = RECIPES / "kong/services.yaml"
ROUTES = (ROUTE, ERRORS, KONG)

FORWARDER = 'import {{ serve }} from "../_shared/forward.ts";\n\nserve("{name}");\n'
SECTION = "[functions.{name}]\nverify_jwt = false\n"
SECTIONS = re.compile(r"\[functions\.[a-z-]+\]\nverify_jwt = false\n(?:\n(?=\[functions\.))?")
NAMES = re.compile(rf"(?<={PREFIX}/\()[a-z|-]*(?=\))")
WRITTEN = re.compile(r"(?<=# make forwarders writes from here\n).*?(?= *# to here\n)", re.DOTALL)

# The route to one endpoint: as to the first.
ENVOY_ROUTE = f"""\
- name: message-persistence-{{name}}
  match: {{{{ path_separated_prefix: {PREFIX}/{{name}} }}}}
  route: *message-persistence-route
  typed_per_filter_config: *message-persistence-filters
"""
# Envoy takes an expression of no more than a hundred steps: about one a letter.
ENVOY_PATHS = f"""\
- header_filter:
    header:
      name: ':path'
      string_match: {{{{ safe_regex: {{{{ regex: '{PREFIX}/({{names}})([/?].*)?' }}}} }}}}
"""
MOST_LETTERS = 55
FIRST = "health"  # whose route is written by hand, with what all have in common


def write_all(root: Path = ROOT, endpoints: Collection[str] = ENDPOINTS) -> None:
    """Write the files of every endpoint, and remove those of endpoints that are gone."""
    names = sorted(endpoints)
    for gone in {path.parent for path in (root / FUNCTIONS).glob("*/index.ts")}:
        if gone.name not in names:
            shutil.rmtree(gone)
    for name in names:
        (root / FUNCTIONS / name).mkdir(parents=True, exist_ok=True)
        (root / FUNCTIONS / name / "index.ts").write_text(FORWARDER.format(name=name))
    config = SECTIONS.sub("", (root / CONFIG).read_text())
    sections = "\n".join(SECTION.format(name=name) for name in names)
    (root / CONFIG).write_text(config + sections)
    kong = (root / KONG).read_text()
    (root / KONG).write_text(NAMES.sub("|".join(names), kong))
    routes = "".join(ENVOY_ROUTE.format(name=name) for name in names if name != FIRST)
    _write_between_marks(root / ROUTE, routes)
    paths = "".join(ENVOY_PATHS.format(names="|".join(group)) for group in _groups(names))
    _write_between_marks(root / ERRORS, indent(paths, " " * 18))


def _write_between_marks(path: Path, text: str) -> None:
    path.write_text(WRITTEN.sub(lambda _: text, path.read_text()))


def _groups(names: list[str]) -> list[list[str]]:
    """Divide names into groups that fit an expression."""
    groups: list[list[str]] = [[]]
    for name in names:
        if len("|".join([*groups[-1], name])) > MOST_LETTERS:
            groups.append([])
        groups[-1].append(name)
    return groups


if __name__ == "__main__":
    write_all()
