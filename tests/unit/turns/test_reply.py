"""What is stored of an AI run, whatever it ended with."""

from datetime import datetime
from typing import Any

import pytest
import structlog

from shared.ai.protocol import Analysis, Complexity, EngineError, EngineResult, Intent, Usage
from shared.encoding.files import GeneratedFile, render_files
from shared.encoding.sizes import MAX_METADATA_BYTES, MAX_TEXT_BYTES, stored_size, text_size
from shared.encoding.storable import unescape
from shared.models.turns import RESERVED_METADATA
from shared.turns.reply import Reply, compose_reply, user_metadata

ANALYSIS = Analysis(
    intent=Intent.CREATE_FUNCTION, complexity=Complexity.SIMPLE, strategy="generate_code"
)


def file(path: str, content: str, language: str | None = "python") -> GeneratedFile:
    """Return a generated file."""
    return GeneratedFile(path=path, language=language, content=content)


def compose(
    *,
    own: dict[str, Any] | None = None,
    persisted_after: float | None = None,
    context: dict[str, Any] | None = None,
    **fields: Any,
) -> Reply:
    """Compose a reply of a good result with these fields changed."""
    result = EngineResult(**{"success": True, "message": "Hi", "engine": "unit", **fields})
    return compose_reply(
        result,
        analysis=ANALYSIS,
        duration=1.23456,
        own_metadata=own or {},
        persisted_after=persisted_after,
        context=context,
    )


def test_a_good_result_becomes_a_completed_reply() -> None:
    """With everything that the specification names, and nothing that isn't so."""
    reply = compose(files=[file("a.py", "x = 1")])
    metadata = dict(reply.metadata)
    assert datetime.fromisoformat(metadata.pop("timestamp")).tzinfo is not None
    assert (reply.status, reply.content, reply.generated_code) == ("completed", "Hi", "x = 1")
    assert reply.error is None
    assert metadata == {
        "success": True,
        "filesGenerated": 1,
        "files": [{"path": "a.py", "language": "python"}],
        "duration": 1.235,
        "intent": "create_function",
        "complexity": "simple",
        "strategy": "generate_code",
        "engine": "unit",
    }


def test_how_long_the_message_took_to_be_stored_is_kept_where_it_is_known() -> None:
    """In seconds, to a tenth of a millisecond."""
    assert compose(persisted_after=0.0123456).metadata["persistedAfter"] == 0.0123
    assert "persistedAfter" not in compose().metadata


def test_a_failure_is_a_reply_too() -> None:
    """With its reason in the metadata and beside the turn, and nulls where nothing was found."""
    error = EngineError(type="timeout", message="Too slow.")
    result = EngineResult(success=False, message="Too slow.", error=error, engine="unit")
    reply = compose_reply(result, analysis=None, duration=0, own_metadata={})
    assert reply.status == "failed"
    assert reply.error == {"type": "timeout", "message": "Too slow."} == reply.metadata["error"]
    assert reply.metadata["success"] is False
    assert [reply.metadata[name] for name in ("intent", "complexity", "strategy")] == [None] * 3
    assert reply.generated_code is None


def test_usage_reasoning_and_a_cut_are_there_where_there_were_any() -> None:
    """And are left out where not."""
    usage = Usage(input_tokens=1, output_tokens=2, requests=3)
    reply = compose(usage=usage, finish_reason="length", reasoning="Hm.")
    assert reply.metadata["usage"] == {"input_tokens": 1, "output_tokens": 2, "requests": 3}
    assert (reply.metadata["truncated"], reply.metadata["finishReason"]) == (True, "length")
    assert reply.metadata["reasoning"] == "Hm."
    optional = {"usage", "truncated", "finishReason", "reasoning", "error", "escaped"}
    assert optional.isdisjoint(compose().metadata)


def test_the_callers_metadata_stands_beside_ours_and_never_in_its_place() -> None:
    """Even if a reserved key got this far."""
    own = {"client": "web", "nested": {"a": [1]}, "success": False, "engine": "mine"}
    metadata = compose(own=own).metadata
    assert metadata["client"] == "web"
    assert metadata["nested"] == {"a": [1]}
    assert (metadata["success"], metadata["engine"]) == (True, "unit")


