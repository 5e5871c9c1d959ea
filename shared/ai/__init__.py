"""The AI behind a turn: one protocol, an offline engine, and one that asks a language model."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..encoding.files import GeneratedFile
from .limits import Limited
from .offline.engine import OfflineEngine
from .offline.summariser import OfflineSummariser
from .protocol import (
    Analysis,
    AnalysisReady,
    Classification,
    Complexity,
    Engine,
    EngineError,
    EngineEvent,
    EngineRequest,
    EngineResult,
    Finished,
    HistoryMessage,
    Intent,
    PartReady,
    ReasoningDelta,
    Summariser,
    TextDelta,
    Usage,
)
from .streams import closing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

__all__ = [
    "Analysis",
    "AnalysisReady",
    "Classification",
    "Complexity",
    "Engine",
    "EngineError",
    "EngineEvent",
    "EngineRequest",
    "EngineResult",
    "Finished",
    "GeneratedFile",
    "HistoryMessage",
    "Intent",
    "OfflineEngine",
    "OfflineSummariser",
    "PartReady",
    "ReasoningDelta",
    "Summariser",
    "TextDelta",
    "Usage",
    "closing",
    "create_engine",
    "create_summariser",
    "within_limits",
]

DEFAULT_TIME_LIMIT: Final = 120.0
DEFAULT_MAX_REPLY_CHARS: Final = 2_000_000


def create_engine(
    *,
    model: str | None = None,
    base_url: str | None = None,
    api_key: SecretStr | None = None,
    system_prompt: str | None = None,
    classification: Classification = "model",
    offline_delay: float = 0.0,
) -> Engine:
    """Return the engine for these settings; `within_limits` makes it keep the protocol's promises.

    No model means the offline engine, with a pause of `offline_delay` seconds before each word.
    `system_prompt` is what the model is told it is, in the place of our own words; `classification`
    says whether it is asked what a request is about. Raise ValueError, in one line, where the model
    can't be used.
    """
    if not model:
        return OfflineEngine(delay=offline_delay)
    with _extra_for(model):
        from .model.create import create_model
        from .model.engine import ModelEngine
    return ModelEngine(
        create_model(model, base_url=base_url, api_key=api_key),
        name=model,
        system_prompt=system_prompt,
        classification=classification,
    )


def within_limits(
    engine: Engine,
    *,
    time_limit: float = DEFAULT_TIME_LIMIT,
    max_reply_chars: int = DEFAULT_MAX_REPLY_CHARS,
) -> Engine:
    """Return any engine with every promise of the protocol kept. `time_limit` is in seconds."""
    return Limited(engine, seconds=time_limit, max_reply_chars=max_reply_chars)


def create_summariser(
    *, model: str | None = None, base_url: str | None = None, api_key: SecretStr | None = None
) -> Summariser:
    """Return what summarises with these settings. Raise ValueError as `create_engine` does."""
    if model is None:
        return OfflineSummariser()
    with _extra_for(model):
        from .model.create import create_model
        from .model.summariser import ModelSummariser
    return ModelSummariser(create_model(model, base_url=base_url, api_key=api_key), name=model)


@contextmanager
def _extra_for(model: str) -> Iterator[None]:
    """Say what to install where an import fails."""
    try:
        yield
    except ImportError as exc:
        raise ValueError(
            f"The model {model!r} needs the extra `model`: pip install '.[model]' "
            "(or message-persistence[model])."
        ) from exc
