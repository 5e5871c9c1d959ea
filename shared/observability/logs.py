"""Structured logs: one JSON object a line, without anybody's words, keys or tokens in it."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import structlog

# These write URLs, headers or bodies at levels that people switch on.
CHATTY = (
    "httpx",
    "httpcore",
    "httpx2",
    "httpcore2",
    "hpack",
    "h2",
    "openai",
    "anthropic",
    "urllib3",
)


def log_as_a_library() -> None:
    """Let `logging` have what is logged, unless whose process it is has set structlog up."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def configure_logging(level: str = "info") -> None:
    """Send this process's logs to standard output as JSON, from `level` on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            *shared,
            _where_it_broke,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _where_it_broke,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=number, force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def request_id() -> str | None:
    """Return the id of the request that is being served, as every log line has it."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return None if found is None else str(found)


def _where_it_broke(
    _: Any, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Keep an exception's type and its frames; its message may hold what a user wrote."""
    exc_info = event.pop("exc_info", None)
    exc = sys.exc_info()[1] if exc_info is True else exc_info
    exc = exc[1] if isinstance(exc, tuple) else exc
    if isinstance(exc, BaseException):
        frames = traceback.extract_tb(exc.__traceback__)
        event["exception"] = type(exc).__name__
        event["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    return event
