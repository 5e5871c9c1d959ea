"""Rows, requests and answers.

Envelope fields are camelCase on the wire; rows keep the database's names, exactly as a Supabase
client returns them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    model_validator,
)
from pydantic.alias_generators import to_camel

Role = Literal["user", "assistant", "system"]
TurnStatus = Literal[
    "running",  # -> any of the others, which are final
    "completed",
    "failed",
    "cancelled",
    "interrupted",
]

MAX_LIMIT = 200
MAX_SEQ = 2**53 - 1
MAX_METADATA_KEYS = 100

# Keys of a reply's metadata that are ours; a caller's metadata keeps keys of its own.
RESERVED_METADATA = frozenset(
    {
        "success",
        "filesGenerated",
        "duration",
        "intent",
        "complexity",
        "strategy",
        "timestamp",
        "error",
        "projectId",
        "engine",
        "usage",
        "escaped",
        "truncated",
    }
)


def _plain_uuid(value: Any) -> Any:
    """Accept the canonical form alone, not the urn:, braced or bare-hex ones."""
    if isinstance(value, str) and len(value) != 36:
        raise ValueError("should be a uuid such as 6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("should not be blank")
    return value


PlainUuid = Annotated[UUID, BeforeValidator(_plain_uuid)]
Title = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_not_blank)]
Metadata = Annotated[dict[str, JsonValue], Field(max_length=MAX_METADATA_KEYS)]
Seq = Annotated[int, Field(ge=0, le=MAX_SEQ)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]

# In JSON a number is a number and a flag is a flag; in a query everything is text.
JsonSeq = Annotated[Seq, Field(strict=True)]
JsonLimit = Annotated[Limit, Field(strict=True)]


class Envelope(BaseModel):
    """Anything of ours on the wire: camelCase outside, snake_case inside."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class RequestBody(Envelope):
    """A request's body: unknown fields are refused rather than ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=False, extra="forbid", frozen=True
    )


class Row(BaseModel):
    """A database row, passed on as it is; columns that a newer schema adds pass too."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ConversationRow(Row):
    """A row of `conversations`."""

    id: UUID
    user_id: UUID
    project_id: UUID | None
    title: str
    metadata: dict[str, Any]
    last_seq: int
    created_at: str
    updated_at: str
    archived_at: str | None


class MessageRow(Row):
    """A row of `messages`."""

    id: UUID
    conversation_id: UUID
    role: Role
    content: str
    generated_code: str | None
    metadata: dict[str, Any]
    user_id: UUID
    is_summary: bool
    created_at: str
    seq: int
    turn_id: UUID | None


class MegaMindRequest(RequestBody):
    """One request to the AI."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"request": "Write a Python function that adds two numbers"}}
    )

    request: Annotated[str, Field(min_length=1), AfterValidator(_not_blank)]
    conversation_id: PlainUuid | None = None
    project_id: PlainUuid | None = None
    user_id: PlainUuid | None = None
    persist_messages: StrictBool = True
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _own_metadata_keys(self) -> Self:
        taken = RESERVED_METADATA & self.metadata.keys()
        if taken:
            raise ValueError(f"metadata may not set {', '.join(sorted(taken))}")
        return self


class UserIntent(Envelope):
    """What the user wants."""

    primary_goal: str | None


class ComplexityLevel(Envelope):
    """How much work it is: simple, moderate or complex."""

    level: str | None


class ExecutionStrategy(Envelope):
    """How the AI went about it."""

    primary_approach: str | None


class AnalysisAnswer(Envelope):
    """The AI's reading of a request; its values are null where the AI failed before it."""

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


class MegaMindAnswer(Envelope):
    """What a turn led to. `duration` is in seconds."""

    success: bool
    conversation_id: UUID | None
    turn_id: UUID | None
    replayed: bool
    user_message: MessageRow | None
    message: MessageRow | UnstoredMessage
    analysis: AnalysisAnswer
    files_generated: list[dict[str, Any]]
    duration: float


class LoadConversationRequest(RequestBody):
    """Which page of which conversation: the newest, or before/after a seq, or around a message."""

    conversation_id: PlainUuid
    limit: JsonLimit = 50
    before: JsonSeq | None = None
    after: JsonSeq | None = None
    around: PlainUuid | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.before, self.after, self.around)) > 1:
            raise ValueError("only one of before, after and around can be given")
        return self


