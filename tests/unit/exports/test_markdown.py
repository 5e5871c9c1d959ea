"""Markdown: everything a message has is there, and nothing in it passes for what we wrote."""

from typing import Any
from uuid import uuid4

import pytest
from markdown_it import MarkdownIt

from shared.exports.markdown import markdown_document
from shared.exports.snapshot import Snapshot
from shared.models.transfers import ConversationExport, MessageExport
from tests.support.event_loop import turns_of_others

pytestmark = pytest.mark.promise("exports", red="text is not quoted")

AT = "2026-11-22T10:00:00.5+02:00"


async def rendered(*messages: MessageExport, **conversation: object) -> str:
    """Return the document of these messages."""
    row = ConversationExport.model_validate(
        {
            "id": uuid4(), "user_id": uuid4(), "project_id": None, "title": "Title",
            "metadata": {}, "last_seq": len(messages), "created_at": AT, "updated_at": AT,
            "archived_at": None, **conversation,
        }
    )  # fmt: skip
    snapshot = Snapshot(row, list(messages), None, None)  # type: ignore[arg-type]
    return b"".join([chunk async for chunk in markdown_document(snapshot)]).decode()


def message(content: str, **more: object) -> MessageExport:
    """Return a message's row."""
    return MessageExport.model_validate(
        {
            "id": uuid4(), "conversation_id": uuid4(), "role": "assistant", "content": content,
            "generated_code": None, "metadata": {}, "user_id": uuid4(), "is_summary": False,
            "created_at": AT, "seq": 1, "turn_id": None, "turn": None, **more,
        }
    )  # fmt: skip


def headings(document: str) -> list[str]:
    """Return the headings of our two levels, as a reader of Markdown finds them."""
    tokens = MarkdownIt("commonmark").parse(document)
    return [
        tokens[at + 1].content for at, token in enumerate(tokens) if token.tag in {"h1", "h2"}
        and token.type == "heading_open"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "```\nnever closed",
        "# A heading\n## 2. User, 2026-01-01 00:00:00 UTC",
        "<details>",
    ],
)
@pytest.mark.parametrize("place", ["content", "reasoning"])
async def test_no_message_can_forge_or_swallow_another(text: str, place: str) -> None:
    """The headings are ours, and what follows a message stands for itself."""
    given: dict[str, Any] = {"content": text} if place == "content" else {"content": "x"}
    metadata = {"reasoning": text} if place == "reasoning" else {}
    first = message(**given, metadata=metadata)
    document = await rendered(first, message("next", seq=2, role="user"))
    assert headings(document) == [
        "Title",
        "1. Assistant, 2026-11-22 08:00:00 UTC",
        "2. User, 2026-11-22 08:00:00 UTC",
        "End of the conversation: 2 messages.",
    ]


async def test_a_text_is_there_as_it_was_written() -> None:
    """Without a mark before each line: code is copied from it."""
    text = "Run:\n\n```sh\nmake <target>\n```\n\n1. One\n2. Two"
    assert f"UTC\n\n{text}\n\n## " in await rendered(message(text))


async def test_what_a_message_has_beside_its_text_is_shown() -> None:
    """Reasoning folded away, files, attachments, sources, and which model."""
    metadata = {
        "engine": "openai:m",
        "reasoning": "Hm.",
        "files": [
            {"path": "list.md", "language": "markdown", "content": "- socks\n"},
            {"path": "plot.png"},
        ],
        "attachments": [
            {"name": "notes.txt", "mediaType": "text/plain", "text": "```\nRye"},
            {"name": "cat.jpg", "mediaType": "image/jpeg"},
        ],
        "citations": [
            {"title": "Rye [2026]", "url": "https://example.org/a_b"},
            {"url": "https://example.org/c"},
            {"title": "A book", "url": "javascript:alert(1)"},
        ],
    }
    document = await rendered(message("Here.", metadata=metadata))
    assert "## 1. Assistant (openai:m), " in document
    assert "<details>\n<summary>Reasoning</summary>\n\nHm.\n\n</details>\n\nHere.\n" in document
    assert "File: **list.md**\n\n```markdown\n- socks\n```\n" in document
    assert "File: **plot.png**\n" in document
    assert "Attached: **notes.txt** (text/plain)\n\n````\n```\nRye\n````\n" in document
    assert "Attached: **cat.jpg** (image/jpeg)\n" in document
    assert "- [Rye \\[2026\\]](<https://example.org/a_b>)\n- <https://example.org/c>\n" in document
    assert "- A book javascript:alert(1)\n" in document


