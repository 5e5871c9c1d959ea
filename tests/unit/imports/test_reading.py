"""From a file to conversations: formats distinguished, odd entries, and what they cost."""

import io
import json
import zipfile
from typing import Any

import pytest

from shared.errors import ChecksumMismatchError, InvalidImportError
from shared.imports.formats.ours import checksum_of
from shared.imports.reading import Rejected
from tests.support.imported import conversations_in, everything_in, words_of
from tests.support.provider_files import (
    claude_message,
    claude_sample,
    gpt_conversation,
    gpt_message,
    gpt_sample,
    zipped,
)

pytestmark = pytest.mark.promise("imports")

MESSAGE = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("content", "source"),
    [
        (gpt_sample(), "chatgpt"),
        (gpt_sample()[0], "chatgpt"),
        (claude_sample(), "claude"),
        (claude_sample()[0], "claude"),
        ([MESSAGE], "list"),
        (MESSAGE, "list"),
        ({"messages": [MESSAGE], "title": "T"}, "list"),
    ],
)
def test_a_file_is_known_by_what_is_in_it(content: Any, source: str) -> None:
    """One conversation by itself too, and with a byte order mark."""
    for data in (content, b"\xef\xbb\xbf" + json.dumps(content).encode()):
        assert {one.source for one in conversations_in(data)} == {source}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda items: {"conversations": items},
        lambda items: {"exported": "today", "data": {"chats": items}},
        lambda items: [items],
        lambda items: {str(n): item for n, item in enumerate(items)},
    ],
)
def test_conversations_are_found_in_what_wraps_them(wrap: Any) -> None:
    """Whatever the member is called."""
    wrapped = conversations_in(wrap([*gpt_sample(), *claude_sample()]))
    assert [one.source for one in wrapped] == ["chatgpt", "claude", "claude"]


def test_a_file_may_hold_conversations_of_several_formats() -> None:
    """Each is read as what it is, and messages that follow each other are one."""
    mixed = [*gpt_sample(), MESSAGE, MESSAGE, *claude_sample(), {"messages": [MESSAGE]}]
    read = conversations_in(mixed)
    assert [one.source for one in read] == ["chatgpt", "list", "claude", "claude", "list"]
    assert len(read[1].messages) == 2


@pytest.mark.parametrize(
    "value", [None, 5, "x", [], {}, {"a": None}, {"a": {"message": 5}}, {"a": {"message": {}}}]
)
def test_a_conversation_that_makes_no_sense_is_an_empty_one(value: Any) -> None:
    """It is skipped as such; the others of the file are taken."""
    strange = {"mapping": value, "title": 5, "create_time": "x", "current_node": ["x"]}
    first, second = conversations_in([strange, gpt_sample()[0]])
    assert (len(first.messages), len(second.messages)) == (0, 6)
    assert conversations_in([{"chat_messages": value}, claude_sample()[0]])[0].messages == []


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (b'{"title": "T", "create_time": 1}', "none that is known"),
        (b"5", "none that is known"),
        (b'{"title": "T", "mapping": {}, "mapping": {}}', "names a key twice"),
        (b'{"title": "T", "mapping": {"a": NaN}}', "NaN is not a JSON number"),
        (b'{"title": "T", "mapping": {"a": 1e999999999}}', "too large"),
        (b'{"title": "T", "mapping": {}, "create_time": 1e400}', "create_time is too large"),
        (b'{"title": "T", "mapping": {}, "x": -' + b"1" * 400 + b"}", "x is too large"),
    ],
)
def test_one_odd_entry_costs_that_entry(entry: bytes, problem: str) -> None:
    """The others of the file are taken; alone, it is the file's error."""
    good = json.dumps(gpt_sample()[0]).encode()
    taken, rejected = everything_in(b"[" + good + b"," + entry + b"," + good + b"]")
    assert [len(one.messages) for one in taken] == [6, 6]
    assert [(one.reason, problem in str(one.error)) for one in rejected] == [("unreadable", True)]
    assert rejected[0].title == ("T" if b"title" in entry else "New Chat")


def gpt_with(**more: Any) -> list[dict[str, Any]]:
    """Return a conversation of one reply of ChatGPT's."""
    return [gpt_conversation([("a", None, gpt_message("assistant", "x", **more))])]


CANVAS = {"content_type": "code", "parts": 5}


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (gpt_with(status=[]), 1),
        (gpt_with(metadata={"finish_details": {"type": []}}), 1),
        (gpt_with(content={"content_type": [], "parts": ["x"]}), 1),
        (gpt_with(content=CANVAS, recipient="canmore.create_textdoc"), 0),
        ([{"chat_messages": [{**claude_message("n", "human", "x"), "stop_reason": {}}]}], 1),
        ([{"role": "assistant", "content": [{"type": "tool_use", "self": 1}, "x"]}], 1),
        ([{"header": "Gemini Apps", "title": "Prompted Q", "safeHtmlItem": [{"html": "x <![ y"}]}],
         2),
    ],
)  # fmt: skip
def test_a_member_of_an_odd_type_costs_at_most_itself(content: Any, count: int) -> None:
    """And is no error of ours."""
    (conversation,) = conversations_in(content)
    assert len(conversation.messages) == count
    assert conversation.left_out.total() == 1 - min(count, 1)


