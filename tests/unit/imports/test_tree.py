"""Trees: all of their messages in one order, with branches, and an end on those that are none."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from shared.imports import storing
from shared.imports.nodes import TOP, Node
from shared.imports.parsed import Notes, ParsedConversation
from shared.imports.said import Said
from shared.imports.storing import make_ready
from shared.imports.tree import MAX_FORKS, flatten
from tests.support.imported import words_of

START = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.promise("imports")


def node(key: str, parent: str | None, seconds: int | None = None, **more: Any) -> Node:
    """Return a message that says its id."""
    at = None if seconds is None else START + timedelta(seconds=seconds)
    return Node(key, parent, "message", more.pop("role", "user"), Said([key]), at, **more)


def step(key: str, parent: str, content: str) -> Node:
    """Return a step with a tool's text."""
    return Node(key, parent, "step", said=Said(steps=[{"type": "tool", "content": content}]))


def tree_of(nodes: list[Node], leaf: str | None) -> ParsedConversation:
    """Return the conversation that nodes are."""
    notes = Notes(START, uuid4())
    thread = flatten(nodes, leaf, source="test", notes=notes)
    conversation = notes.conversation("chatgpt", "id", "T", thread)
    make_ready(conversation, START)
    return conversation


def path_of(nodes: list[Node], leaf: str | None) -> list[str]:
    """Return what the messages on the active path say."""
    return [content for _, content in words_of(tree_of(nodes, leaf))]


def said_in(conversation: ParsedConversation) -> list[str]:
    """Return what all messages say, in their order."""
    return [message.content for message in conversation.messages]


def forks_of(conversation: ParsedConversation) -> list[tuple[int, int, int]]:
    """Return for each branch the one that it goes on from, from where, and where it begins."""
    return [(one["parent"], one["fork_seq"], one["first_seq"]) for one in conversation.branches]


FORK = [("a", TOP, 1), ("b", "a", 2), ("c", "b", 3), ("d", "a", 4)]


LATER = [*FORK, ("e", "c", 5), ("f", "d", 6)]


@pytest.mark.parametrize(
    ("nodes", "leaf", "path", "forks"),
    [
        (FORK, "c", "abc", [(0, 1, 4)]),
        (FORK, "b", "ab", [(0, 2, 3), (0, 1, 4)]),
        (FORK, None, "ad", [(0, 1, 4)]),
        (FORK, "missing", "ad", [(0, 1, 4)]),
        (LATER, "f", "adf", [(0, 1, 4), (0, 3, 5), (1, 4, 6)]),
    ],
)
def test_the_path_leads_to_the_leaf_or_to_the_newest(
    nodes: list[Any], leaf: str | None, path: str, forks: list[tuple[int, int, int]]
) -> None:
    """All messages by time, as if written here; what doesn't go on, or follows, is a branch."""
    tree = tree_of([node(*one) for one in nodes], leaf)
    assert said_in(tree) == [key for key, *_ in nodes]
    assert (forks_of(tree), tree.kept) == (forks, {"branch": len(forks)})
    assert [content for _, content in words_of(tree)] == [*path]


def test_a_message_that_takes_several_rows_is_followed_behind_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Branches are of rows."""
    monkeypatch.setattr(storing, "MAX_TEXT_BYTES", 4)
    rows = [node("aaaaaa", TOP, 1), node("bbbbbb", "aaaaaa", 2), node("c", "aaaaaa", 3)]
    tree = tree_of(rows, None)
    assert said_in(tree) == ["aaaa", "aa", "bbbb", "bb", "c"]
    assert forks_of(tree) == [(0, 2, 5)]


@pytest.mark.parametrize("count", [MAX_FORKS, MAX_FORKS + 1, 3_000])
def test_a_tree_with_too_many_forks_has_one_branch_beside_its_path(count: int) -> None:
    """Nothing of it is lost: all the rest in order, each with what it follows."""
    nodes = [node("a", TOP, 0), *(node(f"b{n}", "a", n) for n in range(1, count + 1))]
    nodes.append(node("c", "b1", count + 1))
    tree = tree_of(nodes, "c")
    assert (len(tree.messages), tree.left_out) == (count + 2, {})
    assert [content for _, content in words_of(tree)] == ["a", "b1", "c"]
    if count == MAX_FORKS:
        assert len(tree.branches) == MAX_FORKS
    else:
        assert forks_of(tree) == [(0, 0, 4)]
        assert said_in(tree)[3:] == [f"b{n}" for n in range(2, count + 1)]
        parents = {message.metadata["imported"].get("parent") for message in tree.messages[3:]}
        assert (parents, tree.kept) == ({"a"}, {"branch": 1})


def test_without_times_the_last_leaf_of_the_file_is_the_newest() -> None:
    """It was written last."""
    assert path_of([node("a", TOP), node("b", "a"), node("c", "a")], None) == ["a", "c"]


@pytest.mark.parametrize(
    ("nodes", "path"),
    [
        ([("a", "a")], ["a"]),
        ([("a", "b", 1), ("b", "a", 2)], ["a", "b"]),
        ([("a", "gone", 1), ("b", "a", 2)], ["a", "b"]),
        ([("a", TOP, 1), ("b", TOP, 2)], ["b"]),
        ([("a", None, 1), ("b", None, 2)], ["a", "b"]),
        ([("b", None, 2), ("a", None, 1), ("c", "gone", 3)], ["a", "b", "c"]),
        ([("a", TOP, 1), ("b", "a", 2), ("c", "gone", 3), ("d", "c", 4)], ["a", "b", "c", "d"]),
        ([("x", "y", 1), ("y", "x", 2), ("z", "x", 3)], ["y", "x", "z"]),
        ([], []),
    ],
    ids=[
        "itself", "circle", "no parent", "two beginnings", "no links", "no links, unordered",
        "broken in the middle", "leaf of a circle", "nothing",
    ],
)  # fmt: skip
def test_odd_trees_come_to_an_end(nodes: list[Any], path: list[str]) -> None:
    """Circles, parents that aren't there, several roots; nothing of them is lost."""
    tree = tree_of([node(*one) for one in nodes], None)
    assert [content for _, content in words_of(tree)] == path
    assert sorted(said_in(tree)) == sorted(one[0] for one in nodes)


