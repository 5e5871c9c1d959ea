"""Every format that comes in, on paper: each word that is kept of it can be read and copied."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from shared.imports.parsed import ParsedConversation
from tests.support.imported import DATA, case, everything_in
from tests.support.pdf_pages import pdf_of, solid, text_of
from tests.support.provider_files import claude_sample, gpt_sample

pytestmark = pytest.mark.promise("exports")

WORD = re.compile(r"\w{2,}")


def all_conversations() -> Iterator[ParsedConversation]:
    """Yield what every file of tests/data/imports holds, and what two providers' samples do."""
    for path in sorted(DATA.iterdir()):
        yield from everything_in(case(path.name), is_zip=path.suffix == ".zip")[0]
    for sample in (gpt_sample(), claude_sample()):
        yield from everything_in(sample)[0]


def texts_of(message: dict[str, Any]) -> Iterator[str]:
    """Yield what a reader is to see of a message."""
    metadata = message["metadata"]
    yield message["content"]
    yield message["generated_code"] or ""
    yield from (attachment["name"] for attachment in metadata.get("attachments", ()))
    for part in message["parts"]:
        yield from (str(part.get(name, "")) for name in ("text", "title", "toolName", "output"))


def test_every_word_of_every_format_is_on_paper() -> None:
    """Of texts, files, reasoning, attachments and sources, in one PDF of all of them."""
    read = list(all_conversations())
    messages: list[dict[str, Any]] = [
        {
            "role": message.role,
            "content": message.content,
            "generated_code": message.generated_code,
            "metadata": message.metadata,
            "parts": message.parts,
        }
        for conversation in read
        for message in conversation.messages
    ]
    shown = solid(text_of(pdf_of(*messages, title="All of them")))
    words = {word for each in messages for text in texts_of(each) for word in WORD.findall(text)}
    assert {one.source for one in read} >= {
        "chatgpt", "claude", "deepseek", "gemini", "langchain", "librechat", "list", "open-webui",
        "sharegpt", "vercel",
    }  # fmt: skip
    assert len(words) > 150
    assert {word for word in words if word not in shown} == set()
