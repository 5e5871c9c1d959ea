"""Exports and imports: what their endpoints take and answer, and the store with them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
)

from ..encoding.parts import Part
from ..encoding.strict import STORED, parse_json
from .base import Envelope, PlainUuid, RequestBody
from .rows import ConversationRow, MessageRow

ExportFormat = Literal["json", "markdown", "pdf"]
ImportSource = Literal[
    "message-persistence", "list", "chatgpt", "claude", "deepseek", "gemini", "langchain",
    "librechat", "open-webui", "sharegpt", "vercel",
]  # fmt: skip
SkipReason = Literal[
    "already_here",  # the conversation itself is still there, with all that the file has
    "already_imported",  # the same thing was taken before
    "deleted",  # taken before under the same Idempotency-Key, and deleted since
    "key_reused",  # its Idempotency-Key named another list; where nothing is taken, the error
    "empty",  # nothing in it that a user or an assistant said
    "checksum_mismatch",  # our own JSON, changed since it was exported
    "too_large",  # our own JSON, with a row that is larger than one may be
    "unreadable",  # not JSON that can be read, or no conversation of a format that is known
]


def _json_text(value: Any) -> Any:
    return parse_json(value, STORED) if isinstance(value, str) else value


JsonText = Annotated[dict[str, Any], BeforeValidator(_json_text)]
JsonParts = Annotated[list[Part], BeforeValidator(_json_text)]


class ExportConversationRequest(RequestBody):
    """Which conversation, and as what."""

    EXAMPLE: ClassVar = {
        "conversationId": "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11",
        "format": "markdown",
    }

    conversation_id: PlainUuid
    format: ExportFormat = "json"
    user_id: PlainUuid | None = None


class ExportAccountRequest(RequestBody):
    """Whose account: with a user's token their own, with the service key anyone's.

    `after` is the place that the part before names.
    """

    EXAMPLE: ClassVar = {}

    user_id: PlainUuid | None = None
    after: PlainUuid | None = None


class TurnExport(BaseModel):
    """A turn as it is exported, beside the message that opened it."""

    model_config = ConfigDict(extra="allow")

    error: JsonText | None
    draft_parts: Annotated[list[dict[str, Any]], BeforeValidator(_json_text)] = []


class ShownMessage(MessageRow):
    """A row of `messages`, and where it is among its conversation's branches, in words.

    `opening` is the heading of the messages beside the active path that begin with this one,
    `versions` names the others that may be read in its place.
    """

    opening: str = ""
    versions: str = ""


class MessageExport(ShownMessage):
    """A row of `messages`, with the turn that it opened; numbers keep every digit."""

    metadata: JsonText
    parts: JsonParts = Field(default_factory=list)
    native: JsonText | None = None
    turn: TurnExport | None


class BranchExport(BaseModel):
    """From where a branch of a conversation goes on, and the seq that it begins with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    branch: StrictInt
    parent: StrictInt
    fork_seq: StrictInt
    first_seq: StrictInt


class ConversationExport(ConversationRow):
    """A row of `conversations`; numbers keep every digit."""

    metadata: JsonText
    branches: list[BranchExport] = Field(default_factory=list)


class ExportPage(BaseModel):
    """What export_messages answers."""

    conversation: ConversationExport
    messages: list[MessageExport]


class ConversationPages(BaseModel):
    """What export_conversations answers: conversations, each with its first messages."""

    conversations: list[ExportPage]


class ExportPlan(BaseModel):
    """What plan_export answers: the last conversation of a part, and whether others follow."""

    until: UUID | None
    more: bool | None


class TakenConversation(Envelope):
    """A conversation that was imported.

    `leftOut` counts what was not taken of it, by why; `kept` counts what stands beside the words of
    its messages, by what it is.
    """

    conversation_id: UUID
    source: ImportSource
    title: str
    messages: int
    left_out: dict[str, int]
    kept: dict[str, int]


class UpdatedConversation(Envelope):
    """One that was imported before and has grown: `messages` were added to it.

    `changed` counts those that say something else in the file than here; they stay as they are.
    """

    conversation_id: UUID
    source: ImportSource
    title: str
    messages: int
    changed: int


class SkippedConversation(Envelope):
    """One that was not, and why; `conversationId` is the one that is there already."""

    title: str
    source_id: str | None
    reason: SkipReason
    conversation_id: UUID | None
    left_out: dict[str, int]


class ImportReport(Envelope):
    """What became of a file: what was taken, what had grown, and what was skipped and why."""

    sources: list[ImportSource]
    messages: int
    taken: list[TakenConversation]
    updated: list[UpdatedConversation]
    skipped: list[SkippedConversation]


class ImportProgress(Envelope):
    """How much of a file is taken: messages, and how many it has in all, 0 while it is read."""

    done: int
    total: int


class ReadConversation(BaseModel):
    """What is to be reported of a conversation that was read; one that has a place is stored."""

    place: int | None = None
    source: ImportSource | None = None
    source_id: str | None = None
    original_id: str | None = None
    is_list: bool = False  # named by an Idempotency-Key, or by its content
    title: str
    messages: int = 0
    left_out: dict[str, int] = {}
    kept: dict[str, int] = {}
    reason: SkipReason | None = None


class ReadingTask(BaseModel):
    """What the process that reads files is to do: for whom, of what, within which limits."""

    user_id: UUID
    by: Literal["service", "user"]
    key: str | None
    is_zip: bool
    limit: int
    memory: int = 3 * 512 * 1024**2


class ImportFault(BaseModel):
    """Why a file can't be imported."""

    code: str
    message: str
    details: Any = None


class ReadFile(BaseModel):
    """What the process that reads files says in the end: how much it found, or what is wrong."""

    digest: str = ""
    sources: list[ImportSource] = []
    messages: int = 0
    parts: int = 0  # that have something to be stored
    error: ImportFault | None = None


class ImportLeftBehind(BaseModel):
    """Whose import has left its parts staged."""

    user_id: UUID
    import_id: UUID


class ImportsLeftBehind(BaseModel):
    """What list_imports_left_behind answers."""

    imports: list[ImportLeftBehind]


class ImportOutcome(BaseModel):
    """What became of a piece of a conversation.

    Where that was known and has grown, `appended` messages were added to it, and `changed` differ.
    """

    place: int
    id: UUID | None
    is_taken: bool
    known_id: UUID | None
    is_same: bool
    appended: int
    changed: int


class ImportOutcomes(BaseModel):
    """What take_import_part answers; null if the part wasn't taken yet."""

    outcome: list[ImportOutcome] | None
