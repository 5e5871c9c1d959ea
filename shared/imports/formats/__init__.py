"""The formats of files that come in: one module each, with what it is known by and how it is read.

An entry of a file is of the first format here that knows it. What none of them knows may still be
a list of messages, which `messages` reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .chatgpt import is_chatgpt, read_chatgpt
from .claude import is_claude, read_claude
from .deepseek import is_deepseek, read_deepseek
from .gemini import is_gemini, read_gemini
from .librechat import is_librechat, read_librechat
from .open_webui import is_open_webui, read_open_webui
from .ours import is_ours, read_ours

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..parsed import Notes, ParsedConversation


class Format(NamedTuple):
    """How an entry of a format is known, and read."""

    detect: Callable[[dict[str, Any]], bool]
    read: Callable[[dict[str, Any], Notes], ParsedConversation]


FORMATS: Final = (
    Format(is_ours, read_ours),
    Format(is_deepseek, read_deepseek),
    Format(is_chatgpt, read_chatgpt),
    Format(is_claude, read_claude),
    Format(is_open_webui, read_open_webui),
    Format(is_librechat, read_librechat),
    Format(is_gemini, read_gemini),
)


def format_of(entry: Any) -> Format | None:
    """Return the format of a conversation."""
    if not isinstance(entry, dict):
        return None
    return next((known for known in FORMATS if known.detect(entry)), None)
