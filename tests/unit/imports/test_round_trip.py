"""Whatever a file holds, nothing of it is lost or there twice, and our own JSON brings it back."""

import io
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.encoding.canonical import canonical
from shared.encoding.parts import problem_of, text_of
from shared.exports.json_document import json_document
from shared.exports.snapshot import Snapshot
from shared.imports.formats.ours import _require_tree
from shared.imports.parsed import ParsedConversation
from shared.imports.parts import row_of, write_parts
from shared.models.our_document import OurHeader
from shared.models.transfers import ConversationExport, MessageExport
from tests.support.imported import NOW, conversations_in, path_of
from tests.support.provider_files import gpt_conversation, gpt_message

IDS = [f"n{number}" for number in range(14)]
TEXT = st.text(st.characters(exclude_categories=[]), max_size=8)  # NUL and half pairs too


@st.composite
def mappings(draw: st.DrawFn) -> dict[str, Any]:
    """Return a conversation of ChatGPT's whose links and times make any sense or none."""
    nodes: list[tuple[str, str | None, dict[str, Any] | None]] = []
    for place, key in enumerate(draw(st.lists(st.sampled_from(IDS), min_size=1, unique=True))):
        parent = draw(st.sampled_from([None, "gone", *IDS, *[one[0] for one in nodes[-1:]] * 9]))
        role = draw(st.sampled_from(["user", "assistant", "tool", "system", "critic"]))
        at = draw(st.none() | st.integers(0, 100))
        words = f"<{key}>{draw(TEXT)}" if draw(st.integers(0, 5)) else ""
        more: dict[str, Any] = {}
        if role == "assistant" and draw(st.integers(0, 3)) == 0:
            more["recipient"] = "web.run"
        if role == "tool":
            more["author"] = {"role": "tool", "name": "web.run"}
        at_second = None if at is None else 1_700_000_000 + at + place / 100
        message = gpt_message(role, words, at=at_second, **more)
        nodes.append((key, parent, message if draw(st.integers(0, 8)) else None))
    return gpt_conversation(nodes, current_node=draw(st.none() | st.sampled_from(["gone", *IDS])))


def words_in(conversation: ParsedConversation) -> Counter[str]:
    """Return how often what each node says stands anywhere in the conversation."""
    everything = canonical(
        [[row_of(message) for message in conversation.messages], conversation.metadata]
    )
    return Counter({key: everything.count(f"<{key}>") for key in IDS if f"<{key}>" in everything})


@given(mappings())
def test_nothing_of_a_tree_is_lost_or_there_twice(entry: dict[str, Any]) -> None:
    """And what is stored is a tree with growing times, whose parts say its content."""
    (conversation,) = conversations_in([entry])
    said = {
        key
        for key, node in entry["mapping"].items()
        if node["message"] and node["message"]["content"]["parts"] != [""]
    }
    found = words_in(conversation)
    assert found.keys() == said
    texts = "".join(message.content for message in conversation.messages)
    assert max((texts.count(f"<{key}>") for key in said), default=0) <= 1
    _require_tree(header_of(conversation), len(conversation.messages))
    assert all(a.at < b.at for a, b in pairwise(conversation.messages))  # type: ignore[operator]
    for message in conversation.messages:
        assert [problem_of(part) for part in message.parts] == [None] * len(message.parts)
        assert not message.parts or text_of(message.parts) == message.content
    leaf = conversation.messages and path_of(conversation)[-1].metadata["imported"]["id"]
    shown = entry["mapping"].get(entry["current_node"], {}).get("message")
    if shown and shown["content"]["parts"] != [""] and shown["author"]["role"] == "user":
        assert leaf == entry["current_node"]


def header_of(conversation: ParsedConversation) -> OurHeader:
    """Return the conversation as our JSON has it."""
    return OurHeader.model_validate(
        {"title": conversation.title, "metadata": conversation.metadata, "created_at": NOW,
         "archived_at": None, "branches": conversation.branches,
         "active_branch": conversation.active_branch}
    )  # fmt: skip


def snapshot_of(conversation: ParsedConversation) -> Snapshot:
    """Return the conversation as the store gives it to an export."""
    common = {"user_id": uuid4(), "created_at": NOW.isoformat(), "project_id": None}
    starts = [1, *(branch["first_seq"] for branch in conversation.branches)]
    rows = [
        MessageExport.model_validate(
            {**common, **row_of(message), "id": UUID(int=seq), "conversation_id": UUID(int=0),
             "is_summary": False, "seq": seq, "turn_id": None, "turn": None,
             "branch": sum(start <= seq for start in starts) - 1}
        )
        for seq, message in enumerate(conversation.messages, 1)
    ]  # fmt: skip
    header = ConversationExport.model_validate(
        {**common, "id": UUID(int=0), "title": conversation.title, "archived_at": None,
         "metadata": conversation.metadata, "last_seq": len(rows), "updated_at": NOW.isoformat(),
         "branches": conversation.branches, "active_branch": conversation.active_branch}
    )  # fmt: skip
    return Snapshot(header, rows, None, None)  # type: ignore[arg-type]


async def written(conversation: ParsedConversation) -> bytes:
    """Return the conversation as our JSON."""
    return b"".join([chunk async for chunk in json_document(snapshot_of(conversation))])


STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
PARTS = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "reasoning", "text": text}, STORABLE),
        st.builds(
            lambda given: {"type": "dynamic-tool", "toolName": "a", "toolCallId": "b",
                           "state": "input-available", "input": given},
            st.recursive(st.none() | st.booleans() | st.integers() | STORABLE,
                         lambda inner: st.lists(inner, max_size=3), max_leaves=5),
        ),
        st.just({"type": "source-url", "sourceId": "s", "url": "https://a.b", "title": "T"}),
        st.just({"type": "data-x", "data": {"y": [1.5, None]}}),
    ),
    max_size=4,
)  # fmt: skip


@settings(max_examples=50)
@given(mappings(), st.data())
async def test_our_own_json_brings_all_of_it_back(
    entry: dict[str, Any], data: st.DataObject
) -> None:
    """Parts, native forms, branches, the active one, metadata and times, to the letter."""
    (first,) = conversations_in([entry])
    for message in first.messages:
        message.parts += data.draw(PARTS)
        message.native = data.draw(
            st.none() | st.just({"framework": "f", "version": "1", "data": {"n": [1e22, "x"]}})
        )
    (second,) = conversations_in(await written(first))
    assert [row_of(one) for one in second.messages] == [row_of(one) for one in first.messages]
    for name in ("title", "metadata", "branches", "active_branch"):
        assert getattr(second, name) == getattr(first, name)
    (third,) = conversations_in(await written(second))
    assert third.source_id == second.source_id  # the same checksum


def test_the_store_is_given_what_each_message_follows() -> None:
    """By its id: '' for none. Our own JSON never grows, and has none of it."""
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    nodes = [
        (key, parent, gpt_message("user", key, at=(moment + timedelta(seconds=n)).timestamp()))
        for n, (key, parent) in enumerate([("a", None), ("b", "a"), ("c", "a"), ("d", "b")])
    ]
    parts = io.BytesIO()
    write_parts(conversations_in([gpt_conversation(nodes)]), parts, by="user", key=None)
    (piece,) = json.loads(parts.getvalue())["pieces"]
    assert [row["after"] for row in piece["messages"]] == ["", "a", "a", "b"]
    assert piece["conversation"]["leaf"] == "d"
