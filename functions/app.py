"""The table of endpoints, and the ASGI applications that are made of it.

`app` serves all of them. A host that deploys one alone takes it by its name, and imports only what
that one needs: `uvicorn functions.app:load_conversation`.
"""

from importlib import import_module

from fastapi import FastAPI

from shared.config import Settings
from shared.http.application import create_app

# An endpoint's address is its name here, and its module the same with underscores. What else each
# needs to be reached is written from this table: `make forwarders`.
ENDPOINTS = (
    "mega-mind",
    "ui-messages",
    "cancel-turn",
    "load-conversation",
    "conversations",
    "export-conversation",
    "export-account",
    "import-conversation",
    "conversation-analytics",
    "project-usage",
    "erase-account",
    "apply-retention",
    "retention-policies",
    "legal-holds",
    "search-messages",
    "sweep-turns",
    "health",
)


def make_app(*names: str, settings: Settings | None = None) -> FastAPI:
    """Return an application of these endpoints, by default of all, importing no others.

    One alone answers `health` as well: whoever runs it asks there whether it lives.
    """
    served = dict.fromkeys((*names, "health")) if names else ENDPOINTS
    routers = [import_module(f"functions.{name.replace('-', '_')}").router for name in served]
    needs_ai = not {"mega-mind", "ui-messages"}.isdisjoint(served)
    return create_app(
        *routers,
        settings=settings,
        prepare=(lambda container: container.turns) if needs_ai else None,
    )


def __getattr__(name: str) -> FastAPI:
    """Make an application when somebody imports it by its name."""
    endpoint = name.replace("_", "-")
    if name != "app" and endpoint not in ENDPOINTS:
        raise AttributeError(name)
    made = globals()[name] = make_app() if name == "app" else make_app(endpoint)
    return made
