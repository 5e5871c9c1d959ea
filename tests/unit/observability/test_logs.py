"""The log's form, and what never gets into it, in a process that does nothing else."""

import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from local.settings import ROOT
from shared.observability.logs import CHATTY

CANARY = "canary-in-a-message"
PROGRAM = """
import logging
import structlog
from shared.observability.logs import CHATTY, configure_logging

configure_logging({level!r})
log = structlog.get_logger("ours")
for name in CHATTY:
    logging.getLogger(name).debug({canary!r})
    logging.getLogger(name + ".deeper").info({canary!r})
logging.getLogger("theirs").info("theirs")
with structlog.contextvars.bound_contextvars(request_id="r1"):
    log.debug("fine")
    log.info("ours", number=1, text="é\\n")
    for report in (log.exception, logging.getLogger("theirs").exception):
        try:
            raise ValueError({canary!r}) from KeyError({canary!r})
        except ValueError:
            report("broke")
"""


@cache
def logged(level: str) -> tuple[str, list[dict[str, Any]]]:
    """Run the program and return its output, raw and by line."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(level=level, canary=CANARY)],
        capture_output=True, text=True, cwd="/", env={"PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout, [json.loads(line) for line in done.stdout.splitlines()]


def test_every_line_is_a_json_object_with_its_request() -> None:
    """Ours and other libraries' alike, one line each, whatever is in it."""
    _, lines = logged("debug")
    assert [line["event"] for line in lines] == ["theirs", "fine", "ours", "broke", "broke"]
    assert {line.get("request_id") for line in lines[1:]} == {"r1"}
    assert lines[2]["text"] == "é\n"
    assert all({"level", "timestamp"} <= line.keys() for line in lines)


def test_an_exception_is_logged_by_its_type_and_place_alone() -> None:
    """Its message may hold what a user wrote; and so may its cause's."""
    raw, lines = logged("debug")
    assert CANARY not in raw
    assert [line["exception"] for line in lines[3:]] == ["ValueError"] * 2
    assert all(":" in line["at"][0] for line in lines[3:])


@pytest.mark.promise("secrets")
def test_libraries_that_log_urls_headers_and_bodies_are_silenced() -> None:
    """Also at debug level; the list holds those that we and our providers use."""
    raw, _ = logged("debug")
    assert CANARY not in raw
    assert {"httpx", "httpcore", "hpack", "openai", "anthropic"} <= set(CHATTY)


@pytest.mark.parametrize(("level", "count"), [("debug", 5), ("info", 4), ("error", 2)])
def test_the_level_counts_for_all_of_them(level: str, count: int) -> None:
    """Lines below it are left out."""
    assert len(logged(level)[1]) == count
