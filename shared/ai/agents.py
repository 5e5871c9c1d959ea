"""An AI of somebody's own as an engine: a function of a request that yields its reply in pieces."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

import structlog
from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from ..config.named import load_named
from ..encoding.files import GeneratedFile
from ..encoding.parts import Part, problem_of
from ..encoding.sizes import MAX_GIVEN_METADATA_BYTES, stored_size
from ..encoding.storable import MAX_DEPTH, map_texts
from .protocol import (
    Analysis,
    AnalysisReady,
    Engine,
    EngineError,
    EngineEvent,
    EngineRequest,
    EngineResult,
    Finished,
    PartReady,
    TextDelta,
    Usage,
)
from .results import engine_error, failed_result
from .streams import closing

_log = structlog.get_logger(__name__)

MAX_PART_DEPTH: Final = MAX_DEPTH - 2  # it stands in a list, in a row
_JSON_OBJECT: Final = TypeAdapter(dict[str, JsonValue], config=ConfigDict(allow_inf_nan=False))


@dataclass(frozen=True, slots=True)
class ReplyMetadata:
    """Keys of one's own for the reply's metadata; of keys that are ours, ours count."""

    values: dict[str, Any]


AgentOutput: TypeAlias = str | Part | Usage | GeneratedFile | Analysis | ReplyMetadata | EngineError
Agent: TypeAlias = Callable[[EngineRequest], AsyncIterator[AgentOutput]]
OUTPUTS: Final = (str, dict, Usage, GeneratedFile, Analysis, ReplyMetadata, EngineError)


@dataclass(slots=True)
class _Given:
    """What an agent has given beside text and analysis; of usage and error the last counts."""

    usage: Usage | None = None
    error: EngineError | None = None
    files: list[GeneratedFile] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)

    def keep(self, output: AgentOutput, asked: EngineRequest) -> None:
        match output:
            case Usage():
                self.usage = output
            case GeneratedFile():
                self.files.append(output)
            case ReplyMetadata():
                self.metadata |= output.values
                require_room({**asked.metadata, **self.metadata})
            case EngineError():
                self.error = output
            case _:
                raise TypeError(f"an agent can't give a {type(output).__name__}")


class AgentEngine:
    """Asks an agent. What it raises is a failed reply with the text so far."""

    def __init__(self, agent: Agent, *, name: str) -> None:
        self.name: Final = name
        self._agent = agent

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield what the agent gives, and the result."""
        given = _Given()
        text: list[str] = []
        try:
            async with closing(self._agent(asked)) as outputs:
                async for output in outputs:
                    if isinstance(output, str):
                        text.append(output)
                        yield TextDelta(output)
                    elif isinstance(output, dict):
                        yield PartReady(own_part(output))
                    elif isinstance(output, Analysis):
                        yield AnalysisReady(output)
                    else:
                        given.keep(output, asked)
        except Exception as exc:  # noqa: BLE001 - whatever an agent raises is a failed reply
            _log.warning("agent_raised", engine=self.name, **_place_of(exc))
            given.error = engine_error("provider_error")
        yield Finished(self._result("".join(text), given))

    def _result(self, text: str, given: _Given) -> EngineResult:
        if given.error is not None:
            return failed_result(
                given.error,
                engine=self.name,
                partial=text,
                usage=given.usage,
                metadata=given.metadata,
            )
        return EngineResult(
            success=True,
            message=text,
            files=given.files,
            usage=given.usage,
            engine=self.name,
            metadata=given.metadata,
        )


def own_part(part: Part) -> Part:
    """Return a part as it is now, whatever its giver does with it; ValueError for what is none."""
    if problem := problem_of(part):
        raise ValueError(problem)
    try:
        copied: Part = map_texts(part, lambda text: text, depth=MAX_PART_DEPTH)
        _JSON_OBJECT.validate_python(copied)
    except RecursionError as exc:
        raise ValueError(f"should be nested less than {MAX_PART_DEPTH} deep") from exc
    except ValidationError as exc:
        raise ValueError(f"{exc.errors()[0]['loc'][0]}: should be JSON, without NaN") from exc
    return copied


def require_room(metadata: dict[str, Any]) -> None:
    """Raise ValueError if a reply can't hold this as metadata of its caller's."""
    _JSON_OBJECT.validate_python(metadata)
    if stored_size(metadata) > MAX_GIVEN_METADATA_BYTES:
        raise ValueError(f"metadata takes more than {MAX_GIVEN_METADATA_BYTES} bytes")


def as_engine(agent: Agent | Engine, *, name: str | None = None) -> Engine:
    """Return the engine for an agent; an engine is one already.

    Raise ValueError, in one line, where it is neither.
    """
    is_engine = hasattr(agent, "run") and isinstance(getattr(agent, "name", None), str)
    if is_engine and not inspect.isclass(agent):
        return cast("Engine", agent)
    if inspect.isclass(agent) or not callable(agent) or inspect.iscoroutinefunction(agent):
        raise ValueError(
            f"{agent!r} is no agent: write an async generator function of one argument,"
            " `async def agent(asked): yield ...`."
        )
    own_name: str = getattr(agent, "__name__", type(agent).__name__)
    return AgentEngine(agent, name=name or own_name)


def load_engine(path: str) -> Engine:
    """Return the engine that `package.module:name` stands for; raise ValueError, in one line."""
    return as_engine(load_named(path), name=path)


def _place_of(exc: Exception) -> dict[str, str]:
    """Return what the log may say of an error: not its message, which may hold anything."""
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    return {"error": type(exc).__name__, "at": f"{frame.filename}:{frame.lineno}"}
