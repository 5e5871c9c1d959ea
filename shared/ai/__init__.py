"""The AI behind a turn: one protocol, and what the settings name to keep it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..config import ConfigurationError
from .agents import as_engine, load_engine
from .limits import Limited
from .offline.engine import OfflineEngine
from .offline.summariser import OfflineSummariser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config import Settings
    from .agents import Agent
    from .protocol import Engine, Summariser


def engine_for(settings: Settings, given: Agent | Engine | None = None) -> Engine:
    """Return what answers, within its limits: what is given, or what the settings name.

    Raises ConfigurationError, in one line, if that can't be used.
    """
    with _usable(settings):
        if given is not None:
            engine = as_engine(given)
        elif settings.mega_mind_engine:
            engine = load_engine(settings.mega_mind_engine)
        else:
            engine = _model_engine(settings)
    return within_limits(engine, settings)


def within_limits(engine: Engine, settings: Settings) -> Engine:
    """Return any engine with every promise of the protocol kept."""
    return Limited(
        engine, seconds=settings.engine_timeout, max_reply_chars=settings.max_reply_chars
    )


def summariser_for(settings: Settings) -> Summariser:
    """Return what summarises with these settings; raises as `engine_for` does."""
    model = settings.mega_mind_model
    if not model:
        return OfflineSummariser()
    with _usable(settings):
        from .model.create import create_model
        from .model.summariser import ModelSummariser

        return ModelSummariser(create_model(settings, model), name=model)


def _model_engine(settings: Settings) -> Engine:
    model = settings.mega_mind_model
    if not model:
        return OfflineEngine(delay=settings.offline_delay)
    from .model.create import create_model
    from .model.engine import ModelEngine

    return ModelEngine(
        create_model(settings, model),
        name=model,
        system_prompt=settings.mega_mind_system_prompt,
        classification=settings.mega_mind_classification,
    )


@contextmanager
def _usable(settings: Settings) -> Iterator[None]:
    """Say in one line what can't be used, or what to install where an import fails."""
    try:
        yield
    except ValueError as exc:
        raise ConfigurationError(str(exc)) from exc
    except ImportError as exc:
        raise ConfigurationError(
            f"The model {settings.mega_mind_model!r} needs the extra `model`: pip install"
            " '.[model]' (or message-persistence[model])."
        ) from exc
