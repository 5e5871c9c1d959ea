"""The contract between a turn and the AI: what an engine is given and the events it yields.

Only data and the protocol live here; nothing heavy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from pydantic import BaseModel, Field, TypeAdapter

from ..encoding.files import GeneratedFile
from ..encoding.parts import Part
from .tokens import estimate_tokens, parts_tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from uuid import UUID

ErrorType: TypeAlias = Literal[
    "timeout",
    "rate_limited",
    "refused",
    "provider_unavailable",
    "provider_error",
    "empty_reply",
    "misconfigured",
    "cancelled",
    "interrupted",
]
FinishReason: TypeAlias = Literal["length", "unknown"]
Classification: TypeAlias = Literal["model", "rules"]  # who says what a request is about
Strategy: TypeAlias = Literal["direct_answer", "generate_code", "step_by_step", "clarify"]


class HistoryMessage(BaseModel, frozen=True):
    """One stored row of the conversation, older than the current request.

    `is_summary` is true only for summaries that the platform wrote, `failure` set only for a reply
    that is not whole. `is_note` marks a row that is not stored: what the AI should know of others.
    `parts` are as stored, none if the message is its content alone; a tool call in them may lack
    its result (`shared.ai.history` closes it for a model). `native` is a framework's own form.
    """

    seq: int
    role: Literal["user", "assistant", "system"]
    content: str
    is_summary: bool = False
    failure: str | None = None
    is_note: bool = False
    parts: list[Part] = Field(default_factory=list)
    native: dict[str, Any] | None = None

    @cached_property
    def tokens(self) -> int:
        """How much of a model's context it takes, estimated."""
        return estimate_tokens(self.content) + parts_tokens(self.role, self.parts)


HISTORY: Final = TypeAdapter(list[HistoryMessage])  # reads rows, and takes messages as they are


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What an engine is asked: the request's text, what was said before it, and by whom and where.

    The ids are None if nothing is stored of the run; `metadata` is the caller's own. `parts` are
    those of the request if it is more than its text, which is one of them then.
    """

    text: str
    history: Sequence[HistoryMessage] = ()
    user_id: UUID | None = None
    conversation_id: UUID | None = None
    project_id: UUID | None = None
    turn_id: UUID | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Part] = ()


class Intent(StrEnum):
    """What kind of thing a request asks for; the list may grow, what it lacks is `other`."""

    CREATE_COMPONENT = "create_component"  # a piece of a user interface
    CREATE_PAGE = "create_page"
    CREATE_FUNCTION = "create_function"
    CREATE_API = "create_api"
    CREATE_DATABASE = "create_database"  # tables, queries, migrations
    CREATE_APP = "create_app"  # a whole program, site or project
    ADD_FEATURE = "add_feature"
    FIX_BUG = "fix_bug"
    REFACTOR = "refactor"
    OPTIMIZE = "optimize"
    WRITE_TESTS = "write_tests"
    WRITE_DOCS = "write_docs"
    WRITE_TEXT = "write_text"  # prose that is no documentation
    REVIEW = "review"
    EXPLAIN = "explain"  # also a plain question
    PLAN = "plan"  # designs, steps, advice on how to go about something
    TRANSLATE = "translate"
    SUMMARIZE = "summarize"
    DEPLOY = "deploy"  # installing, configuring and running included
    OTHER = "other"

    @classmethod
    def _missing_(cls, _: object) -> Intent:
        """Take a label that a model made up for `other`."""
        return cls.OTHER


class Complexity(StrEnum):
    """How much work a request asks for."""

    SIMPLE = "simple"
    MODERATE = "moderate"
    COMPLEX = "complex"


class Analysis(BaseModel):
    """What the user wants and how the engine goes about it."""

    intent: Intent
    complexity: Complexity
    strategy: str


class EngineError(BaseModel):
    """Why a run failed: a stable word, and a sentence that is safe to show a user."""

    type: str = Field(pattern="^[a-z][a-z0-9_]{0,63}$")
    message: str


class Usage(BaseModel):
    """What the run cost, as the provider counted it; partial where it didn't count the reply."""

    input_tokens: int
    output_tokens: int
    requests: int = 0
    is_partial: bool = Field(default=False, exclude=True)

    @property
    def tokens(self) -> int:
        """Both together."""
        return self.input_tokens + self.output_tokens


class EngineResult(BaseModel):
    """The outcome of a run.

    On success `message` is exactly the streamed text. On failure it is the text streamed so far,
    or the error's sentence where there was none. `finish_reason` is None for a whole reply; one
    that was cut by a limit of length says `length`, and one that ended with no reason `unknown`.
    `reasoning` is what the AI thought before it answered, where the provider gives it. `native` is
    the reply in a framework's own form, {framework, version, data}, stored beside it. `metadata`
    goes into the reply's; of a key that is the turn's own, that one counts.
    """

    success: bool
    message: str
    files: list[GeneratedFile] = Field(default_factory=list)
    error: EngineError | None = None
    usage: Usage | None = None
    engine: str
    reasoning: str | None = None
    finish_reason: FinishReason | None = None
    native: dict[str, Any] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnalysisReady:
    """Comes beside the text, which doesn't wait for it; missing only where the run failed."""

    analysis: Analysis


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the reply's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """The next piece of what the AI thinks: a reasoning part, a new one after any other part."""

    text: str


@dataclass(frozen=True, slots=True)
class PartReady:
    """A part of the reply, in the shape of the AI SDK's UI message parts.

    One of the same tool call (`toolCallId`), or of the same type and `id`, takes the place of the
    former. Text that comes after a part is a text part of its own.
    """

    part: Part


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event, exactly once."""

    result: EngineResult


EngineEvent: TypeAlias = AnalysisReady | TextDelta | ReasoningDelta | PartReady | Finished


class SummaryText(BaseModel):
    """What a summariser made, and what that cost where the provider says."""

    text: str
    usage: Usage | None = None


class Engine(Protocol):
    """Anything that answers a request as a stream of events."""

    @property
    def name(self) -> str:
        """Return the word that replies carry in their metadata, e.g. `offline`."""

    def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield text and at most one analysis, then exactly one `Finished`."""


class Summariser(Protocol):
    """Anything that puts the older part of a conversation into few words."""

    @property
    def name(self) -> str:
        """Return the word that summaries carry in their metadata, e.g. `offline`."""

    async def summarise(
        self, messages: Sequence[HistoryMessage], *, previous: str | None, tokens: int
    ) -> SummaryText:
        """Return a summary of the previous summary and of these messages after it.

        It should take at most so many `tokens`, and is cut where it takes more. May raise anything.
        """
