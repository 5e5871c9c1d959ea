"""What must be there for every endpoint, so that a forgotten one is noticed."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from functions.app import ENDPOINTS, app
from local.settings import ROOT
from shared.http.application import CORS_HEADERS
from tests.support.edge import DENO, FUNCTIONS, environment

pytestmark = pytest.mark.promise(
    "forwarders", red="an endpoint renamed; `idempotency-key` left out"
)

FORWARD = (FUNCTIONS / "_shared" / "forward.ts").read_text()


def operations() -> list[dict[str, Any]]:
    """Return every operation that the bundle documents."""
    paths = app.openapi()["paths"].values()
    return [operation for path in paths for operation in path.values()]


def names_in(constant: str) -> set[str]:
    """Return the strings of an array in forward.ts."""
    (array,) = re.findall(rf"const {constant} = \[(.*?)\] as const;", FORWARD, re.DOTALL)
    return {*re.findall(r'"([^"]+)"', array)}


def test_every_module_with_routes_is_in_the_table_and_serves_its_own_address() -> None:
    """What is not in the table is served nowhere."""
    modules = {
        path.stem.replace("_", "-")
        for path in (ROOT / "functions").glob("*.py")
        if "EndpointRouter(" in path.read_text()
    }
    assert modules | {"health"} == {*ENDPOINTS}
    assert {path.split("/")[3] for path in app.openapi()["paths"]} == {*ENDPOINTS}


def test_every_header_that_an_endpoint_reads_goes_on() -> None:
    """Those in the document, and those that browsers may send."""
    parameters = [p for operation in operations() for p in operation.get("parameters", [])]
    read = {p["name"].lower() for p in parameters if p["in"] == "header"}
    assert {"idempotency-key", "last-event-id"} <= read
    assert read | {*CORS_HEADERS} <= names_in("REQUEST_HEADERS")


def test_nothing_that_a_client_claims_about_its_way_goes_on() -> None:
    """Neither a signature nor a forwarded address nor what belongs to one connection."""
    claims = re.compile(r"forward|cookie|via|host|real-ip|^sb-|connection|transfer|content-length")
    assert [name for name in names_in("REQUEST_HEADERS") if claims.search(name)] == []


@pytest.mark.parametrize("command", [["fmt", "--check"], ["lint"], ["check"]], ids=" ".join)
def test_deno_finds_nothing(command: list[str], tmp_path: Path) -> None:
    """Formatted, linted, and checked as strictly as deno.json says."""
    sources = [str(FUNCTIONS), str(ROOT / "tests" / "support" / "edge.ts")]
    done = subprocess.run(
        [DENO, *command, "--config", str(FUNCTIONS / "deno.json"), *sources],
        capture_output=True, text=True, check=False, cwd=FUNCTIONS, env=environment(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_downloaded_when_a_function_starts() -> None:
    """Every import is of a file that is here, or built in."""
    for source in FUNCTIONS.rglob("*.ts"):
        imports = re.findall(r'(?:from|import\()\s*"([^"]+)"', source.read_text())
        assert all(name.startswith(("./", "../", "node:")) for name in imports), source
    assert "imports" not in json.loads((FUNCTIONS / "deno.json").read_text())
