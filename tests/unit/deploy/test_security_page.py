"""docs/security.md: its limits are those of the settings and the code, its tests are there."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from local.settings import ROOT
from shared.config import Settings
from shared.encoding.strict import REQUEST, SHORTENED

PAGE = (ROOT / "docs" / "security.md").read_text()
MODULES = [
    import_module(name)
    for name in (
        "shared.encoding.sizes", "shared.exports.account", "shared.exports.pdf.render",
        "shared.http.request_body", "shared.http.routing", "shared.http.server",
        "shared.imports.importer",
        "shared.integrity.health", "shared.models.base", "shared.shares", "shared.turns.followed",
    )
]  # fmt: skip
NAME = r"`([A-Z][A-Z_]+[A-Z])`"
# Settings that limit what a user may take begin or end like this.
LIMITS = re.compile(r"^MAX_|_PER_|^PDF_|^STORE_CONNECTIONS$")


def part(heading: str) -> str:
    """Return what stands below a heading."""
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def rows() -> list[str]:
    """Return the rows of the table of what one user may take."""
    return [line for line in part("What one user may take").splitlines() if line.startswith("| ")]


def named() -> Iterator[tuple[str, str]]:
    """Yield each name in capitals with the row that it stands in."""
    for row in rows():
        for name in re.findall(NAME, row):
            yield name, row


def value_of(name: str) -> Any:
    """Return a setting's default or a constant's value."""
    if name.lower() in Settings.model_fields:
        return Settings.model_fields[name.lower()].default
    values = [getattr(module, name) for module in MODULES if hasattr(module, name)]
    assert len(set(values)) == 1, f"{name} is no setting and no constant"
    return values[0]


def written(value: float) -> set[str]:
    """Return how a number may stand on the page."""
    forms = {f"{value:,}", f"{value:g}"}
    forms |= {f"{value / size:g} {unit}" for unit, size in (("KiB", 2**10), ("MiB", 2**20))}
    return forms | {f"{value / 2**30:g} GiB"}


@pytest.mark.parametrize(("name", "row"), named())
def test_a_row_has_the_value_of_what_it_names(name: str, row: str) -> None:
    """Or says that it is off by default."""
    value = value_of(name)
    if value is None:
        assert "off by default" in row
        return
    numbers = set(re.findall(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?: [KMG]iB)?(?!\w)", row))
    assert written(value) & numbers


def test_what_a_body_may_hold_and_a_page_has_is_in_the_table() -> None:
    """Limits whose names are not in capitals: of strict JSON, and of the SQL of pages."""
    (body,) = [row for row in rows() if "`max_values`" in row]
    (page,) = [row for row in rows() if "`c_page_bytes`" in row]
    sql = "".join(path.read_text() for path in (ROOT / "supabase" / "schemas").glob("*.sql"))
    (bytes_a_page,) = set(re.findall(r"c_page_bytes constant integer := (\d+)", sql))
    assert f"{REQUEST.max_values:,} values, {REQUEST.max_depth} levels" in body
    assert f"{SHORTENED.max_values:,} values" in body
    assert f"{int(bytes_a_page):,} bytes" in page


def test_every_limit_is_in_the_table() -> None:
    """Of the settings, and of the shares."""
    names = {name for name, _ in named()}
    limits = {name.upper() for name in Settings.model_fields if LIMITS.search(name.upper())}
    shares = {name for name in vars(import_module("shared.shares")) if name.isupper()}
    assert limits | shares <= names | {"TYPE_CHECKING"}


def test_each_attack_is_on_the_page() -> None:
    """Every file of tests/attacks is named by what was tried and not broken."""
    tried = part("Tried and not broken")
    files = [path.relative_to(ROOT) for path in (ROOT / "tests" / "attacks").glob("test_*.py")]
    assert [str(path) for path in files if f"`{path}`" not in tried] == []
    assert len(re.findall(r"^\|.*\| `tests/", tried, re.MULTILINE)) > len(files)
