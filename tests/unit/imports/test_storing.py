"""Rows that the store takes: their text, and their size."""

import json
from typing import Any

import pytest

from shared.encoding.exact import ExactNumber
from shared.encoding.sizes import stored_size, text_size
from shared.encoding.storable import unescape
from shared.imports import storing
from shared.imports.parsed import ParsedConversation, ParsedMessage
from shared.imports.storing import RowTooLargeError, make_ready
from tests.support.imported import NOW, conversations_in
from tests.support.provider_files import gpt_conversation, gpt_message


@pytest.fixture(autouse=True)
def _small_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "MAX_TEXT_BYTES", 100)
    monkeypatch.setattr(storing, "MAX_METADATA_BYTES", 1000)
    monkeypatch.setattr(storing, "MAX_GIVEN_METADATA_BYTES", 1000)


def conversation_of(message: ParsedMessage, **more: Any) -> ParsedConversation:
    """Return a conversation of one message."""
    return ParsedConversation("list", "id", "T", [message], **more)


def test_a_text_that_is_too_long_goes_over_several_messages() -> None:
    """Of one role, in order, with nothing between them."""
    text = "".join(map(str, range(100)))
    message = ParsedMessage("assistant", text, NOW, {"imported": {"source": "list", "id": "m"}})
    conversation = conversation_of(message)
    make_ready(conversation, NOW)
    parts = conversation.messages
    assert "".join(part.content for part in parts) == text
    assert {part.role for part in parts} == {"assistant"}
    assert [part.metadata["imported"]["id"] for part in parts] == ["m", "m#2"]
    assert parts[0].at and parts[1].at and parts[0].at < parts[1].at  # noqa: PT018 - for mypy


@pytest.mark.parametrize("letter", ["漢", "\n", "\x01", "🎉"])
def test_a_text_is_measured_as_json(letter: str) -> None:
    """Whatever its letters are, no part takes more bytes than a row holds, and none is lost."""
    conversation = conversation_of(ParsedMessage("user", letter * 300, NOW))
    make_ready(conversation, NOW)
    contents = [part.content for part in conversation.messages]
    assert "".join(contents) == letter * 300
    assert max(map(text_size, contents)) <= 100


def test_a_part_of_a_message_with_a_giant_id_has_its_size_too() -> None:
    """The id is left out, and the report says that something was."""
    metadata = {"imported": {"source": "list", "id": "i" * 985}}
    conversation = conversation_of(ParsedMessage("user", "x" * 150, NOW, metadata))
    make_ready(conversation, NOW)
    assert [stored_size(part.metadata) <= 1000 for part in conversation.messages] == [True, True]
    assert conversation.left_out["too_large"] >= 1


def test_files_that_are_too_large_are_left_out_and_said() -> None:
    """They can't be cut."""
    conversation = conversation_of(ParsedMessage("assistant", "x", NOW, {}, "c" * 101))
    make_ready(conversation, NOW)
    assert conversation.messages[0].generated_code is None
    assert conversation.left_out == {"too_large": 1}


def test_metadata_that_is_too_large_loses_its_last_items() -> None:
    """The largest list's, and what is too large by itself; the report counts them."""
    branches = [{"content": "b" * 100} for _ in range(20)]
    metadata = {"imported": {"source": "list", "branches": branches}, "reasoning": "r" * 400}
    conversation = conversation_of(ParsedMessage("user", "x", NOW, metadata))
    make_ready(conversation, NOW)
    kept = conversation.messages[0].metadata
    assert stored_size(kept) <= 1000
    assert kept["reasoning"] == "r" * 400
    assert 3 <= len(kept["imported"]["branches"]) < 8
    assert conversation.left_out["too_large"] == 20 - len(kept["imported"]["branches"])


def test_one_thing_that_is_too_large_is_left_out() -> None:
    """Of a conversation's metadata too."""
    conversation = conversation_of(ParsedMessage("user", "x", NOW))
    conversation.metadata = {"imported": {"source": "list", "system": "s" * 2000}}
    make_ready(conversation, NOW)
    assert conversation.metadata == {"imported": {"source": "list"}}
    assert conversation.left_out == {"too_large": 1}


def test_of_many_small_things_only_as_many_go_as_have_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is measured a few times, however many there are: not all again for each that goes."""
    measured: list[Any] = []

    def measure(value: Any) -> int:
        measured.append(value)
        return stored_size(value)

    monkeypatch.setattr(storing, "stored_size", measure)
    many = {f"{number:0>4}": "x" * 8 for number in range(3_000)}
    metadata = {**many, "own": {}, "imported": {"id": "m", **many, "steps": ["s" * 96] * 3_000}}
    conversation = conversation_of(ParsedMessage("user", "x", NOW, metadata))
    make_ready(conversation, NOW)
    kept = conversation.messages[0].metadata
    assert 970 < stored_size(kept) <= 1000
    assert len(kept) + len(kept["imported"]) > 45
    assert conversation.left_out["too_large"] == 9_003 - len(kept) - len(kept["imported"])
    assert len(measured) < 30_000


@pytest.mark.parametrize("imported", ["i" * 2000, ["i" * 300] * 9, {"imported": {"a": "i" * 2000}}])
def test_what_is_called_imported_and_is_not_ours_goes_too(imported: Any) -> None:
    """Metadata is whatever a file says."""
    conversation = conversation_of(ParsedMessage("user", "x", NOW, {"imported": imported}))
    make_ready(conversation, NOW)
    assert stored_size(conversation.messages[0].metadata) <= 1000


@pytest.mark.parametrize(
    "message",
    [
        ParsedMessage("user", "x" * 101, NOW),
        ParsedMessage("user", "x", NOW, {}, "c" * 101),
        ParsedMessage("user", "x", NOW, {"a": ["b"] * 300}),
        ParsedMessage("user", "x", NOW, {"a": ExactNumber("1e1200")}),
        ParsedMessage("user", "\n" * 51, NOW),
    ],
)
def test_our_own_json_is_taken_as_it_is_or_not_at_all(message: ParsedMessage) -> None:
    """Its checksum covers every row; a number counts as it is written out."""
    with pytest.raises(RowTooLargeError):
        make_ready(conversation_of(message, is_exact=True), NOW)


def test_text_that_can_not_be_stored_is_kept_reversibly() -> None:
    """NUL and halves of surrogate pairs are escaped and flagged, in metadata too."""
    bad = "a\x00b\ud83d"
    message = gpt_message("user", bad, metadata={"attachments": [{"name": bad}]})
    odd = gpt_conversation([("a", None, message)], title=bad, conversation_id="x\x00")
    (conversation,) = conversations_in([odd])
    (row,) = conversation.messages
    assert (unescape(row.content), row.metadata["escaped"]) == (bad, True)
    texts = (row.content, conversation.title, conversation.source_id, json.dumps(row.metadata))
    for text in texts:
        assert "\x00" not in text
        text.encode()


def test_half_an_emoji_in_a_clients_list_is_kept_reversibly() -> None:
    """JavaScript cuts a text between two halves, and a list has no other name than its content."""
    (conversation,) = conversations_in(b'[{"role": "user", "content": "cut \\ud83d"}]')
    (row,) = conversation.messages
    assert (unescape(row.content), row.metadata["escaped"]) == ("cut \ud83d", True)
