"""Exports and imports: what their endpoints take and answer, and the store with them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
)

from shared.encoding.strict import STORED, parse_json
from shared.models.base import Envelope, PlainUuid, RequestBody, Title
from shared.models.rows import ConversationRow, MessageRow

ExportFormat = Literal["json", "markdown", "pdf"]
ImportSource = Literal["message-persistence", "list", "chatgpt", "claude"]
SkipReason = Literal[
    "already_here",  # the conversation itself is still there, with all that the file has
    "already_imported",  # the same thing was taken before
    "empty",  # nothing in it that a user or an assistant said
]


def _json_text(value: Any) -> Any:
    return parse_json(value, STORED) if isinstance(value, str) else value


JsonText = Annotated[dict[str, Any], BeforeValidator(_json_text)]


class ExportConversationRequest(RequestBody):
    """Which conversation, and as what."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "conversationId": "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11",
                "format": "markdown",
            }
        }
    )

    conversation_id: PlainUuid
    format: ExportFormat = "json"
    user_id: PlainUuid | None = None


class ExportAccountRequest(RequestBody):
    """Whose account: with a user's token their own, with the service key anyone's."""

    model_config = ConfigDict(json_schema_extra={"example": {}})

    user_id: PlainUuid | None = None


class TurnExport(BaseModel):
    """A turn as it is exported, beside the message that opened it."""

    model_config = ConfigDict(extra="allow")

    error: JsonText | None


class MessageExport(MessageRow):
    """A row of `messages`, with the turn that it opened; numbers keep every digit."""

    metadata: JsonText
    turn: TurnExport | None


class ConversationExport(ConversationRow):
    """A row of `conversations`; numbers keep every digit."""

    metadata: JsonText


class ExportPage(BaseModel):
    """What export_messages answers."""

    conversation: ConversationExport
    messages: list[MessageExport]


class ConversationIds(BaseModel):
    """What export_conversations answers."""

    ids: list[UUID]


class PlainMessage(RequestBody):
    """A message as a client without persistence has it in memory.

    `timestamp` is ISO 8601 text, or milliseconds since 1970 as JavaScript has them.
    """

    role: Literal["user", "assistant", "system"]
    content: StrictStr
    timestamp: StrictStr | StrictInt | StrictFloat | None = None


class PlainConversation(RequestBody):
    """Messages with what their conversation is to be called."""

    messages: list[PlainMessage]
    title: Title | None = None


class OurMessage(BaseModel):
    """A message of our own JSON; members beside these are not covered by its checksum."""

    seq: Annotated[int, Field(strict=True)]
    role: Literal["user", "assistant", "system"]
    content: StrictStr
    generated_code: StrictStr | None
    metadata: dict[str, Any]
    is_summary: Annotated[bool, Field(strict=True)]
    created_at: datetime


class OurHeader(BaseModel):
    """The conversation of our own JSON, as its checksum covers it; its title may be blank."""

    title: Annotated[StrictStr, Field(min_length=1, max_length=200)]
    metadata: dict[str, Any]
    created_at: datetime
    archived_at: datetime | None


class OurSource(BaseModel):
    """Where our own JSON is from. No checksum covers it: only believed where that is harmless."""

    conversation_id: UUID | None = Field(default=None, alias="conversationId")
    user_id: UUID | None = Field(default=None, alias="userId")
    project_id: UUID | None = Field(default=None, alias="projectId")
    imported: dict[str, Any] | None = None


class OurChecksum(BaseModel):
    """What our own JSON ends with."""

    algorithm: Literal["sha256"]
    value: StrictStr


class OurDocument(BaseModel):
    """Our own JSON of a conversation."""

    source: OurSource = Field(default_factory=OurSource)
    conversation: OurHeader
    messages: list[OurMessage]
    checksum: OurChecksum


class TakenConversation(Envelope):
    """A conversation that was imported. `leftOut` counts what was not taken of it, by why."""

    conversation_id: UUID
    title: str
    messages: int
    left_out: dict[str, int]


class SkippedConversation(Envelope):
    """One that was not, and why; `conversationId` is the one that is there already."""

    title: str
    source_id: str
    reason: SkipReason
    conversation_id: UUID | None


class ImportReport(Envelope):
    """What became of a file: what was taken, and what was skipped and why."""

    source: ImportSource
    messages: int
    taken: list[TakenConversation]
    skipped: list[SkippedConversation]


class StagedPart(BaseModel):
    """What stage_import answers."""

    part: int


class ImportLeftBehind(BaseModel):
    """Whose import has left its parts staged."""

    user_id: UUID
    import_id: UUID


class ImportsLeftBehind(BaseModel):
    """What list_imports_left_behind answers."""

    imports: list[ImportLeftBehind]


class ImportOutcome(BaseModel):
    """What became of one staged conversation."""

    id: UUID
    is_taken: bool
    known_id: UUID | None
    is_same: bool


class ImportOutcomes(BaseModel):
    """What commit_import answers, in the order staged."""

    conversations: list[ImportOutcome]
