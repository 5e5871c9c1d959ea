"""From bytes to drafts: formats told apart, odd content read, unstorable text kept reversibly."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from shared.encoding.storable import unescape
from shared.errors import ChecksumMismatchError, InvalidImportError
from shared.imports.chatgpt import content_text
from shared.imports.claude import message_text
from shared.imports.ours import checksum_of
from shared.imports.parsed import ImportFile
from shared.imports.reading import read_file
from tests.support.provider_files import (
    claude_message,
    claude_sample,
    gpt_conversation,
    gpt_message,
    gpt_sample,
    zipped,
)

pytestmark = pytest.mark.promise("imports")

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def read(content: Any, *, is_zip: bool = False) -> ImportFile:
    """Read a file."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_file(data, is_zip=is_zip, limit=10**6, now=NOW, user_id=uuid4(), key=None)


@pytest.mark.parametrize(
    ("content", "source"),
    [
        (gpt_sample(), "chatgpt"),
        (gpt_sample()[0], "chatgpt"),
        (claude_sample(), "claude"),
        (claude_sample()[0], "claude"),
        ([{"role": "user", "content": "x"}], "list"),
        ({"messages": [{"role": "user", "content": "x"}], "title": "T"}, "list"),
    ],
)
def test_a_file_is_known_by_what_is_in_it(content: Any, source: str) -> None:
    """One conversation by itself too, and with a byte order mark."""
    assert read(content).source == source
    assert read(b"\xef\xbb\xbf" + json.dumps(content).encode()).source == source


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"content_type": "text", "parts": ["a", "", "b"]}, "a\n\nb"),
        ({"content_type": "text", "parts": [None, 5, ["x"]]}, ""),
        ({"content_type": "multimodal_text", "parts": [
            {"content_type": "audio_transcription", "text": "said"},
            {"content_type": "real_time_user_audio_video_asset_pointer"}]},
         "said\n\n[real time user audio video]"),
        ({"content_type": "multimodal_text", "parts": [{}]}, "[attachment]"),
        ({"content_type": "code", "language": "python", "text": "x()"}, "```python\nx()\n```"),
        ({"content_type": "code", "language": "unknown", "text": "x"}, "```\nx\n```"),
        ({"content_type": "execution_output", "text": "out"}, "out"),
        ({"content_type": "tether_quote", "title": "T", "text": "quoted"}, "quoted"),
        ({"content_type": "tether_browsing_display", "result": "page"}, "page"),
        ({"content_type": "reasoning_recap", "content": "Thought for 5 s"}, "Thought for 5 s"),
        ({"content_type": "thoughts", "thoughts": [{"content": "a"}, {"summary": "b"}, 5]},
         "a\n\nb"),
        ({"content_type": "from_the_future", "text": "still text"}, "still text"),
        ({"content_type": "user_editable_context", "user_profile": "P"}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_each_type_of_chatgpts_content_has_its_text(content: dict[str, Any], text: str) -> None:
    """What is no text is named; what isn't known is read by its fields."""
    assert content_text(content) == text


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": "plain", "content": []}, "plain"),
        ({"text": "old", "content": [{"type": "text", "text": "new"}]}, "new"),
        ({"text": "said", "content": [{"type": "tool_use", "name": "x"}]}, "said"),
        ({"text": "", "attachments": [{"extracted_content": "pasted"}]}, "pasted"),
        ({"text": "", "files": [{"file_name": "a.png"}]}, "[a.png]"),
        ({"text": None, "content": None, "attachments": None, "files": "x"}, ""),
        ({"content": [5, None, {"type": "text", "text": 5}]}, ""),
    ],
)
def test_a_message_of_claudes_has_its_text(row: dict[str, Any], text: str) -> None:
    """Blocks first, then the text, then what was attached."""
    assert message_text(row) == text


@pytest.mark.parametrize(
    "value", [None, 5, "x", [], {}, {"a": None}, {"a": {"message": 5}}, {"a": {"message": {}}}]
)
def test_a_conversation_that_makes_no_sense_is_an_empty_one(value: Any) -> None:
    """It is skipped as such; the others of the file are taken."""
    strange = {"mapping": value, "title": 5, "create_time": "x", "current_node": ["x"]}
    first, second = read([strange, gpt_sample()[0]]).conversations
    assert (len(first.messages), len(second.messages)) == (0, 4)
    claude, _ = read([{"chat_messages": value}, claude_sample()[0]]).conversations
    assert claude.messages == []


def test_a_conversation_without_an_id_is_named_by_its_content() -> None:
    """The same content has the same name, another has another."""
    one, same, other = (
        read([gpt_conversation([("a", None, gpt_message("user", text))], conversation_id=None)])
        for text in ("x", "x", "y")
    )
    ids = [read.conversations[0].source_id for read in (one, same, other)]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("sha256:")


def test_a_chain_of_10000_messages_comes_in_order() -> None:
    """However the file is ordered."""
    nodes = [
        (str(n), str(n - 1) if n else None, gpt_message("user", f"m{n}")) for n in range(10_000)
    ]
    conversation = gpt_conversation(nodes)
    conversation["mapping"] = dict(reversed(conversation["mapping"].items()))
    (draft,) = read([conversation]).conversations
    assert [message.content for message in draft.messages] == [f"m{n}" for n in range(10_000)]


