"""Trees: one path out of any of them, in order, and an end on those that are none."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from shared.imports.message_tree import Node, flatten

pytestmark = pytest.mark.promise("imports")

START = datetime(2026, 1, 1, tzinfo=UTC)


def node(key: str, parent: str | None, seconds: int | None = None, **more: object) -> Node:
    """Return a message that says its id."""
    at = None if seconds is None else START + timedelta(seconds=seconds)
    return Node(key, parent, "message", "user", key, at, **more)  # type: ignore[arg-type]


def path_of(nodes: list[Node], leaf: str | None) -> list[str]:
    """Return what the messages on the path say."""
    return [draft.content for draft in flatten(nodes, leaf, source="test")[0]]


FORK = [node("a", None, 1), node("b", "a", 2), node("c", "b", 3), node("d", "a", 4)]


@pytest.mark.parametrize(
    ("leaf", "path"),
    [("c", ["a", "b", "c"]), ("b", ["a", "b"]), (None, ["a", "d"]), ("missing", ["a", "d"])],
)
def test_the_path_leads_to_the_leaf_or_to_the_newest(leaf: str | None, path: list[str]) -> None:
    """A leaf that isn't there is as good as none."""
    assert path_of(FORK, leaf) == path


def test_what_is_not_on_the_path_is_kept_where_it_parts() -> None:
    """Each branch with its parents' ids, at the message before it."""
    drafts, _ = flatten(FORK, "d", source="test")
    kept = drafts[0].metadata["imported"]["branches"]
    assert [(branch["id"], branch["parent"]) for branch in kept] == [("b", "a"), ("c", "b")]
    assert "branches" not in drafts[1].metadata["imported"]


def test_without_times_the_last_leaf_of_the_file_is_the_newest() -> None:
    """It was written last."""
    assert path_of([node("a", None), node("b", "a"), node("c", "a")], None) == ["a", "c"]


@pytest.mark.parametrize(
    ("nodes", "path"),
    [
        ([node("a", "a")], ["a"]),
        ([node("a", "b", 1), node("b", "a", 2)], ["a", "b"]),
        ([node("a", "gone", 1), node("b", "a", 2)], ["a", "b"]),
        ([node("a", None, 1), node("b", None, 2)], ["b"]),
        ([node("x", "y", 1), node("y", "x", 2), node("z", "x", 3)], ["y", "x", "z"]),
        ([], []),
    ],
    ids=["itself", "circle", "no parent", "two roots", "leaf of a circle", "nothing"],
)
def test_odd_trees_come_to_an_end(nodes: list[Node], path: list[str]) -> None:
    """Circles, parents that aren't there, several roots; nothing of them is lost."""
    drafts, _ = flatten(nodes, None, source="test")
    kept = [
        branch["id"]
        for draft in drafts
        for branch in draft.metadata["imported"].get("branches", [])
    ]
    assert [draft.content for draft in drafts] == path
    assert sorted([*path, *kept]) == sorted(one.id for one in nodes)


def test_a_chain_of_10000_with_a_branch_as_deep_is_walked_in_no_time() -> None:
    """Neither recursion nor a walk to the root for each node."""
    chain = [node(str(n), str(n - 1) if n else None) for n in range(10_000)]
    branch = [node(f"b{n}", f"b{n - 1}" if n else "0") for n in range(10_000)]
    started = time.process_time()
    drafts, _ = flatten([*branch[::-1], *chain], "9999", source="test")
    assert [draft.content for draft in drafts] == [str(n) for n in range(10_000)]
    assert len(drafts[0].metadata["imported"]["branches"]) == 10_000
    assert time.process_time() - started < 20  # the square of it takes minutes


def test_steps_go_to_the_message_they_led_to() -> None:
    """Those behind the last message to that one; what was left out is counted on the path alone."""
    nodes = [
        node("ask", None),
        Node("look", "ask", "step", "tool", "found"),
        node("answer", "look"),
        Node("empty", "answer", "hidden", left_out="empty"),
        Node("more", "empty", "step", "tool", "later"),
        Node("aside", "ask", "hidden", left_out="empty"),
    ]
    drafts, left_out = flatten(nodes, "more", source="test")
    steps = [step["id"] for step in drafts[1].metadata["imported"]["steps"]]
    assert (steps, left_out) == (["look", "more"], {"empty": 1})
