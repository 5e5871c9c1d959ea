"""Turns: what mega-mind, cancel-turn and sweep-turns take and return, and the store with them."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from ..encoding.parts import Part, text_of
from ..encoding.sizes import MAX_PARTS_BYTES, stored_size
from .base import Envelope, Metadata, PlainUuid, RequestBody, Text
from .context import History
from .parts import RequestParts, parts_with_text
from .rows import ConversationRow, MessageRow, TurnRow, TurnStatus

# Keys of a reply's metadata that are ours; a caller's metadata keeps keys of its own.
RESERVED_METADATA = frozenset(
    {
        "success",
        "filesGenerated",
        "files",
        "duration",
        "intent",
        "complexity",
        "strategy",
        "timestamp",
        "error",
        "projectId",
        "requestId",
        "engine",
        "usage",
        "escaped",
        "persistedAfter",
        "truncated",
        "finishReason",
        "reasoning",
        "context",
    }
)


class MegaMindRequest(RequestBody):
    """One request to the AI.

    `edits` names a user's message that this one is to stand beside, `regenerates` a message that
    is to be answered once more, or its reply; the path goes on from there.
    """

    EXAMPLE: ClassVar = {"request": "Write a Python function that adds two numbers"}

    request: Text = ""
    conversation_id: PlainUuid | None = None
    project_id: PlainUuid | None = None
    user_id: PlainUuid | None = None
    persist_messages: StrictBool = True
    metadata: Metadata = Field(default_factory=dict)
    parts: RequestParts = Field(default_factory=list)
    edits: PlainUuid | None = None
    regenerates: PlainUuid | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if self.regenerates is None and not self.request:
            raise ValueError("request is required, but where regenerates is given")
        if self.regenerates is not None and (self.request or self.edits or self.parts):
            raise ValueError("regenerates stands without request, parts and edits")
        if (self.edits or self.regenerates) and not self.persist_messages:
            raise ValueError("what edits or regenerates is stored")
        if (self.edits or self.regenerates) and self.conversation_id is None:
            raise ValueError("conversationId is required with edits and regenerates")
        return self

    @model_validator(mode="after")
    def _own_metadata_keys(self) -> Self:
        taken = RESERVED_METADATA & self.metadata.keys()
        if taken:
            raise ValueError(f"metadata may not set {', '.join(sorted(taken))}")
        return self

    @model_validator(mode="after")
    def _parts_that_say_the_request(self) -> Self:
        if text_of(self.parts) not in {"", self.request}:
            raise ValueError("the text of parts should be the request, or left to it")
        if self.parts and stored_size(self.message_parts) > MAX_PARTS_BYTES:
            raise ValueError(f"parts should take at most {MAX_PARTS_BYTES} bytes with the request")
        return self

    @property
    def message_parts(self) -> list[Part]:
        """The parts of the user's message, its text among them; none if it is text alone."""
        return parts_with_text(self.parts, self.request)


class UserIntent(Envelope):
    """What the user wants."""

    primary_goal: str | None


class ComplexityLevel(Envelope):
    """How much work it is: simple, moderate or complex."""

    level: str | None


class ExecutionStrategy(Envelope):
    """How the AI went about it."""

    primary_approach: str | None


class AnalysisResponse(Envelope):
    """The AI's reading of a request; its values are null if the AI failed before it."""

    user_intent: UserIntent
    complexity: ComplexityLevel
    execution_strategy: ExecutionStrategy


class UnstoredMessage(Envelope):
    """A reply that was not to be stored."""

    model_config = ConfigDict(alias_generator=None)

    role: Literal["assistant"] = "assistant"
    content: str
    generated_code: str | None
    metadata: dict[str, Any]
    parts: list[Part] = Field(default_factory=list)
    native: dict[str, Any] | None = None


class MegaMindResponse(Envelope):
    """What a turn led to. `duration` is in seconds."""

    success: bool
    conversation_id: UUID | None
    turn_id: UUID | None
    replayed: bool
    user_message: MessageRow | None
    message: MessageRow | UnstoredMessage
    analysis: AnalysisResponse
    files_generated: int
    files: list[dict[str, Any]]
    duration: float


