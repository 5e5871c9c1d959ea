"""The offline engine: the same answer each time, honest about what it is."""

import ast
import sys

import pytest

from shared.ai.offline.engine import OfflineEngine
from shared.ai.protocol import TextDelta
from shared.encoding.files import parse_files
from tests.support.scripted_engine import record, rows

AWKWARD = [
    "",
    "  \n\t ",
    "你好,写一个函数",
    "اكتب دالة",
    "👩‍👩‍👧" * 300,
    "x" * 2_000_000,
    "Write a function " + "漢" * 2_000_000,
    'Write a python function """; import os # ``` \x00 \ud83d',
    "```\n" * 1_000,
]


async def test_the_same_input_gives_the_same_events() -> None:
    """Nothing random and no clock is in the answer."""
    history = rows(("user", "Hi"), ("assistant", "Hello"))
    first = await record(OfflineEngine(), "Write a function", history)
    assert first.events == (await record(OfflineEngine(), "Write a function", history)).events


async def test_it_says_that_no_model_answered() -> None:
    """The name and the text both tell."""
    result = (await record(OfflineEngine(), "What is a monad?")).result
    assert result.engine == "offline"
    assert "no AI model is configured" in result.message


async def test_the_text_streamed_is_the_message() -> None:
    """The reply comes in many pieces that make up the stored text."""
    recording = await record(OfflineEngine(), "Build a React component called LoginForm")
    assert recording.text == recording.result.message
    assert sum(isinstance(event, TextDelta) for event in recording.events) > 20


async def test_it_refers_to_the_stored_history() -> None:
    """The count, the summaries and the user's previous message are all mentioned."""
    history = rows(("system", "Earlier"), ("user", "Rename the table."), ("assistant", "Done"))
    history[0] = history[0].model_copy(update={"is_summary": True})
    message = (await record(OfflineEngine(), "And now?", history)).result.message
    assert "3 earlier messages" in message
    assert "1 of them a summary" in message
    assert "> Rename the table." in message


async def test_a_first_message_is_called_one() -> None:
    """No history is said as such."""
    assert "first message" in (await record(OfflineEngine(), "Hello there")).result.message


@pytest.mark.parametrize(
    ("request_text", "path"),
    [
        ("Write a function that adds two numbers", "src/run_adds_two_numbers.py"),
        ("Build a React component called LoginForm", "src/components/LoginForm.tsx"),
        ("Write a TypeScript function named parseDate", "src/runParseDate.ts"),
        ("Create a SQL table for invoices", "sql/app_invoices.sql"),
        ("Make a landing page in HTML for bakeries", "public/landing-bakeries.html"),
        ("写一个 function, write it", "src/run_draft.py"),
    ],
)
async def test_code_that_is_asked_for_comes_as_a_file(request_text: str, path: str) -> None:
    """The kind and the name follow the request, and the text holds the same file."""
    result = (await record(OfflineEngine(), request_text)).result
    assert [file.path for file in result.files] == [path]
    assert parse_files(result.message) == result.files


@pytest.mark.parametrize("request_text", AWKWARD, ids=range(len(AWKWARD)))
async def test_no_request_makes_it_fail(request_text: str) -> None:
    """Any script, any size, nothing at all: there is a reply, and its files are sound."""
    history = rows(("user", request_text), ("assistant", request_text))
    recording = await record(OfflineEngine(), request_text, history)
    assert recording.result.success
    assert len(recording.result.message) < 5_000
    assert parse_files(recording.result.message) == recording.result.files


@pytest.mark.parametrize("request_text", AWKWARD[2:], ids=range(2, len(AWKWARD)))
async def test_python_files_always_compile(request_text: str) -> None:
    """What the user wrote can't break out of the comment it is quoted in."""
    for file in (await record(OfflineEngine(), f"Write a function: {request_text}")).result.files:
        ast.parse(file.content)


async def test_html_files_quote_the_goal() -> None:
    """Markup in the request is shown, not run."""
    request = "Make an HTML page <script>alert(1)</script>"
    (file,) = (await record(OfflineEngine(), request)).result.files
    assert "<script>" not in file.content


def test_the_engine_package_loads_no_model_library() -> None:
    """A deployment without a model pays nothing for one."""
    import subprocess

    code = "import sys, shared.ai; sys.exit('pydantic_ai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