class LoadConversationQuery(LoadConversationRequest):
    """The same as a query."""

    limit: Limit = 50
    before: Seq | None = None
    after: Seq | None = None


class Page(Envelope):
    """Where a page lies in its conversation. Seqs are null on an empty page."""

    has_older: bool
    has_newer: bool
    oldest_seq: int | None
    newest_seq: int | None


class OpenTurn(Envelope):
    """The turn that is still running. `offset` counts the draft's characters (code points)."""

    turn_id: UUID
    status: TurnStatus
    attempt: int
    user_message_id: UUID
    draft: str
    offset: int
    started_at: str
    lease_expires_at: str


class LoadConversationAnswer(Envelope):
    """A page of a conversation, oldest message first."""

    conversation: ConversationRow
    messages: list[MessageRow]
    page: Page
    last_seq: int
    open_turn: OpenTurn | None


class ListConversationsRequest(RequestBody):
    """Which conversations, newest activity first."""

    archived: bool = False
    project_id: PlainUuid | None = None
    limit: Limit = 50
    cursor: Annotated[str, Field(max_length=200)] | None = None


class ListConversationsAnswer(Envelope):
    """A page of conversations; `nextCursor` is null on the last one."""

    conversations: list[ConversationRow]
    next_cursor: str | None


class CreateConversationRequest(RequestBody):
    """A new, empty conversation."""

    title: Title = "New Chat"
    project_id: PlainUuid | None = None
    metadata: Metadata = Field(default_factory=dict)


class UpdateConversationRequest(RequestBody):
    """What to change; a field that is left out stays as it is."""

    title: Title | None = None
    archived: StrictBool | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.title is None and self.archived is None:
            raise ValueError("give a title, or archived, or both")
        return self


class ConversationAnswer(Envelope):
    """One conversation."""

    conversation: ConversationRow


class CancelTurnRequest(RequestBody):
    """Which turn to stop."""

    turn_id: PlainUuid


class CancelTurnAnswer(Envelope):
    """Where the turn stands: still running until its worker has seen the request."""

    turn_id: UUID
    status: TurnStatus
    message: MessageRow | None


class SweepAnswer(Envelope):
    """How many turns without a worker were settled."""

    settled: int


class DeletedAnswer(Envelope):
    """What is gone."""

    deleted: UUID


class ErrorAnswer(BaseModel):
    """Every error, in the shape that Supabase clients know."""

    code: str
    message: str
    details: Any = None
    hint: str | None = None


class TurnRow(Row):
    """A row of `turns`, without what only the store needs."""

    id: UUID
    user_id: UUID
    idempotency_key: str
    status: TurnStatus
    attempt: int
    lease_expires_at: str


class TurnRecord(BaseModel):
    """What begin_turn, complete_turn, load_turn and cancel_turn answer."""

    outcome: Literal["started", "taken_over", "replayed", "in_progress", "completed", "superseded"]
    turn: TurnRow
    conversation: ConversationRow
    user_message: MessageRow
    reply: MessageRow | None
    history: list[dict[str, Any]]
    draft: str = ""
    is_expired: bool = False


class Heartbeat(BaseModel):
    """What extend_turn answers: whether the turn is still this worker's, and is to go on."""

    is_ours: bool
    cancel_requested: bool


class Settled(BaseModel):
    """What settle_expired_turn and sweep_turns answer."""

    settled: int


class ConversationList(BaseModel):
    """What list_conversations answers."""

    conversations: list[ConversationRow]
    has_more: bool


class InvariantCheck(BaseModel):
    """One thing that must hold: how often it doesn't, and up to five ids of where."""

    name: str
    broken: int
    examples: list[UUID]
    repairable: bool


class InvariantReport(BaseModel):
    """What check_invariants answers: every check, broken or not."""

    checks: list[InvariantCheck]


class Repair(BaseModel):
    """How much of one check's findings was mended."""

    name: str
    repaired: int


class RepairReport(BaseModel):
    """What repair_invariants answers: everything that it can mend, done or not."""

    repaired: list[Repair]
