"""Content that is a list of blocks, as OpenAI, Anthropic, Gemini and Vercel have it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..encoding.parts import problem_of
from .attached import LINKS, media_kind
from .parsed import as_object, as_objects, as_text
from .said import fenced, visible_texts
from .tools import read_tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from .said import Said

QUIET: Final = frozenset({"step-finish", "token_budget", "flag"})
TOOL: Final = re.compile(r".*(tool|function)")
KEPT: Final = re.compile(r"step-start$|data-.|source-document$")  # if it is a part already
UseTool: TypeAlias = "Callable[[dict[str, Any], Said], bool]"


def read_blocks(value: Any, said: Said, *, use_tool: UseTool | None = None) -> None:
    """Add what a content says: a text, a block, or a list of both.

    `use_tool` may take the call of a tool for what it is; it returns whether it did.
    """
    for block in value if isinstance(value, list) else [value]:
        if isinstance(block, str):
            said.say(block)
        elif isinstance(block, dict):
            _read_block(block, said, use_tool)


def _read_block(block: dict[str, Any], said: Said, use_tool: UseTool | None) -> None:
    kind = str(block.get("type") or _only_name(block)).lower()
    if KEPT.match(kind) and problem_of(block) is None:
        said.add_part(dict(block))
    elif kind == "step-start":
        return
    elif read := next((read for pattern, read in READERS if pattern.match(kind)), None):
        read(kind, block, said)
    elif TOOL.match(kind):
        if use_tool is None or not use_tool(block, said):
            kept = {name: part for name, part in block.items() if _is_kept(part)}
            read_tool(block, said, step=kept)
    elif kind not in QUIET:
        said.unknown.append(kind or "none")
        for text in visible_texts(block):
            said.say(text)


def _only_name(block: dict[str, Any]) -> str:
    """Return what names a block without a type, as Gemini writes it."""
    return next((name for name in block if name not in {"thought", "thoughtSignature"}), "")


def _read_text(_: str, block: dict[str, Any], said: Said) -> None:
    add = said.think if block.get("thought") is True else said.say
    add(_text_of(block, "text", "refusal"))
    add_citations(said, block.get("citations") or block.get("annotations"))


def _read_reasoning(_: str, block: dict[str, Any], said: Said) -> None:
    said.think(_text_of(block, "thinking", "think", "reasoning", "text", "summary", "data"))
    said.is_cut = said.is_cut or block.get("cut_off") is True


def _read_source(_: str, block: dict[str, Any], said: Said) -> None:
    if not said.cite(block.get("url"), block.get("title") or block.get("filename")):
        said.step(**block)


def _text_of(block: dict[str, Any], *names: str) -> str | None:
    for name in names:
        value = block.get(name)
        if isinstance(value, dict):
            value = value.get("value") or value.get("text")
        if isinstance(value, list):
            value = "\n\n".join(visible_texts(value))
        if isinstance(value, str) and value.strip():
            return value
    return None


def _read_run(_: str, block: dict[str, Any], said: Said) -> None:
    """Add code that was run, or what it wrote."""
    run = next((as_object(part) for part in block.values() if isinstance(part, dict)), block)
    code = _text_of(run, "code", "output")
    if code:
        said.say(fenced(code, str(run.get("language") or "").lower()))


def _read_attached(kind: str, block: dict[str, Any], said: Said) -> None:
    """Add what is attached: its name in its place, and the text of a document itself."""
    inner: dict[str, Any] = {}
    for part in block.values():
        inner |= as_object(part)
    source = {**inner, **{name: part for name, part in block.items() if isinstance(part, str)}}
    media_type = next(
        (source[name] for name in ("mediaType", "media_type", "mimeType", "mime_type")
         if source.get(name)), _data_type(source),
    )  # fmt: skip
    names = ("filename", "file_name", "name", "title", "url", "uri", "fileUri", "file_id")
    name = next((source[one] for one in names if _is_name(source.get(one))), None)
    what = next((one for one in ("image", "audio", "video") if one in kind), None)
    url = _address(block, inner, media_type)
    mark = said.attach(what or media_kind(media_type, name), name, media_type, url)
    words = as_text(inner.get("data")) if inner.get("type") == "text" else None
    said.say(f"{mark}\n\n{fenced(words)}" if words else mark)


def _address(block: dict[str, Any], inner: dict[str, Any], media_type: Any) -> str | None:
    """Return where a file is, which may be in the address itself."""
    data = inner.get("data")
    if isinstance(data, str) and inner.get("type") != "text" and isinstance(media_type, str):
        return f"data:{media_type};base64,{data}"
    values = (*block.values(), *inner.values())
    known = (*LINKS, "data:")
    return next((one for one in values if isinstance(one, str) and one.startswith(known)), None)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not value.startswith("data:")


def _data_type(source: dict[str, Any]) -> str | None:
    """Return the type that a data URI says."""
    for value in source.values():
        if isinstance(value, str) and value.startswith("data:"):
            return value[5:105].partition(";")[0].partition(",")[0] or None
    return None


def _is_kept(part: Any) -> bool:
    return part not in (None, "", [], {}) and not (
        isinstance(part, str) and part.startswith("data:")
    )


def add_citations(said: Said, value: Any) -> None:
    """Add the links that a text names; what it names without a link is a step."""
    for citation in as_objects(value):
        link = {**citation, **as_object(citation.get("details"))}
        link |= as_object(citation.get("url_citation")) | as_object(citation.get("source"))
        links = (link, *as_objects(citation.get("sources")))
        cited = [said.cite(one.get("url"), one.get("title") or one.get("name")) for one in links]
        if citation and not any(cited):
            said.step(**{**citation, "type": "citation"})


READERS: Final = tuple(
    (re.compile(pattern), read)
    for pattern, read in (
        (r"(input_|output_)?text$|refusal$", _read_text),
        (r".*thinking|reasoning|think", _read_reasoning),
        (r"source", _read_source),
        (r".*(executable|execution).*code|.*code.*(execution|executable)", _read_run),
        (r"(input_)?(image|audio|video|file|document|media|inline_?data)", _read_attached),
    )
)
