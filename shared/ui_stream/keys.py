"""By what a chat and its messages are known here: the AI SDK's ids are any text, ours are uuids."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uuid import UUID

    from ..models.rows import TurnRow
    from ..models.ui_messages import UiMessage

PREFIX: Final = "ui-message "


def message_key(conversation_id: UUID, message: UiMessage) -> str:
    """Return the idempotency key of a new message: sent again, it is the same turn."""
    return _key(conversation_id, message.id)


def edit_key(conversation_id: UUID, message: UiMessage) -> str:
    """Return the key of a message that takes another's place, and keeps its id there."""
    return _key(conversation_id, message.id, json.dumps(message.parts, sort_keys=True))


def regenerate_key(conversation_id: UUID, message_id: UUID, *more: object) -> str:
    """Return the key of a reply that is made once more."""
    return _key(conversation_id, "regenerate", message_id, *more)


def answer_key(conversation_id: UUID, reply_id: UUID) -> str:
    """Return the key of an answer to a reply's tool calls."""
    return _key(conversation_id, "answer", reply_id)


def given_key(conversation_id: UUID, key: str) -> str:
    """Return the key of what a client has given a key of its own."""
    return _key(conversation_id, "given", key)


def is_ours(turn: TurnRow) -> bool:
    """Whether a turn was begun here, and so is the process's own AI's to go on with."""
    return turn.idempotency_key.startswith(PREFIX)


def _key(conversation_id: UUID, *said: object) -> str:
    digest = hashlib.sha256(json.dumps([str(conversation_id), *map(str, said)]).encode())
    return PREFIX + digest.hexdigest()