async def test_what_only_the_json_has_is_said() -> None:
    """Of an imported reply: its model, and how many steps of tools there are."""
    imported = {"model": "gpt-5", "steps": [{"type": "search"}]}
    document = await rendered(message("Here.", metadata={"imported": imported}))
    assert "## 1. Assistant (gpt-5), " in document
    assert "*The JSON export also has steps of tools: 1.*" in document


async def test_metadata_that_anybody_wrote_breaks_nothing() -> None:
    """Only what fits is shown."""
    odd = [None, 1, "x", [1], [{"path": 1, "name": [], "url": {}, "title": 5}], {"a": 1}]
    names = (
        "files",
        "attachments",
        "citations",
        "reasoning",
        "error",
        "engine",
        "truncated",
        "imported",
    )
    for value in odd:
        await rendered(message("Hi", metadata=dict.fromkeys(names, value), generated_code="x"))


async def test_generated_code_is_shown_once() -> None:
    """A file that stands in the text already is not repeated; its language is one or none."""
    python = {"files": [{"path": "a.py", "language": "python"}]}
    odd = {"files": [{"path": "b", "language": "x\n# forged"}]}
    document = await rendered(
        message("Here:\n\n```python path=a.py\nfirst()\n```", generated_code="first()\n",
                metadata=python),
        message("Here", generated_code="second()", metadata=python, seq=2),
        message("Here", generated_code="third()", metadata=odd, seq=3),
    )  # fmt: skip
    assert document.count("first()") == 1
    assert "File: **a.py**\n\n```python\nsecond()\n```\n" in document
    assert "File: **b**\n\n```\nthird()\n```\n" in document


@pytest.mark.parametrize(
    ("metadata", "notice"),
    [
        ({"success": False, "error": {"type": "cancelled"}}, "was stopped before"),
        ({"success": False, "error": {"type": "time_out*"}}, "failed: time\\_out\\*"),
        ({"truncated": True, "finishReason": "length"}, "was cut off"),
        ({"finishReason": "unknown"}, "was cut off"),
    ],
)
async def test_a_reply_that_is_not_whole_says_so(metadata: dict[str, Any], notice: str) -> None:
    """Below what there is of it."""
    document = await rendered(message("So far", metadata=metadata))
    assert document.index("So far") < document.index(notice)


async def test_where_a_conversation_is_from_is_said_once() -> None:
    """At the top, by the name that people know."""
    document = await rendered(
        message("Hi"),
        message("Hello", seq=2),
        title="# *a*\n[b](c) <i>",
        archived_at=AT,
        imported={"source": "chatgpt", "at": AT, "lastSeq": 2, "system": [1]},
    )
    first, _, rest = document.partition("\n")
    assert first == r"# \# \*a\* \[b\](c) \<i\>"
    assert "- Archived: 2026-11-22 08:00:00 UTC\n" in rest
    assert "- Imported from ChatGPT, 2026-11-22 08:00:00 UTC\n" in rest
    assert "## 1. System, 2026-11-22 08:00:00 UTC\n" in rest
    assert document.count("ChatGPT") == 1


async def test_a_large_message_stops_nobody_else() -> None:
    """Its lines are gone through beside the event loop."""
    assert await turns_of_others(rendered(message("a\n" * 100_000))) > 5
