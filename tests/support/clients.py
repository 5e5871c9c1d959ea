"""What tests/clients/package.json brings: others' clients, and older Postgres servers."""

from pathlib import Path

from local.node import install_packages
from local.settings import ROOT

CLIENTS = ROOT / "tests" / "clients"


def install_clients() -> Path:
    """Install the packages where they aren't yet; return their folder.

    Not `npm ci`: a registry may lack builds for other platforms, which that command insists on.
    """
    install_packages(CLIENTS, "install", "--no-save")
    return CLIENTS
