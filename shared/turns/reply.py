"""What is stored of an AI run: turns an engine's result into a reply row, whatever it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shared.encoding.files import render_files
from shared.encoding.storable import Escaper
from shared.observability.logs import request_id

if TYPE_CHECKING:
    from shared.ai.protocol import Analysis, EngineResult


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it goes into the store: the turn's final status and the row's columns."""

    status: str
    content: str
    generated_code: str | None
    metadata: dict[str, Any]
    error: dict[str, Any] | None


def compose_reply(
    result: EngineResult,
    *,
    analysis: Analysis | None,
    duration: float,
    own_metadata: dict[str, Any],
    persisted_after: float | None = None,
    context: dict[str, Any] | None = None,
) -> Reply:
    """Return the reply that is stored for this result; a failure is a reply too.

    `persisted_after` is how many seconds the request's message took to be stored, `context` what
    the AI was given. `own_metadata` is the caller's and stays beside ours. Text that Postgres can't
    hold is escaped reversibly, and `escaped` says so.
    """
    error = result.error.model_dump() if result.error else None
    fields = {
        "success": result.success,
        "filesGenerated": len(result.files),
        "files": [{"path": f.path, "language": f.language} for f in result.files],
        "duration": round(duration, 3),
        "intent": analysis.intent.value if analysis else None,
        "complexity": analysis.complexity.value if analysis else None,
        "strategy": analysis.strategy if analysis else None,
        "timestamp": datetime.now(UTC).isoformat(),
        "engine": result.engine,
    }
    optional = {
        "context": context,
        "error": error,
        "usage": result.usage.model_dump() if result.usage else None,
        "reasoning": result.reasoning,
        "truncated": True if result.finish_reason else None,
        "finishReason": result.finish_reason,
        "persistedAfter": None if persisted_after is None else round(persisted_after, 4),
    }
    fields |= {name: value for name, value in optional.items() if value is not None}
    escaper = Escaper()
    reply = Reply(
        status=_status(result),
        content=escaper(result.message),
        generated_code=escaper(render_files(result.files)),
        metadata=escaper({**own_metadata, **fields}),
        error=escaper(error),
    )
    if escaper.has_escaped:
        reply.metadata["escaped"] = True
    return reply


def _status(result: EngineResult) -> str:
    if result.success:
        return "completed"
    return "cancelled" if result.error and result.error.type == "cancelled" else "failed"


def user_metadata(project_id: object | None, own_metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of a user's row, by which the request is found in the log as well."""
    found = request_id()
    return {
        **own_metadata,
        **({} if found is None else {"requestId": found}),
        "projectId": None if project_id is None else str(project_id),
        "timestamp": datetime.now(UTC).isoformat(),
    }
