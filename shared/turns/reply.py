"""What is stored of an AI run: turns an engine's result into a reply row, whatever it holds."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ..encoding.files import render_files
from ..encoding.sizes import MAX_TEXT_BYTES, cut_to_size, stored_size, text_size
from ..encoding.storable import Escaper
from ..observability.logs import request_id
from .reply_parts import content_of, fitting, parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ai.protocol import Analysis, EngineResult
    from ..encoding.files import GeneratedFile
    from ..encoding.parts import Part

# Of what metadata may hold, beside the caller's own.
MAX_FILE_LIST_BYTES: Final = 250_000
MAX_REASONING_BYTES: Final = 150_000
MAX_SENTENCE_BYTES: Final = 5_000
CUT: Final = "\n[Cut here.]"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it goes into the store: the turn's final status and the row's columns."""

    status: str
    content: str
    generated_code: str | None
    metadata: dict[str, Any]
    error: dict[str, Any] | None
    tokens: int = 0  # what the run took
    parts: list[Part] = field(default_factory=list)  # none if it is text alone
    native: dict[str, Any] | None = None

    def columns(self) -> dict[str, Any]:
        """Return it as complete_turn takes it: tokens are counted by the turn."""
        return {
            each.name: getattr(self, each.name) for each in fields(self) if each.name != "tokens"
        }


def compose_reply(
    result: EngineResult,
    *,
    parts: Sequence[Part] = (),
    analysis: Analysis | None,
    duration: float,
    own_metadata: dict[str, Any],
    persisted_after: float | None = None,
    context: dict[str, Any] | None = None,
    tokens: int = 0,
) -> Reply:
    """Return the reply that is stored for this result; a failure is a reply too.

    `parts` are those that the AI gave on the way, text among them; none if it is text alone.
    `persisted_after` is how many seconds the request's message took to be stored, `context` what
    the AI was given. `own_metadata` is the caller's and stays beside ours. Text that Postgres can't
    hold is escaped reversibly, and `escaped` says so. What a row has no room for is cut, and
    `truncated` says so.
    """
    escaper = Escaper()
    whole = escaper(content_of(result, parts))
    content = cut_to_size(whole, MAX_TEXT_BYTES)
    files = _fitting(result.files)
    is_cut = content != whole or len(files) < len(result.files)
    finish_reason = result.finish_reason or ("length" if is_cut else None)
    error = _error_of(result)
    said = {
        "success": result.success,
        "filesGenerated": len(files),
        "files": _listed(files),
        "duration": round(duration, 3),
        "intent": analysis.intent.value if analysis else None,
        "complexity": analysis.complexity.value if analysis else None,
        "strategy": cut_to_size(analysis.strategy, MAX_SENTENCE_BYTES) if analysis else None,
        "timestamp": datetime.now(UTC).isoformat(),
        "engine": cut_to_size(result.engine, MAX_SENTENCE_BYTES),
    }
    optional = {
        "context": context,
        "error": error,
        "usage": result.usage.model_dump() if result.usage else None,
        "reasoning": _within(escaper(result.reasoning), MAX_REASONING_BYTES),
        "truncated": True if finish_reason else None,
        "finishReason": finish_reason,
        "persistedAfter": None if persisted_after is None else round(persisted_after, 4),
    }
    said |= {name: value for name, value in optional.items() if value is not None}
    metadata = escaper({**own_metadata, **result.metadata, **said})
    code = escaper(render_files(files))
    given = escaper([] if content != whole else parts_of(result, parts, content=content))
    native = escaper(result.native)
    if escaper.has_escaped:
        metadata["escaped"] = True
    kept, native = fitting(given, native, content=content, code=code, metadata=metadata)
    return Reply(
        status=_status(result),
        content=content,
        generated_code=code,
        metadata=metadata,
        error=escaper(error),
        tokens=tokens,
        parts=kept,
        native=native,
    )


def _fitting(files: list[GeneratedFile]) -> list[GeneratedFile]:
    """Return as many of the first files as a row has room for."""
    if _fit(files):
        return files
    counts = range(1, len(files) + 1)
    return files[: bisect_left(counts, 1, key=lambda count: not _fit(files[:count]))]


def _fit(files: list[GeneratedFile]) -> bool:
    code, listed = Escaper()(render_files(files) or ""), Escaper()(_listed(files))
    return text_size(code) <= MAX_TEXT_BYTES and stored_size(listed) <= MAX_FILE_LIST_BYTES


def _listed(files: list[GeneratedFile]) -> list[dict[str, Any]]:
    return [{"path": file.path, "language": file.language} for file in files]


def _error_of(result: EngineResult) -> dict[str, Any] | None:
    if result.error is None:
        return None
    message = cut_to_size(result.error.message, MAX_SENTENCE_BYTES)
    return {**result.error.model_dump(), "message": message}


def _within(text: str | None, room: int) -> str | None:
    kept = None if text is None else cut_to_size(text, room)
    return kept if kept == text else f"{kept}{CUT}"


def _status(result: EngineResult) -> str:
    if result.success:
        return "completed"
    error_type = result.error.type if result.error else ""
    return error_type if error_type in {"cancelled", "interrupted"} else "failed"


def user_metadata(project_id: object | None, own_metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of a user's row, by which the request is found in the log as well."""
    found = request_id()
    return {
        **own_metadata,
        **({} if found is None else {"requestId": found}),
        "projectId": None if project_id is None else str(project_id),
        "timestamp": datetime.now(UTC).isoformat(),
    }
