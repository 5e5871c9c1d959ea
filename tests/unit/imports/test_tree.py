"""Trees: one path out of any of them, in order, and an end on those that are none."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from shared.imports.parsed import Notes, ParsedMessage
from shared.imports.said import Said
from shared.imports.tree import TOP, Node, flatten

START = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.promise("imports")


def node(key: str, parent: str | None, seconds: int | None = None, **more: Any) -> Node:
    """Return a message that says its id."""
    at = None if seconds is None else START + timedelta(seconds=seconds)
    return Node(key, parent, "message", more.pop("role", "user"), Said([key]), at, **more)


def step(key: str, parent: str, content: str) -> Node:
    """Return a step with a tool's text."""
    return Node(key, parent, "step", said=Said(steps=[{"type": "tool", "content": content}]))


def path_of(nodes: list[Node], leaf: str | None) -> list[str]:
    """Return what the messages on the path say."""
    return [message.content for message in flattened(nodes, leaf)]


def flattened(nodes: list[Node], leaf: str | None) -> list[ParsedMessage]:
    """Return the messages on the path."""
    return flatten(nodes, leaf, source="test", notes=Notes(START, uuid4()))


FORK = [("a", TOP, 1), ("b", "a", 2), ("c", "b", 3), ("d", "a", 4)]


@pytest.mark.parametrize(
    ("leaf", "path"),
    [("c", ["a", "b", "c"]), ("b", ["a", "b"]), (None, ["a", "d"]), ("missing", ["a", "d"])],
)
def test_the_path_leads_to_the_leaf_or_to_the_newest(leaf: str | None, path: list[str]) -> None:
    """A leaf that isn't there is as good as none."""
    assert path_of([node(*one) for one in FORK], leaf) == path


def test_what_is_not_on_the_path_is_kept_where_it_parts() -> None:
    """Each branch with its parents' ids, at the message before it."""
    messages = flattened([node(*one) for one in FORK], "d")
    kept = messages[0].metadata["imported"]["branches"]
    assert [(branch["id"], branch["parent"]) for branch in kept] == [("b", "a"), ("c", "b")]
    assert "branches" not in messages[1].metadata["imported"]


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
    messages = flattened([node(*one) for one in nodes], None)
    kept = [
        branch["id"]
        for message in messages
        for branch in message.metadata["imported"].get("branches", [])
    ]
    assert [message.content for message in messages] == path
    assert sorted([*path, *kept]) == sorted(one[0] for one in nodes)


def test_a_parent_that_is_missing_is_the_node_that_names_the_child() -> None:
    """Some exports have links in one direction only."""
    nodes = [node("c", None), node("b", None, children=["c"]), node("a", None, children=["b"])]
    assert path_of(nodes, "c") == ["a", "b", "c"]


def test_a_leaf_whose_path_says_nothing_is_as_good_as_none() -> None:
    """The path is then the one to the newest message."""
    nodes = [node("a", TOP, 1), node("b", "a", 2), Node("lone", TOP, "hidden")]
    assert path_of(nodes, "lone") == ["a", "b"]


@pytest.mark.parametrize("parent", ["before", None], ids=["a chain", "no links"])
def test_a_chain_of_10000_with_a_branch_as_deep_is_walked_in_no_time(parent: str | None) -> None:
    """Neither recursion nor a walk to the root for each node."""
    chain = [node(str(n), parent and (str(n - 1) if n else TOP), n) for n in range(10_000)]
    branch = [node(f"b{n}", f"b{n - 1}" if n else "0") for n in range(10_000)]
    started = time.process_time()
    messages = flattened([*branch[::-1], *chain], "9999")
    assert [message.content for message in messages] == [str(n) for n in range(10_000)]
    assert len(messages[0].metadata["imported"]["branches"]) == 10_000
    assert time.process_time() - started < 20  # the square of it takes minutes


def test_steps_go_to_the_reply_they_led_to() -> None:
    """Those behind the last reply to that one; what was left out is counted on the path alone."""
    nodes = [
        node("ask", TOP),
        step("look", "ask", "found"),
        node("answer", "look", role="assistant"),
        Node("empty", "answer", "hidden", left_out="empty"),
        step("more", "empty", "later"),
        Node("aside", "ask", "hidden", left_out="empty"),
    ]
    notes = Notes(START, uuid4())
    messages = flatten(nodes, "more", source="test", notes=notes)
    steps = [done["content"] for done in messages[1].metadata["imported"]["steps"]]
    assert (steps, notes.left_out, notes.kept) == (["found", "later"], {"empty": 1}, {"tool": 2})


def test_steps_that_no_reply_followed_are_one() -> None:
    """They belong to nobody's question: neither the one before nor the one behind them."""
    nodes = [node("ask", TOP), step("look", "ask", "found"), node("again", "look")]
    ask, reply, again = flattened(nodes, "again")
    assert [message.role for message in (ask, reply, again)] == ["user", "assistant", "user"]
    assert (reply.content, reply.metadata["truncated"]) == ("[no answer]", True)
    assert reply.metadata["imported"]["steps"][0]["content"] == "found"
