"""What `useChat` sends, as requests of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from ..encoding.parts import text_of
from ..errors import InvalidRequestError
from ..models.turns import MegaMindRequest

if TYPE_CHECKING:
    from uuid import UUID

    from ..models.ui_messages import UiMessage, UiMessagesRequest


@dataclass(frozen=True, slots=True)
class Sending:
    """A request, the Idempotency-Key that came with it, and when it arrived (monotonic)."""

    request: UiMessagesRequest
    key: str | None
    arrived_at: float

    @property
    def message(self) -> UiMessage:
        """What is answered."""
        return self.request.last_message


def asked(message: UiMessage) -> dict[str, Any]:
    """Return what a user's message asks, as fields of a request; files go by their names.

    Its metadata says which of a client's messages it is: its row has an id of its own.
    """
    parts = message.parts
    texts = [part for part in parts if part.get("type") == "text" and part.get("text")]
    names = [part.get("filename") or part.get("mediaType") for part in parts]
    is_plain = len(parts) == 1 and parts[0].keys() == {"type", "text"}
    try:
        text = text_of(texts and parts)
    except (KeyError, TypeError):
        raise InvalidRequestError("A part of the message is none of the AI SDK's.") from None
    return {
        "request": text or ", ".join(str(name) for name in names if name),
        "parts": [] if is_plain else parts,
        "metadata": {**(message.metadata or {}), "sentAs": message.id},
    }


def body_of(conversation_id: UUID, *, project_id: UUID | None, **fields: Any) -> MegaMindRequest:
    """Return a request of ours; raise InvalidRequestError if its body would be refused."""
    given = {"conversation_id": conversation_id, "project_id": project_id, **fields}
    wire = {to_camel(name): value for name, value in given.items()}
    try:
        return MegaMindRequest.model_validate(wire)
    except ValidationError as exc:
        problems = [
            {"field": ".".join(map(str, ("message", *error["loc"]))), "problem": error["msg"]}
            for error in exc.errors()
        ]
        raise InvalidRequestError(details=problems) from None
