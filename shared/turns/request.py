"""A request of a verified user, under the key that makes repeating it harmless."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..models.turns import RESERVED_METADATA, MegaMindRequest

if TYPE_CHECKING:
    from uuid import UUID

    from ..ai.protocol import Engine
    from ..auth.caller import Caller
    from ..models.turns import TurnRecord


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What begins a turn. `arrived_at` is when it came in, by the monotonic clock.

    With `opens_conversation` the conversation that it names is begun where there is none.
    `engine` answers this one in the place of the process's own. One that is known was compared
    when it came: its key alone says what it is.
    """

    user_id: UUID
    idempotency_key: str
    body: MegaMindRequest
    caller: Caller
    arrived_at: float = field(default_factory=time.monotonic)
    opens_conversation: bool = False
    engine: Engine | None = None
    is_known: bool = False

    def fingerprint(self) -> str | None:
        """Return the hash by which two requests under one key are distinguished."""
        if self.is_known:
            return None
        # Without defaults, so that a field added later leaves older fingerprints as they are.
        fields = self.body.model_dump(mode="json", exclude={"user_id"}, exclude_defaults=True)
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def known_request(record: TurnRecord, caller: Caller) -> TurnRequest:
    """Return the request that began a turn, as far as a worker needs it, to take the turn over."""
    asked = record.user_message
    own = {key: value for key, value in asked.metadata.items() if key not in RESERVED_METADATA}
    body = MegaMindRequest.model_construct(
        request=asked.content,
        parts=asked.parts,
        metadata=own,
        conversation_id=record.conversation.id,
    )
    key = record.turn.idempotency_key
    return TurnRequest(record.turn.user_id, key, body, caller, is_known=True)
