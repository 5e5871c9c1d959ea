"""The table of endpoints, and the ASGI applications that are made of it.

`app` serves all of them. A host that deploys one alone takes it by its name, and imports only what
that one needs: `uvicorn functions.app:load_conversation`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from shared.http import application

if TYPE_CHECKING:
    from fastapi import FastAPI

    from shared.ai.agents import Agent
    from shared.ai.protocol import Engine
    from shared.config import Settings

# An endpoint's address is its name here, and its module the same with underscores. What else each
# needs to be reached is written from this table: `make forwarders`.
ENDPOINTS = (
    "mega-mind",
    "ui-messages",
    "cancel-turn",
    "turns",
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


def create_app(
    *names: str, settings: Settings | None = None, agent: Agent | Engine | None = None
) -> FastAPI:
    """Return an application of these endpoints, by default of all, importing no others.

    One alone answers `health` as well: whoever runs it asks there whether it lives. An `agent`
    answers in the place of the engine that the settings name (docs/engine.md).
    """
    served = dict.fromkeys((*names, "health")) if names else ENDPOINTS
    routers = [import_module(f"functions.{name.replace('-', '_')}").router for name in served]
    needs_ai = not {"mega-mind", "ui-messages"}.isdisjoint(served)
    return application.create_app(
        *routers,
        settings=settings,
        engine=None if agent is None else _engine_of(agent),
        prepare=(lambda container: container.turns) if needs_ai else None,
    )


def _engine_of(agent: Agent | Engine) -> Engine:
    from shared.ai.agents import as_engine  # most endpoints need no AI

    return as_engine(agent)


def __getattr__(name: str) -> FastAPI:
    """Make an application when somebody imports it by its name."""
    endpoint = name.replace("_", "-")
    if name != "app" and endpoint not in ENDPOINTS:
        raise AttributeError(name)
    made = globals()[name] = create_app() if name == "app" else create_app(endpoint)
    return made
