"""A session of the OpenAI Agents SDK (package `openai-agents`), stored in Supabase.

session = StoredSession(chat, user_id=user_id, session_id=conversation_id)
result = await Runner.run(agent, "Hello", session=session)
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from agents.memory import SessionABC, SessionSettings
from agents.memory.session_settings import coerce_session_settings, resolve_session_limit

from ..encoding.parts import text_of
from .stored import LOST_RESULT, Item, StoredItems

if TYPE_CHECKING:
    from agents.items import TResponseInputItem

    from ..encoding.parts import Part
    from ..library import MessagePersistence
    from ..models.rows import MessageRow

FRAMEWORK: Final = "openai-agents"
ROLES: Final = {"user": "user", "assistant": "assistant"}
ANSWERED_BY_TEXT: Final = {"function_call", "custom_tool_call"}
CALLS: Final = ANSWERED_BY_TEXT | {
    "apply_patch_call", "computer_call", "local_shell_call", "shell_call",
}  # fmt: skip
RESULTS: Final = {f"{kind}_output" for kind in CALLS}
TEXTS: Final = {"input_text", "output_text", "text"}


class StoredSession(SessionABC):
    """Keeps the items of a session as messages of a conversation, for good.

    Items come back as they were given. Messages that were stored otherwise, as by a page, are items
    as well. `pop_item` and `clear_session` take back: what they took stays stored, with a row that
    says so. A tool call without a result, as a crash leaves it, is given out with one that says so,
    since providers refuse it otherwise; with `is_exact` it is given out as it is.
    """

    def __init__(
        self,
        chat: MessagePersistence,
        *,
        user_id: UUID | str,
        session_id: str,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        is_exact: bool = False,
    ) -> None:
        self.session_id = session_id
        given = SessionSettings() if session_settings is None else session_settings
        self.session_settings = coerce_session_settings(given)
        self._is_exact = is_exact
        self._items = StoredItems(
            chat, UUID(str(user_id)), session_id, FRAMEWORK, version(FRAMEWORK)
        )

    @property
    def conversation_id(self) -> UUID:
        """The conversation that the session is."""
        return self._items.conversation_id

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the newest items, oldest first; by default all."""
        rows = await self._items.read(resolve_session_limit(limit, self.session_settings))
        items = [item for row in rows if (item := _item_of(row)) is not None]
        return cast("list[TResponseInputItem]", items if self._is_exact else answered(items))

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Add items at the end, all of them or none; repeated after a failure, once."""
        await self._items.add(_stored(cast("dict[str, Any]", item)) for item in items)

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the newest item back, and return it; None if there is none."""
        row = await self._items.take_back()
        return None if row is None else cast("TResponseInputItem", _item_of(row))

    async def clear_session(self) -> None:
        """Take all items back."""
        await self._items.clear()


def answered(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return items as providers take them: each call has its result, and each result its call.

    A lost result is given where it is text; another call is left out. So is reasoning behind which
    nothing of the model's is left.
    """
    results = {item["call_id"] for item in items if _is_result(item)}
    called: set[str] = set()
    found: list[dict[str, Any]] = []
    for item in items:
        if _is_result(item) and item["call_id"] not in called:
            continue
        is_lost = _is_call(item) and item["call_id"] not in results
        if is_lost and item["type"] not in ANSWERED_BY_TEXT:
            continue
        found.append(item)
        if _is_call(item):
            called.add(item["call_id"])
        if is_lost:
            kind = f"{item['type']}_output"
            found.append({"type": kind, "call_id": item["call_id"], "output": LOST_RESULT})
    return _without_loose_reasoning(found)


def _without_loose_reasoning(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    is_led_on = False
    for item in reversed(items):
        if item.get("type") != "reasoning":
            is_led_on = item.get("role", "assistant") == "assistant" and not _is_result(item)
        if item.get("type") != "reasoning" or is_led_on:
            kept.append(item)
    return kept[::-1]


def _is_call(item: dict[str, Any]) -> bool:
    return item.get("type") in CALLS and "call_id" in item


def _is_result(item: dict[str, Any]) -> bool:
    return item.get("type") in RESULTS and "call_id" in item


def _item_of(row: MessageRow) -> dict[str, Any] | None:
    native = row.native or {}
    if native.get("framework") == FRAMEWORK:
        item: dict[str, Any] = json.loads(native["data"])
        return item
    return {"role": row.role, "content": row.content} if row.content.strip() else None


def _stored(item: dict[str, Any]) -> Item:
    native = json.dumps(item)
    kind = item.get("type", "message")
    if kind == "message":
        role = ROLES.get(str(item.get("role")), "system")
        parts = _message_parts(item.get("content"))
        is_text = all(part["type"] == "text" for part in parts)
        return Item(role, text_of(parts), native, () if is_text else parts)
    return Item("assistant", "", native, [_part_of(kind, item)])


def _message_parts(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    blocks = content if isinstance(content, list) else []
    return [
        {"type": "text", "text": str(block.get("text", ""))}
        if block.get("type") in TEXTS
        else {"type": "data-item", "data": block}
        for block in blocks
    ]


def _part_of(kind: str, item: dict[str, Any]) -> Part:
    """Return an item that is no message as a part that a page can show."""
    if kind == "reasoning":
        texts = [block.get("text", "") for block in item.get("summary") or ()]
        return {"type": "reasoning", "text": "\n\n".join(texts)}
    call = {"type": "dynamic-tool", "toolName": str(item.get("name", "")) or "tool"}
    if _is_call(item):
        given = {"input": item.get("arguments", item.get("input"))}
        return {**call, "toolCallId": item["call_id"], "state": "input-available", **given}
    if _is_result(item):
        given = {"output": item.get("output")}
        return {**call, "toolCallId": item["call_id"], "state": "output-available", **given}
    return {"type": "data-item", "data": item}