def test_an_entry_that_nobody_foresaw_costs_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks in its reader, the others are taken."""
    monkeypatch.setattr("shared.imports.formats.claude.as_objects", {}.__getitem__)
    taken, rejected = everything_in([claude_sample()[0], gpt_sample()[0]])
    assert ([one.source for one in taken], len(rejected)) == (["chatgpt"], 1)


def test_what_stands_beside_conversations_is_named() -> None:
    """A member without any by its name, a row that is none by a count."""
    taken, rejected = everything_in(
        {"history": [{"messages": [MESSAGE]}], "prompts": [{"content": "Say"}], "folders": []}
    )
    assert (len(taken), [one.title for one in rejected]) == (1, ["prompts"])
    (claude,) = conversations_in([{"chat_messages": ["x", None]}])
    assert claude.left_out == {"unreadable": 2}


def test_an_odd_line_costs_that_line() -> None:
    """JSON, a line each; an empty line is nothing."""
    lines = (
        b'{"messages": [{"role": "user", "content": "a"}]}\n\n{cut\n'
        + json.dumps({"messages": [MESSAGE]}).encode()
    )
    taken, rejected = everything_in(lines)
    assert [words_of(one) for one in taken] == [[("user", "a")], [("user", "x")]]
    assert [one.reason for one in rejected] == ["unreadable"]


def test_an_odd_message_costs_that_message() -> None:
    """And is counted."""
    (conversation,) = conversations_in([MESSAGE, 5, {"hello": 1}, MESSAGE])
    assert (len(conversation.messages), conversation.left_out) == (2, {"unreadable": 2})


def test_times_that_can_not_be_read_are_counted() -> None:
    """The message is kept all the same."""
    (conversation,) = conversations_in([{**MESSAGE, "timestamp": "yesterday"}, MESSAGE])
    assert (len(conversation.messages), conversation.left_out) == (2, {"unreadable_time": 1})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"<html>", "not valid JSON at character 0"),
        (b'[{"role": "user", "content": "x"}', "may have been cut off"),
        (b'[{"role": "user", "content": "x', "may have been cut off"),
        (b'[{"role": "user", "content": "x"}] more', "not valid JSON at character 35"),
        (b'[{"role": "user", "content": "x"} 5]', "not valid JSON at character 34"),
        (b'[{"role": "user", "content": "\xff"}]', "not UTF-8"),
        (b'{"role": "user"\n"content": "x"}', "not valid JSON at character 16"),
        (json.dumps(MESSAGE).encode() + b'\n{"a": "\n' + b"[" * 100_000, "nested too deep"),
        (b"\xff\xfe[\x00\x3d\xd8x\x00]\x00", "UTF-16"),
        ([5] * 1000, "none that is known"),
    ],
    ids=range(12),
)
def test_a_file_that_is_no_json_is_an_error_that_says_where(content: Any, problem: str) -> None:
    """What it says is true: only what ends too early may have been cut off."""
    with pytest.raises(InvalidImportError, match=problem):
        everything_in(content)


def test_a_conversation_without_an_id_is_named_by_its_content() -> None:
    """The same content has the same name, another has another."""
    ids = [
        conversations_in(
            [gpt_conversation([("a", None, gpt_message("user", text))], conversation_id=None)]
        )[0].source_id
        for text in ("x", "x", "y")
    ]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("sha256:")


def test_a_key_names_the_first_list_and_counts_the_others() -> None:
    """Without a key a list is named by its content."""
    file = zipped(a___json=b'[{"role": "user", "content": "a"}]',
                  b___json=b'[{"role": "user", "content": "b"}]')  # fmt: skip
    named, _ = everything_in(file, is_zip=True, key="k")
    assert [one.source_id for one in named] == ["k", "k#2"]
    unnamed = conversations_in(file, is_zip=True)
    assert len({one.source_id for one in unnamed}) == 2


HALF = b"\\ud83d"  # of a pair, as JSON.stringify writes what is left of a cut emoji


def test_half_an_emoji_in_our_own_json_is_refused() -> None:
    """No export holds one: whatever the checksum says, that is an error that says so."""
    document = (
        b'{"format": "message-persistence/conversation", "version": 1, "messages": [],'
        b' "checksum": {"algorithm": "sha256", "value": "%s"}, "conversation": {"title": "T",'
        b' "metadata": {"a": "' + HALF + b'"}, "created_at": "2026-01-01T00:00:00Z",'
        b' "archived_at": null}}'
    )
    checksum = checksum_of(json.loads(document)).encode()
    reasons = [
        [(one.reason, type(one.error)) for one in everything_in(document.replace(b"%s", value))[1]]
        for value in (b"0", checksum)
    ]
    assert reasons == [
        [("checksum_mismatch", ChecksumMismatchError)], [("unreadable", InvalidImportError)],
    ]  # fmt: skip


def test_a_zip_gives_the_conversations_of_all_its_files() -> None:
    """Wherever they are; what holds none is named once, however many entries it has."""
    file = zipped(
        chatgpt__conversations___json=json.dumps(gpt_sample()).encode(),
        claude__conversations___json=json.dumps(claude_sample()).encode(),
        claude__users___json=b'[{"id": 1}, {"id": 2}]',
        claude__broken___json=b"[",
        chat___html=b"<html>",
    )
    taken, rejected = everything_in(file, is_zip=True)
    assert [one.source for one in taken] == ["chatgpt", "claude", "claude"]
    assert [(one.title, one.reason) for one in rejected] == [
        ("broken", "unreadable"), ("users", "unreadable"),
    ]  # fmt: skip
    with pytest.raises(InvalidImportError, match="no JSON file"):
        everything_in(zipped(chat___html=b"<html>"), is_zip=True)


def test_a_file_of_a_zip_that_can_not_be_opened_costs_itself() -> None:
    """One that is damaged, and a zip in the zip."""
    good, evil = (b'[{"role": "user", "content": "%s"}]' % words for words in (b"good", b"evil"))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as opened:
        for name, content in (("a.json", good), ("b.json", evil), ("c.zip", zipped(a___json=good))):
            opened.writestr(name, content)
    taken, rejected = everything_in(written.getvalue().replace(b"evil", b"sick"), is_zip=True)
    assert [words_of(one) for one in taken] == [[("user", "good")]]
    assert [(one.title, one.reason) for one in rejected] == [
        ("b", "unreadable"), ("c", "unreadable"),
    ]  # fmt: skip


def test_what_a_mac_or_windows_puts_into_a_zip_is_no_obstacle() -> None:
    """The Finder adds a file beside each, Windows may write backslashes, who unpacks may rename."""
    content = json.dumps(claude_sample()).encode()
    beside = b"\x00\x05\x16\x07\xff"
    files = {
        "out__conversations__a___json": content,
        "__MACOSX/out/conversations/._a.json": beside,
        "out__conversations__._b___json": beside,
    }
    assert len(conversations_in(zipped(**files), is_zip=True)) == 2
    windows = zipped(**{"out\\conversations.json": content})
    assert len(conversations_in(windows, is_zip=True)) == 2


@pytest.mark.promise("imports", red="entries of a zip may inflate to 200 times their size")
def test_a_zip_of_text_that_repeats_itself_is_taken() -> None:
    """A log of one line over and over deflates to a thousandth."""
    said = json.dumps([{"role": "user", "content": "waiting ...\n" * 300_000}]).encode()
    file = zipped(conversations__a___json=said)
    assert len(said) > len(file) * 200
    assert len(conversations_in(file, is_zip=True)) == 1


def test_a_zip_that_bursts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it inflates to in all, by how many entries it has; and so is what is none."""
    with pytest.raises(InvalidImportError, match="250000 entries"):
        everything_in(b"PK\x01\x02" * 250_001, is_zip=True)
    for data in (b"PK", b"[]", zipped(a___json=b"[]")[:-9]):
        with pytest.raises(InvalidImportError, match="not a zip"):
            everything_in(data, is_zip=True)
    monkeypatch.setattr("shared.imports.reading.MAX_INFLATION", 0)
    with pytest.raises(InvalidImportError, match="inflates to more"):
        everything_in(zipped(a___json=b"[]"), is_zip=True)


