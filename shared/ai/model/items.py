"""The parts of one message as a model is given them: words, files, calls of tools, results.

Reasoning, sources and data are for people: a model is not given them again. Nor are the files of a
reply, which stand in its text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic_ai.messages import (
    BinaryContent,
    DocumentUrl,
    ImageUrl,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
)

from ...encoding.parts import is_text, is_tool, tool_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...encoding.parts import Part
    from ..protocol import HistoryMessage

DENIED = "The user did not allow this call."


def user_items(parts: Iterable[Part]) -> list[UserContent]:
    """Return what a user's parts say; nothing if they have neither words nor files."""
    items: list[UserContent] = []
    for part in parts:
        if is_text(part) and part["text"].strip():
            items.append(part["text"])
        elif part.get("type") == "file":
            items.append(_file(part))
    return items


def model_items(
    row: HistoryMessage,
) -> Iterator[tuple[Literal["user", "model"], str | ToolCallPart | ToolReturnPart]]:
    """Yield what a reply says, and whose turn each is: a tool's results are given by the user.

    Calls that stand together were made at once; words or another step behind them come after their
    results. Each call has a result, as `repaired` leaves them.
    """
    if not any(map(is_tool, row.parts)):
        yield "model", row.content
        return
    waiting: list[ToolReturnPart] = []
    for part in row.parts:
        if is_tool(part):
            yield "model", _call(part)
            waiting.append(_result(part))
        elif part.get("type") == "step-start" or (is_text(part) and part["text"].strip()):
            for result in waiting:
                yield "user", result
            waiting = []
            if is_text(part):
                yield "model", part["text"]
    for result in waiting:
        yield "user", result


def _call(part: Part) -> ToolCallPart:
    given = part.get("input")
    arguments = given if isinstance(given, dict) else {} if given is None else {"input": given}
    return ToolCallPart(tool_name(part), arguments, tool_call_id=part["toolCallId"])


def _result(part: Part) -> ToolReturnPart:
    content: Any = part.get("output")
    outcome: Literal["success", "failed", "denied"] = "success"
    if part["state"] == "output-error":
        content, outcome = part.get("errorText"), "failed"
    elif part["state"] == "output-denied":
        content, outcome = DENIED, "denied"
    return ToolReturnPart(
        tool_name(part), content, tool_call_id=part["toolCallId"], outcome=outcome
    )


def _file(part: Part) -> UserContent:
    """Return a file as models take it: an image or a PDF as it is, text as text; else its name."""
    url, media_type = part["url"], part["mediaType"]
    name = str(part.get("filename") or media_type)
    is_shown = media_type.startswith("image/") or media_type == "application/pdf"
    try:
        if url.startswith("data:") and (is_shown or media_type.startswith("text/")):
            content = BinaryContent.from_data_uri(url)
            return content if is_shown else f"{name}:\n\n{content.data.decode(errors='replace')}"
    except ValueError:
        return f"[File: {name}]"
    if is_shown and url.startswith("https://"):
        return ImageUrl(url) if media_type.startswith("image/") else DocumentUrl(url)
    return f"[File: {name}]"