def test_a_parent_that_is_missing_is_the_node_that_names_the_child() -> None:
    """Some exports have links in one direction only."""
    nodes = [node("c", None), node("b", None, children=["c"]), node("a", None, children=["b"])]
    assert path_of(nodes, "c") == ["a", "b", "c"]


def test_a_leaf_whose_path_says_nothing_is_as_good_as_none() -> None:
    """The path is then the one to the newest message."""
    nodes = [node("a", TOP, 1), node("b", "a", 2), Node("lone", TOP, "hidden")]
    assert path_of(nodes, "lone") == ["a", "b"]


@pytest.mark.parametrize("parent", ["before", None], ids=["a chain", "no links"])
def test_a_chain_of_5000_with_a_branch_as_deep_is_walked_in_no_time(parent: str | None) -> None:
    """Neither recursion nor a walk to the root for each node, however the file is ordered."""
    chain = [node(str(n), parent and (str(n - 1) if n else TOP), n) for n in range(5_000)]
    branch = [node(f"b{n}", f"b{n - 1}" if n else "0") for n in range(5_000)]
    started = time.process_time()
    tree = tree_of([*branch[::-1], *chain[::-1]], "4999")
    assert [content for _, content in words_of(tree)] == [str(n) for n in range(5_000)]
    assert len(tree.messages) == 10_000
    assert time.process_time() - started < 10  # the square of it takes longer


def test_steps_go_to_the_reply_they_led_to() -> None:
    """Those behind the last reply to that one; what was left out is counted."""
    nodes = [
        node("ask", TOP),
        step("look", "ask", "found"),
        node("answer", "look", role="assistant"),
        Node("empty", "answer", "hidden", left_out="empty"),
        step("more", "empty", "later"),
        Node("aside", "ask", "hidden", left_out="empty"),
    ]
    notes = Notes(START, uuid4())
    messages = flatten(nodes, "more", source="test", notes=notes).messages
    steps = [done["content"] for done in messages[1].metadata["imported"]["steps"]]
    assert (steps, notes.left_out, notes.kept) == (["found", "later"], {"empty": 2}, {"tool": 2})


def test_steps_that_several_replies_share_stand_with_one() -> None:
    """That on the active path; nothing is there twice."""
    nodes = [
        node("ask", TOP, 1),
        step("look", "ask", "found"),
        node("old", "look", 2, role="assistant"),
        node("new", "look", 3, role="assistant"),
    ]
    tree = tree_of(nodes, "new")
    assert (said_in(tree), forks_of(tree)) == (["ask", "old", "new"], [(0, 1, 3)])
    assert ["steps" in one.metadata["imported"] for one in tree.messages] == [False, False, True]


def test_steps_that_no_reply_followed_are_one() -> None:
    """They belong to nobody's question: neither the one before nor the one behind them."""
    nodes = [node("ask", TOP), step("look", "ask", "found"), node("again", "look")]
    ask, reply, again = tree_of(nodes, "again").messages
    assert [message.role for message in (ask, reply, again)] == ["user", "assistant", "user"]
    assert (reply.content, reply.metadata["truncated"]) == ("[no answer]", True)
    assert reply.metadata["imported"]["steps"][0]["content"] == "found"