class CancelTurnRequest(RequestBody):
    """Which turn to stop."""

    EXAMPLE: ClassVar = {"turnId": "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11"}

    turn_id: PlainUuid
    user_id: PlainUuid | None = None


class CancelTurnResponse(Envelope):
    """Where the turn stands: still running until its worker has seen the request."""

    turn_id: UUID
    status: TurnStatus
    message: MessageRow | None


class SweepTurnsResponse(Envelope):
    """How many turns without a worker were settled."""

    settled: int


class DraftPart(BaseModel):
    """A part of a draft; a text part has no text of its own.

    Its text is the draft's from `offset` on (in characters), up to that of the next part. `version`
    grows with each change of any part of the draft.
    """

    index: int
    offset: int
    version: int
    part: dict[str, Any]


class TurnRecord(History):
    """What begin_turn, load_turn and cancel_turn return."""

    outcome: Literal["started", "taken_over", "replayed", "in_progress", "completed", "superseded"]
    turn: TurnRow
    conversation: ConversationRow
    user_message: MessageRow
    reply: MessageRow | None
    draft: str = ""
    draft_parts: list[DraftPart] = Field(default_factory=list)
    seconds: float = 0.0  # since it began, by the store's clock; of load_turn alone
    is_expired: bool = False

    def ended(self, done: CompletedTurn) -> TurnRecord:
        """Return it as it is once it was completed."""
        return self.model_copy(
            update={"outcome": done.outcome, "turn": done.turn, "reply": done.reply}
        )


class CompletedTurn(BaseModel):
    """What complete_turn returns; `superseded` where another worker has the turn or its reply."""

    outcome: Literal["completed", "superseded"]
    turn: TurnRow
    reply: MessageRow | None


class TurnNews(BaseModel):
    """What follow_turn returns: how a turn stands, and what is new of its draft."""

    status: TurnStatus
    attempt: int
    lease_expires_at: str
    is_expired: bool
    draft_tail: str
    draft_parts: list[DraftPart] = Field(default_factory=list)


class TurnExtension(BaseModel):
    """What extend_turns takes of one turn: its draft from an offset on, in characters.

    Of its parts those that have changed; None if none has. With a `parts_version` the draft is only
    written if its parts are at that version.
    """

    user_id: UUID
    turn_id: UUID
    attempt: int
    draft_offset: int
    draft_tail: str
    draft_parts: list[DraftPart] | None = None
    parts_version: int | None = None
    tokens: int | None = 0  # None: as many as are stored

    def as_argument(self) -> dict[str, Any]:
        """Return its JSON form, which says nothing of parts where there is no news of them."""
        unchanged = {"draft_parts"} if self.draft_parts is None else set()
        return self.model_dump(mode="json", exclude=unchanged)


class ExtendedTurn(BaseModel):
    """What extend_turns returns of one turn: whether it is still this worker's, and is to go on.

    Where it is, also how many characters its draft has now, and the version of its parts, if that
    was asked for.
    """

    turn_id: UUID
    is_ours: bool
    cancel_requested: bool
    conversation_id: UUID | None = None
    draft_length: int | None = None
    parts_version: int | None = None


class ExtendedTurns(BaseModel):
    """What extend_turns returns; a turn that somebody held is left out.

    `running` is how many turns run in the whole project.
    """

    turns: list[ExtendedTurn]
    running: int


class CountedTurn(BaseModel):
    """What count_unstored_turn returns: by what add_tokens knows the turn."""

    id: UUID


class CountedTokens(BaseModel):
    """What add_tokens returns; false where nothing is known of the turn any more."""

    is_counted: bool


class SettledTurns(BaseModel):
    """What settle_expired_turn returns."""

    settled: int


class ExpiredTurn(BaseModel):
    """Whose turn has no worker any more, and in which conversation."""

    user_id: UUID
    conversation_id: UUID


class ExpiredTurns(BaseModel):
    """What list_expired_turns returns."""

    turns: list[ExpiredTurn]