def test_text_that_can_not_be_stored_is_kept_reversibly() -> None:
    """NUL and halves of surrogate pairs in an archive are escaped and flagged, in metadata too."""
    bad = "a\x00b\ud83d"
    message = gpt_message("user", bad, metadata={"attachments": [{"name": bad}]})
    odd = gpt_conversation([("a", None, message)], title=bad, conversation_id="x\x00")
    (draft,) = read([odd]).conversations
    (row,) = draft.messages
    assert (unescape(row.content), row.metadata["escaped"]) == (bad, True)
    for text in (row.content, draft.title, draft.source_id, json.dumps(row.metadata)):
        assert "\x00" not in text
        text.encode()


HALF = b"\\ud83d"  # of a pair, as JSON.stringify writes what is left of a cut emoji


def test_half_an_emoji_in_a_clients_list_is_kept_reversibly() -> None:
    """JavaScript cuts a text between two halves, and a list has no other name than its content."""
    content = b'[{"role": "user", "content": "cut ' + HALF + b'"}]'
    (draft,) = read(content).conversations
    (row,) = draft.messages
    assert (unescape(row.content), row.metadata["escaped"]) == ("cut \ud83d", True)


def test_half_an_emoji_in_our_own_json_is_refused() -> None:
    """No export holds one: whatever the checksum says, that is an error that says so."""
    document = (
        b'{"format": "message-persistence/conversation", "version": 1, "messages": [],'
        b' "checksum": {"algorithm": "sha256", "value": "%s"}, "conversation": {"title": "T",'
        b' "metadata": {"a": "' + HALF + b'"}, "created_at": "2026-01-01T00:00:00Z",'
        b' "archived_at": null}}'
    )
    with pytest.raises(ChecksumMismatchError):
        read(document.replace(b"%s", b"0"))
    checksum = checksum_of(json.loads(document))
    with pytest.raises(InvalidImportError, match="surrogate"):
        read(document.replace(b"%s", checksum.encode()))


@pytest.mark.parametrize("parent", [None, "n0"])
def test_messages_of_one_id_are_all_kept(parent: str | None) -> None:
    """In a list each in its place; in a tree the later one is another branch."""
    rows = [
        claude_message("n1", "human", "one", parent),
        claude_message("n2", "assistant", "two", parent and "n1"),
        claude_message("n1", "human", "three", parent and "n2"),
    ]
    (draft,) = read([{"uuid": "u", "chat_messages": rows}]).conversations
    assert [message.content for message in draft.messages] == ["one", "two", "three"]


def test_a_message_that_a_file_has_twice_is_one() -> None:
    """The same in all that it says, and so no other branch."""
    rows = [claude_message("n1", "human", "one", "n0"), claude_message("n2", "human", "two", "n1")]
    (draft,) = read([{"uuid": "u", "chat_messages": [*rows, *rows]}]).conversations
    assert [message.content for message in draft.messages] == ["one", "two"]
    assert "branches" not in json.dumps([message.metadata for message in draft.messages])


def test_claudes_messages_of_unknown_senders_are_counted() -> None:
    """And the path goes on over them."""
    rows = [claude_message("1", "human", "a"), claude_message("2", "tool", "b"),
            claude_message("3", "assistant", "c")]  # fmt: skip
    (draft,) = read([{"uuid": "u", "chat_messages": rows}]).conversations
    assert [message.content for message in draft.messages] == ["a", "c"]
    assert draft.left_out == {"unknown role": 1}


def test_a_zip_must_hold_conversations() -> None:
    """Wherever they are in it; anything else is an error that says so."""
    content = json.dumps(claude_sample()).encode()
    found = read(zipped(some__folder__conversations___json=content, x___png=b"x"), is_zip=True)
    assert len(found.conversations) == 2
    with pytest.raises(InvalidImportError, match=r"no conversations\.json"):
        read(zipped(my_conversations___json=content), is_zip=True)


def test_what_a_mac_or_windows_puts_into_a_zip_is_no_obstacle() -> None:
    """The Finder adds a file beside each, Windows may write backslashes, who unpacks may rename."""
    content = json.dumps(claude_sample()).encode()
    beside = b"\x00\x05\x16\x07\xff"
    files = {
        "out__conversations__a___json": content,
        "__MACOSX/out/conversations/._a.json": beside,
        "out__conversations__._b___json": beside,
    }
    assert len(read(zipped(**files), is_zip=True).conversations) == 2
    assert len(read(zipped(**{"out\\conversations.json": content}), is_zip=True).conversations) == 2


def test_a_zip_of_text_that_repeats_itself_is_taken() -> None:
    """A log of one line over and over deflates to a thousandth."""
    said = json.dumps([{"role": "user", "content": "waiting ...\n" * 300_000}]).encode()
    file = zipped(conversations__a___json=said)
    assert len(said) > len(file) * 200
    assert len(read(file, is_zip=True).conversations) == 1
