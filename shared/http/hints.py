"""What to do about a request that was refused, if its fields say that."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# How other systems call what has another name here.
OTHER_NAMES: Final = {
    "request": {"message", "prompt", "content", "text", "input", "question", "query"},
    "q": {"query", "search", "text", "term", "terms"},
    "conversationId": {"id", "chatId", "threadId", "sessionId", "thread", "chat", "conversation"},
    "userId": {"user", "uid", "ownerId", "sub"},
    "limit": {"pageSize", "perPage", "count", "top"},
    "cursor": {"pageToken", "next", "nextCursor", "page"},
}


def hint_for(errors: Sequence[Any], known: Iterable[str]) -> str | None:
    """Return what a field that nobody knows was likely meant to be; None if none is likely.

    `errors` are pydantic's, `known` the fields that the request may have, as they are sent.
    """
    names = list(known)
    meant = {
        unknown: likely
        for unknown in _fields(errors, "extra_forbidden")
        if (likely := _likely(unknown, names))
    }
    if not meant:
        return None
    return "Did you mean " + ", ".join(f"`{name}`" for name in dict.fromkeys(meant.values())) + "?"


def _fields(errors: Sequence[Any], kind: str) -> list[str]:
    return [str(error["loc"][-1]) for error in errors if error["type"] == kind]


def _likely(unknown: str, names: list[str]) -> str | None:
    plain = {_plain(name): name for name in names}
    if _plain(unknown) in plain:
        return plain[_plain(unknown)]
    for name in names:
        if unknown in OTHER_NAMES.get(name, ()):
            return name
    close = get_close_matches(_plain(unknown)[:100], plain, n=1, cutoff=0.75)
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
