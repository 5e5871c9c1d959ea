"""What is asked of a store whose schema is still the previous release's.

Between two releases new functions may meet the older schema, or a Data API that has not read the
newer one yet. Both say that a function isn't there; then the same is asked in the older words, and
the answer is told in today's. What the previous schema could not do at all has no words here, and
is answered with SchemaBehindError.

Everything here goes when the release after this one is made (docs/operations.md, Upgrades).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from shared.errors import AppError

Arguments: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, Any]
Ask: TypeAlias = Callable[[str, Arguments], Awaitable[Answer]]

HISTORY_MESSAGES: Final = 200  # the older measure of what the AI is given


async def _begin_turn(ask: Ask, arguments: Arguments) -> Answer:
    """The newest messages as they are: a budget was not known."""
    older = _without(arguments, "history_tokens")
    return await ask("begin_turn", {**older, "history_limit": HISTORY_MESSAGES})


async def _load_history(ask: Ask, arguments: Arguments) -> Answer:
    page = {"conversation_id": arguments["conversation_id"], "page_size": HISTORY_MESSAGES}
    stored = await ask("load_conversation", page)
    told = ("seq", "role", "content", "is_summary")
    return {"history": [{name: row[name] for name in told} for row in stored["messages"]]}


async def _count_unstored_turn(_ask: Ask, _arguments: Arguments) -> Answer:
    """Not at all: such turns had no limit."""
    return {"is_counted": False}


async def _extend_turns(ask: Ask, arguments: Arguments) -> Answer:
    """Turn by turn; one whose call fails is left out, as one that somebody holds is."""
    lease = {"lease_seconds": arguments["lease_seconds"]}
    beats = arguments["beats"]
    heard = await asyncio.gather(
        *(ask("extend_turn", {**beat, **lease}) for beat in beats), return_exceptions=True
    )
    turns = []
    for beat, told in zip(beats, heard, strict=True):
        if isinstance(told, dict):
            turns.append({"turn_id": beat["turn_id"], **told})
        elif not isinstance(told, AppError):
            raise told
    return {"turns": turns}


async def _list_conversations(ask: Ask, arguments: Arguments) -> Answer:
    """By the last row alone: what moves up between two pages is not seen again."""
    page = await ask("list_conversations", _without(arguments, "as_of"))
    return {**page, "next": _place_behind(page, arguments.get("as_of"))}


def _place_behind(page: Answer, as_of: str | None) -> Answer | None:
    if not page["has_more"]:
        return None
    rows = page["conversations"]
    return {
        "before_updated_at": rows[-1]["updated_at"],
        "before_id": rows[-1]["id"],
        "as_of": as_of or rows[0]["updated_at"],
    }


def _without(arguments: Arguments, name: str) -> Answer:
    return {key: value for key, value in arguments.items() if key != name}


IN_OLDER_WORDS: Final[Mapping[str, Callable[[Ask, Arguments], Awaitable[Answer]]]] = {
    "begin_turn": _begin_turn,
    "count_unstored_turn": _count_unstored_turn,
    "extend_turns": _extend_turns,
    "list_conversations": _list_conversations,
    "load_history": _load_history,
}
