"""Our own JSON of a conversation, as an import reads it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    StrictInt,
    StrictStr,
)

from .parts import sound_part
from .transfers import BranchExport


class OurNative(BaseModel):
    """A message in a framework's own form."""

    model_config = ConfigDict(extra="allow")

    framework: StrictStr
    version: StrictStr
    data: Any


class OurMessage(BaseModel):
    """A message of our own JSON; members beside these are not covered by its checksum."""

    seq: Annotated[int, Field(strict=True)]
    role: Literal["user", "assistant", "system"]
    content: StrictStr
    generated_code: StrictStr | None
    metadata: dict[str, Any]
    parts: list[Annotated[dict[str, Any], AfterValidator(sound_part)]]
    native: OurNative | None
    is_summary: Annotated[bool, Field(strict=True)]
    created_at: datetime


class OurHeader(BaseModel):
    """The conversation of our own JSON, as its checksum covers it; its title may be blank."""

    title: Annotated[StrictStr, Field(min_length=1, max_length=200)]
    metadata: dict[str, Any]
    created_at: datetime
    archived_at: datetime | None
    branches: list[BranchExport] = Field(default_factory=list)
    active_branch: StrictInt = 0


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
    messages: Annotated[list[OurMessage], FailFast()]
    checksum: OurChecksum
