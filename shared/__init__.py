"""What the endpoints stand on, and the library `message_persistence`, which ships the same files.

Names of the library are imported when they are used: most of what is here needs none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ai.agents import Agent as Agent
    from .ai.agents import AgentOutput as AgentOutput
    from .ai.agents import ReplyMetadata as ReplyMetadata
    from .ai.protocol import Analysis as Analysis
    from .ai.protocol import Complexity as Complexity
    from .ai.protocol import EngineError as EngineError
    from .ai.protocol import EngineRequest as EngineRequest
    from .ai.protocol import HistoryMessage as HistoryMessage
    from .ai.protocol import Intent as Intent
    from .ai.protocol import Usage as Usage
    from .config import ConfigurationError as ConfigurationError
    from .encoding.files import GeneratedFile as GeneratedFile
    from .errors import AppError as AppError
    from .library import MessagePersistence as MessagePersistence
    from .turns.follow import TurnEvent as TurnEvent
    from .turns.own_turn import OwnTurn as OwnTurn

_NAMES = {
    "ai.agents": ("Agent", "AgentOutput", "ReplyMetadata"),
    "ai.protocol": (
        "Analysis", "Complexity", "EngineError", "EngineRequest", "HistoryMessage", "Intent",
        "Usage",
    ),
    "config": ("ConfigurationError",),
    "encoding.files": ("GeneratedFile",),
    "errors": ("AppError",),
    "library": ("MessagePersistence",),
    "turns.follow": ("TurnEvent",),
    "turns.own_turn": ("OwnTurn",),
}  # fmt: skip
_FROM = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [*_FROM]


def __getattr__(name: str) -> Any:
    """Import a name of the library."""
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_FROM[name]}", __name__), name)
