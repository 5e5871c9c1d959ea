"""Claude: blocks in their place, artifacts as files, what a client could not show."""

from typing import Any

import pytest

from tests.support.imported import conversations_in, everything_in, parts_of, path_of, words_of
from tests.support.provider_files import CLAUDE_TAKEN, claude_message, claude_sample


def reply_of(**row: Any) -> Any:
    """Return the message of a conversation's only reply."""
    message = claude_message("m", "assistant", "") | row
    (conversation,) = conversations_in([{"uuid": "u", "chat_messages": [message]}])
    return conversation.messages[0]


def artifact(command: str, **given: Any) -> dict[str, Any]:
    """Return the call that makes or changes an artifact."""
    return {
        "type": "tool_use", "name": "artifacts",
        "input": {"command": command, "id": "a", "type": "text/markdown", "title": "T", **given},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": "plain", "content": []}, "plain"),
        ({"text": "old", "content": [{"type": "text", "text": "new"}]}, "new"),
        ({"text": "said", "content": [{"type": "tool_use", "name": "x"}]}, "said"),
        ({"attachments": [{"extracted_content": "pasted"}]}, "pasted"),
        ({"files": [{"file_name": "a.png"}]}, "[image: a.png]"),
        ({"files": [{"file_uuid": "u"}]}, "[file]"),
        ({"content": [{"type": "new_block", "body": "words"}]}, "words"),
        ({"content": [{"type": "thinking", "thinking": "x"}]}, "[no answer]"),
    ],
)
def test_a_message_has_its_text(row: dict[str, Any], text: str) -> None:
    """Blocks first, then the text, then what was attached; with neither, what there is."""
    assert reply_of(**row).content == text


@pytest.mark.parametrize(
    "row",
    [
        {"text": None, "content": None, "attachments": None, "files": "x"},
        {"content": [5, None, {"type": "text", "text": 5}]},
    ],
)
def test_a_message_with_nothing_in_it_is_empty(row: dict[str, Any]) -> None:
    """And nothing else is."""
    message = claude_message("m", "assistant", "") | row
    (conversation,) = conversations_in([{"uuid": "u", "chat_messages": [message]}])
    assert (conversation.messages, conversation.left_out) == ([], {"empty": 1})


def test_a_change_of_an_artifact_gives_the_whole_of_it() -> None:
    """As the reader saw it after that reply; one that can't be followed is the call that it was."""
    contents = [
        [artifact("create", content="one two")],
        [artifact("update", old_str="two", new_str="three")],
        [artifact("update", old_str="gone", new_str="x")],
    ]
    rows = [claude_message(str(n), "assistant", "", content=c) for n, c in enumerate(contents)]
    (conversation,) = conversations_in([{"uuid": "u", "chat_messages": rows}])
    assert [message.generated_code for message in conversation.messages] == [
        "one two", "one three", None,
    ]  # fmt: skip
    (call,) = parts_of(conversation.messages[2], "dynamic-tool")
    assert call["input"]["old_str"] == "gone"


def test_a_tag_that_never_ends_swallows_nothing() -> None:
    """It stays in the text."""
    text = "Sure.\n\n<antArtifact title='x'>\nHello"
    assert reply_of(text=text).content == text


def test_samples_come_in_order() -> None:
    """A tree and a list; the branch and the tools beside them."""
    tree, flat = conversations_in(claude_sample())
    assert words_of(tree) == CLAUDE_TAKEN
    thinking, said, call, more = path_of(tree)[1].parts
    assert (thinking, said["text"], more["text"]) == (
        {"type": "reasoning", "text": "Hmm"}, "Let me look.", "Cats.",
    )  # fmt: skip
    assert (call["toolName"], call["input"], call["output"]) == (
        "search", {"query": "cats"}, "found",
    )  # fmt: skip
    assert words_of(flat) == [("user", "Flat"), ("assistant", "Yes")]
    assert tree.kept == {"reasoning": 1, "tool": 1, "branch": 1, "attachment": 1}


@pytest.mark.parametrize("parent", [None, "n0"])
def test_messages_of_one_id_are_all_kept(parent: str | None) -> None:
    """In a list each in its place; in a tree the later one is another branch."""
    rows = [
        claude_message("n1", "human", "one", parent),
        claude_message("n2", "assistant", "two", parent and "n1"),
        claude_message("n1", "human", "three", parent and "n2"),
    ]
    (conversation,) = conversations_in([{"uuid": "u", "chat_messages": rows}])
    assert [message.content for message in conversation.messages] == ["one", "two", "three"]


def test_a_message_that_a_file_has_twice_is_one() -> None:
    """The same in all that it says, and so no other branch."""
    rows = [claude_message("n1", "human", "one", "n0"), claude_message("n2", "human", "two", "n1")]
    (conversation,) = conversations_in([{"uuid": "u", "chat_messages": [*rows, *rows]}])
    assert [message.content for message in conversation.messages] == ["one", "two"]
    assert conversation.kept == {}


def test_what_unknown_senders_say_is_kept_as_a_step() -> None:
    """And the path goes on over it."""
    rows = [claude_message("1", "human", "a"), claude_message("2", "critic", "b"),
            claude_message("3", "assistant", "c")]  # fmt: skip
    (conversation,), _ = everything_in([{"uuid": "u", "chat_messages": rows}])
    assert words_of(conversation) == [("user", "a"), ("assistant", "c")]
    assert conversation.kept == {"unknown role": 1}
    assert conversation.messages[1].metadata["imported"]["steps"][0]["content"] == "b"
