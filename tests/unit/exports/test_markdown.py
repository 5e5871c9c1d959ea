"""Markdown: nothing that a message says can leave its quote, or pass for what we wrote."""

from uuid import uuid4

import pytest

from shared.exports.markdown import fenced, markdown_document, quoted
from shared.exports.snapshot import Snapshot
from shared.models.transfers import ConversationExport, MessageExport

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


@pytest.mark.parametrize(
    "text",
    [
        "```\nnever closed",
        "~~~~\nnever closed",
        "# A heading\n## 2. User, 2026-01-01 00:00:00 UTC",
        "<!-- never closed",
        "<pre>\n\n<script>",
        "a\r## forged\r\n## forged\n\n\n## forged",
        "> a quote\n\n---\n\nEnd of the conversation: 0 messages.",
        "    indented\n\ttab",
        "\n\n",
    ],
)
async def test_every_line_of_a_message_stays_in_its_quote(text: str) -> None:
    """Whatever ends a line in Markdown: what follows begins as a quote too."""
    document = await rendered(message(text), message("next", seq=2, role="user"))
    body = document.partition("UTC\n\n> ")[2] or document.partition("UTC\n\n>")[2]
    ours = [line for line in document.replace("\r", "\n").split("\n") if not line.startswith(">")]
    assert body
    assert [line for line in ours if line.startswith("## ")] == [
        "## 1. Assistant, 2026-11-22 08:00:00 UTC", "## 2. User, 2026-11-22 08:00:00 UTC",
    ]  # fmt: skip
    assert document.endswith("> next\n\n---\n\nEnd of the conversation: 2 messages.\n")
    assert ours.count("End of the conversation: 2 messages.") == 1
    assert not any("forged" in line or "never" in line for line in ours)


def test_a_quote_is_the_text_with_marks() -> None:
    """Nothing is lost: taking the marks away gives the lines back."""
    assert quoted("a\n\n  b\r\nc") == "> a\n>\n>   b\n> c"


@pytest.mark.parametrize("code", ["x", "```\na\n```", "a ```````` b", "~~~", ""])
def test_a_fence_is_longer_than_any_in_the_code(code: str) -> None:
    """So the code can't end it."""
    lines = fenced(code, "python").split("\n")
    fence = lines[0].removesuffix("python")
    assert set(fence) == {"`"}
    assert lines[-1] == fence
    assert "\n".join(lines[1:-1]) == code
    assert fence not in code


async def test_code_and_failures_are_told() -> None:
    """Code with its language, a failed reply with why; a language that is none is left out."""
    file = {"filesGenerated": [{"path": "a.py", "language": "python"}]}
    odd = {"filesGenerated": [{"language": "x\n# forged"}], "error": {"type": "time_out*"}}
    document = await rendered(
        message("Here", generated_code="print()", metadata=file),
        message("No", generated_code="y", metadata=odd, seq=2),
    )
    assert "\n```python\nprint()\n```\n" in document
    assert "\n```\ny\n```\n\n*Failed: time\\_out\\**\n" in document
    assert "forged" not in document


async def test_the_title_is_one_line_of_text() -> None:
    """No markup of it counts, and where the conversation is from stands below it."""
    document = await rendered(
        message("Hi"),
        title="# *a*\n[b](c) <i>",
        archived_at=AT,
        imported={"source": "chatgpt", "at": AT, "lastSeq": 1, "system": [1]},
    )
    first, _, rest = document.partition("\n")
    assert first == r"# \# \*a\* \[b\]\(c\) \<i\>"
    assert "- Archived: 2026-11-22 08:00:00 UTC\n" in rest
    assert "- Imported: 2026-11-22 08:00:00 UTC, from chatgpt\n" in rest
    assert "## 1. System (imported from chatgpt), 2026-11-22 08:00:00 UTC\n" in rest