def test_an_entry_that_is_not_taken_is_called_what_it_is_called() -> None:
    """So that somebody finds it in the file."""
    _, rejected = everything_in([{"title": "A plan", "id": "z"}, claude_message("n", "human", "x")])
    assert [one.title for one in rejected] == ["A plan"]
    assert isinstance(rejected[0], Rejected)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
@pytest.mark.parametrize("is_zip", [False, True])
def test_a_file_with_a_mark_is_of_the_encoding_that_it_says(encoding: str, is_zip: bool) -> None:
    """As some programs on Windows write it; bytes of its letters are quotes and brackets."""
    said = [{"role": "user", "content": "\u2200\u5b22\u5d5b" * 200_000}]
    text = json.dumps(said, ensure_ascii=False)
    data = ("\ufeff" * (encoding == "utf-16-be") + text).encode(encoding)
    content = zipped(a___json=data) if is_zip else data
    (conversation,) = conversations_in(content, is_zip=is_zip)
    assert [message.content for message in conversation.messages] == [said[0]["content"]]


def test_lines_that_are_lists_are_conversations() -> None:
    """One each; what follows a list and is none is an error."""
    lines = b"\n".join(json.dumps([MESSAGE | {"content": str(n)}]).encode() for n in range(3))
    assert [words_of(one) for one in conversations_in(lines)] == [
        [(MESSAGE["role"], str(n))] for n in range(3)
    ]
    with pytest.raises(InvalidImportError, match="not valid JSON"):
        everything_in(json.dumps([MESSAGE]).encode() + b" x")