def test_every_key_of_ours_is_reserved() -> None:
    """So a caller learns at once instead of finding their own overwritten."""
    error = EngineError(type="timeout", message="Too slow.")
    usage = Usage(input_tokens=1, output_tokens=1)
    ours = compose(
        error=error, usage=usage, finish_reason="unknown", reasoning="Hm", persisted_after=1
    )
    escaped = compose(message="\x00", context={"messages": 0})
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        mine = user_metadata(None, {})
    assert ours.metadata.keys() | escaped.metadata.keys() | mine.keys() == RESERVED_METADATA


@pytest.mark.promise("any text", red="`compose_reply` without its escaper")
@pytest.mark.promise("model fails", red="`compose_reply` without its escaper")
@pytest.mark.parametrize("bad", ["\x00", "\ud83d"], ids=ascii)
def test_what_postgres_cannot_hold_is_escaped_wherever_it_is(bad: str) -> None:
    """In text, code, file names and errors; flagged, and it can be turned back."""
    texts = [
        compose(message=f"a{bad}b"),
        compose(files=[file("a.py", f"a{bad}b")]),
        compose(files=[file(f"a{bad}b", "x")]),
        compose(error=EngineError(type="timeout", message=f"a{bad}b")),
    ]
    for reply in texts:
        stored = f"{reply.content} {reply.generated_code} {reply.metadata} {reply.error}"
        assert bad not in stored
        stored.encode()
        assert reply.metadata["escaped"] is True
    assert unescape(texts[0].content) == f"a{bad}b"
    assert unescape(texts[1].generated_code or "") == f"a{bad}b"
    assert unescape(texts[3].error["message"] if texts[3].error else "") == f"a{bad}b"


def test_a_users_row_says_for_which_project_and_when() -> None:
    """Beside what the caller added."""
    metadata = user_metadata("6f1c", {"client": "web"})
    assert datetime.fromisoformat(metadata.pop("timestamp")).tzinfo is not None
    assert metadata == {"client": "web", "projectId": "6f1c"}
    assert user_metadata(None, {})["projectId"] is None


def test_one_file_is_stored_as_it_is_and_none_as_null() -> None:
    """No fence around it, not even where it holds one."""
    assert render_files([]) is None
    assert render_files([file("a.md", "```\nx\n```\n")]) == "```\nx\n```\n"
    assert render_files([file("a", "")]) == ""


def test_several_files_are_fenced_by_more_than_they_hold() -> None:
    """So that each ends where it ends."""
    files = [file("a.md", "````\nx\n````", "markdown"), file("b", "y", None)]
    assert render_files(files) == (
        "`````markdown path=a.md\n````\nx\n````\n`````\n\n`````text path=b\ny\n`````"
    )


@pytest.mark.promise("row sizes", red="cut_to_size taken out of compose_reply")
@pytest.mark.parametrize("letter", ["x", "\n", "漢", "\x00"])
def test_a_reply_that_a_row_has_no_room_for_is_cut_and_marked(letter: str) -> None:
    """Its text, its files and its reasoning, each to its own size; whole files alone are kept."""
    texts = letter * (3_000_000 // text_size(letter))
    files = [file(f"{number}.py", texts[: len(texts) // 7]) for number in range(6)]
    reply = compose(own={"given": "x" * 499_000}, message=texts, files=files, reasoning=texts)
    assert 0 < text_size(reply.content) <= MAX_TEXT_BYTES
    assert reply.metadata["truncated"] is True
    assert reply.metadata["finishReason"] == "length"
    assert text_size(reply.generated_code or "") <= MAX_TEXT_BYTES
    assert reply.metadata["filesGenerated"] == len(reply.metadata["files"]) < 6
    assert reply.metadata["reasoning"].endswith("[Cut here.]")
    assert 499_000 < stored_size(reply.metadata) <= MAX_METADATA_BYTES


def test_a_list_of_files_has_a_size_too() -> None:
    """Ten thousand long names are more than metadata holds beside the caller's own."""
    reply = compose(files=[file(f"{number:0>200}", "") for number in range(10_000)])
    assert 500 < reply.metadata["filesGenerated"] < 2_000
    assert stored_size(reply.metadata) <= MAX_METADATA_BYTES // 2
    assert reply.metadata["truncated"] is True
