"""A request of a verified user, under the key that makes repeating it harmless."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from ..ai.protocol import Engine
    from ..auth.caller import Caller
    from ..models.turns import MegaMindRequest


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What begins a turn. `arrived_at` is when it came in, by the monotonic clock.

    With `opens_conversation` the conversation that it names is begun where there is none.
    `engine` answers this one in the place of the process's own.
    """

    user_id: UUID
    idempotency_key: str
    body: MegaMindRequest
    caller: Caller
    arrived_at: float = field(default_factory=time.monotonic)
    opens_conversation: bool = False
    engine: Engine | None = None

    def fingerprint(self) -> str:
        """Return the hash by which two requests under one key are distinguished."""
        # Without defaults, so that a field added later leaves older fingerprints as they are.
        fields = self.body.model_dump(mode="json", exclude={"user_id"}, exclude_defaults=True)
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
