"""What the endpoints stand on, and the library `message_persistence`, which ships the same files.

Names of the library are imported when they are used: most of what is here needs none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ai.agents import Agent, AgentOutput, ReplyMetadata
    from .ai.protocol import (
        Analysis,
        Complexity,
        EngineError,
        EngineRequest,
        HistoryMessage,
        Intent,
        Usage,
    )
    from .config import ConfigurationError
    from .encoding.files import GeneratedFile
    from .errors import AppError
    from .library import MessagePersistence
    from .turns.follow import TurnEvent
    from .turns.own_turn import OwnTurn

_FROM = {
    "MessagePersistence": "library",
    "OwnTurn": "turns.own_turn",
    "TurnEvent": "turns.follow",
    "Agent": "ai.agents",
    "AgentOutput": "ai.agents",
    "ReplyMetadata": "ai.agents",
    "Analysis": "ai.protocol",
    "Complexity": "ai.protocol",
    "EngineError": "ai.protocol",
    "EngineRequest": "ai.protocol",
    "HistoryMessage": "ai.protocol",
    "Intent": "ai.protocol",
    "Usage": "ai.protocol",
    "GeneratedFile": "encoding.files",
    "AppError": "errors",
    "ConfigurationError": "config",
}

__all__ = [
    "Agent",
    "AgentOutput",
    "Analysis",
    "AppError",
    "Complexity",
    "ConfigurationError",
    "EngineError",
    "EngineRequest",
    "GeneratedFile",
    "HistoryMessage",
    "Intent",
    "MessagePersistence",
    "OwnTurn",
    "ReplyMetadata",
    "TurnEvent",
    "Usage",
]


def __getattr__(name: str) -> Any:
    """Import a name of the library."""
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_FROM[name]}", __name__), name)
