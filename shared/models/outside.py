"""Turns whose writer is a program outside: what `turns` takes and returns."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field, JsonValue, model_validator

from ..encoding.parts import text_of
from .base import Envelope, Metadata, Piece, PlainUuid, RequestBody, Row, Text
from .parts import ReplyParts
from .rows import MessageRow, TurnStatus
from .turns import RESERVED_METADATA, MegaMindRequest

CALL: dict[str, JsonValue] = {
    "type": "tool-calendar",
    "toolCallId": "call-1",
    "state": "input-available",
    "input": {"day": "today"},
}
USER = "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11"

MOST_CHARACTERS = 2_000_000_000  # more than any draft has; with a piece's it is a Postgres integer

LeaseSeconds = Annotated[int, Field(ge=5, le=3600, strict=True)]
AttemptNumber = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]
Place = Annotated[int, Field(ge=0, le=MOST_CHARACTERS, strict=True)]
Word = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,63}$")]
Sentence = Annotated[str, Field(min_length=1, max_length=1_000)]


class BeginTurnRequest(MegaMindRequest):
    """A user's message, to be answered by the caller."""

    EXAMPLE: ClassVar = {"userId": USER, "request": "What is on today?"}

    user_id: PlainUuid
    persist_messages: Literal[True] = True
    lease_seconds: LeaseSeconds | None = None

    def as_asked(self) -> MegaMindRequest:
        """Return what mega-mind would be asked: the same under one key."""
        fields = self.model_dump(by_alias=True, exclude={"lease_seconds"}, exclude_unset=True)
        return MegaMindRequest.model_validate(fields)


class HistoryRow(Row):
    """A message that came before, as an AI is given it. `seq` is 0 for a note that isn't stored."""

    seq: int
    role: Literal["user", "assistant", "system"]
    content: str
    is_summary: bool
    failure: str | None
    is_note: bool
    parts: list[dict[str, Any]]
    native: dict[str, Any] | None


class BegunTurnResponse(Envelope):
    """The turn to write, or, if `replayed`, the reply that its key led to before."""

    replayed: bool
    turn_id: UUID
    conversation_id: UUID
    attempt: int
    lease_expires_at: str
    user_message: MessageRow
    message: MessageRow | None
    history: list[HistoryRow]


class WriteTurnRequest(RequestBody):
    """The next text of a reply and the parts behind it; without either the lease is renewed.

    `offset` and `version` are those of the last answer, 0 at first: so many characters of text, so
    many changes of parts. At another place nothing is written, so that a write may be repeated. A
    part takes the place of the one with its `toolCallId`, or with its type and `id`.
    """

    EXAMPLE: ClassVar = {
        "userId": USER,
        "attempt": 1,
        "offset": 0,
        "version": 0,
        "text": "Two meetings",
        "parts": [CALL],
    }

    user_id: PlainUuid
    attempt: AttemptNumber
    offset: Place
    version: Count = 0
    text: Piece = ""
    parts: ReplyParts = Field(default_factory=list)
    lease_seconds: LeaseSeconds | None = None


class WrittenTurnResponse(Envelope):
    """Where the draft is: go on from `offset` and `version`, whatever was sent."""

    turn_id: UUID
    attempt: int
    offset: int
    version: int
    cancel_requested: bool


class GivenUsage(RequestBody):
    """What the AI took, as its provider counted."""

    input_tokens: Count
    output_tokens: Count
    requests: Count = 1


class GivenFile(RequestBody):
    """A file of the reply."""

    path: Annotated[str, Field(min_length=1, max_length=255)]
    language: Annotated[str, Field(max_length=100)] | None = None
    content: Piece


class _Ending(RequestBody):
    """What both ends of a turn take."""

    user_id: PlainUuid
    attempt: AttemptNumber
    content: Text | None = None
    parts: ReplyParts = Field(default_factory=list)
    usage: GivenUsage | None = None
    metadata: Metadata = Field(default_factory=dict)
    engine: Annotated[str, Field(min_length=1, max_length=200)] = "own"

    @model_validator(mode="after")
    def _parts_that_say_the_content(self) -> Self:
        if self.content is not None and text_of(self.parts) not in {"", self.content}:
            raise ValueError("the text of parts should be the content, or left to it")
        return self

    @model_validator(mode="after")
    def _own_metadata_keys(self) -> Self:
        taken = RESERVED_METADATA & self.metadata.keys()
        if taken:
            raise ValueError(f"metadata may not set {', '.join(sorted(taken))}")
        return self


class CompleteTurnRequest(_Ending):
    """A reply, to be stored."""

    EXAMPLE: ClassVar = {
        "userId": USER,
        "attempt": 1,
        "content": "Two meetings, at ten and at three.",
        "usage": {"inputTokens": 250, "outputTokens": 12},
    }

    files: Annotated[list[GivenFile], Field(max_length=1_000)] = Field(default_factory=list)
    intent: Word | None = None
    complexity: Literal["simple", "moderate", "complex"] | None = None
    strategy: Sentence | None = None

    @model_validator(mode="after")
    def _whole_analysis(self) -> Self:
        given = [part is not None for part in (self.intent, self.complexity, self.strategy)]
        if any(given) and not all(given):
            raise ValueError("give intent, complexity and strategy, or none of them")
        return self


class TurnFailure(RequestBody):
    """Why there is no whole reply: a word, and a sentence that the user may read."""

    type: Word
    message: Sentence


class FailTurnRequest(_Ending):
    """A failure, to be stored as the reply, with the text so far."""

    EXAMPLE: ClassVar = {
        "userId": USER,
        "attempt": 1,
        "error": {"type": "timeout", "message": "The AI took too long to answer."},
    }

    error: TurnFailure


class EndedTurnResponse(Envelope):
    """How the turn ended, with both stored messages."""

    turn_id: UUID
    conversation_id: UUID
    status: TurnStatus
    user_message: MessageRow
    message: MessageRow
