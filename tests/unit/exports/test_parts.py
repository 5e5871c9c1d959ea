"""Parts of a message in the exports that people read: their words are there, each once."""

from typing import Any

import pytest

from tests.support.pdf_pages import pdf_of, pdftotext, text_of
from tests.unit.exports.test_markdown import message, rendered

CALL: dict[str, Any] = {"type": "tool-weather", "toolCallId": "1", "state": "input-available"}
SENT = [
    {"type": "text", "text": "Look at this"},
    {"type": "file", "mediaType": "image/png", "filename": "sky.png", "url": "data:image/png,x"},
    {"type": "file", "mediaType": "text/plain", "url": "data:text/plain,x"},
]
REPLY = [
    {"type": "reasoning", "text": "They want Rome."},
    {"type": "step-start"},
    {"type": "text", "text": "I look it up."},
    {**CALL, "state": "output-available", "input": {"city": "Rome"}, "output": {"sky": "clear"}},
    {**CALL, "toolCallId": "2", "state": "output-error", "errorText": "No such city."},
    {**CALL, "toolCallId": "3", "type": "dynamic-tool", "toolName": "wind", "input": {"at": 7}},
    {"type": "reasoning", "text": "Clear, then."},
    {"type": "text", "text": "It is clear."},
    {"type": "source-url", "sourceId": "4", "url": "https://sky.example/rome", "title": "The sky"},
    {"type": "source-document", "sourceId": "5", "mediaType": "text/html", "title": "Almanac"},
    {"type": "file", "mediaType": "text/csv", "filename": "sky.csv", "url": "data:text/csv,x"},
]  # fmt: skip
WORDS = [
    "They want Rome.", "Clear, then.", "I look it up.", "It is clear.", '{"city":"Rome"}',
    '{"sky":"clear"}', "No such city.", "wind", '{"at":7}', "no result",
    "https://sky.example/rome", "The sky", "Almanac", "sky.csv", "text/csv",
    "sky.png", "image/png", "unnamed",
]  # fmt: skip


def a_row(content: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the columns of a message of parts."""
    return {"content": content, "parts": parts}


CHAT = [a_row("Look at this", SENT), a_row("I look it up.\n\nIt is clear.", REPLY)]


def counts(text: str | None) -> dict[str, int]:
    """Return how often each of the words is there, if not once."""
    found = {} if text is None else {words: text.count(words) for words in WORDS}
    return {words: count for words, count in found.items() if count != 1}


@pytest.mark.promise("exports", red="reasoning taken from metadata alone; calls of tools left out")
def test_a_pdf_has_the_words_of_all_parts() -> None:
    """Thoughts, calls with what came of them, sources, files: as a viewer copies them."""
    pdf = pdf_of(*CHAT)
    assert counts(text_of(pdf)) == {}
    assert counts(pdftotext(pdf)) == {}
    assert text_of(pdf).count("Tool: weather") == 2


@pytest.mark.promise("exports", red="reasoning taken from metadata alone; calls of tools left out")
async def test_markdown_has_the_words_of_all_parts() -> None:
    """A title links to its source."""
    sent, reply = CHAT
    document = await rendered(message(**sent, role="user"), message(**reply, seq=2))
    assert counts(document) == {}
    assert document.count("Tool: **weather**") == 2
    assert "- [The sky](<https://sky.example/rome>)\n- Almanac\n" in document
