"""Branches in the exports that people read: the active path as one text, the others behind it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.exports.branches import Branches, path_to
from shared.models.transfers import BranchExport
from tests.support.pdf_pages import pdf_of, text_of
from tests.unit.exports.test_markdown import headings, message, rendered

pytestmark = pytest.mark.promise("exports", red="messages in the order of their seq")

SAID = ["Ask", "First reply", "More", "Second reply", "Thanks", "Other question", "Third reply"]
# Ask is answered three times; Thanks follows the second reply, and the last but one begins again.
FORKS = [(0, 1, 4), (0, 0, 6), (0, 1, 7)]


def branches_of(forks: list[tuple[int, int, int]]) -> list[BranchExport]:
    """Return branches by the one that each goes on from, from where, and where it begins."""
    return [
        BranchExport(branch=number, parent=parent, fork_seq=fork_seq, first_seq=first_seq)
        for number, (parent, fork_seq, first_seq) in enumerate(forks, 1)
    ]


async def document(active: int) -> str:
    """Return the Markdown of the conversation, with this branch active."""
    rows = [message(text, seq=seq) for seq, text in enumerate(SAID, 1)]
    return await rendered(*rows, branches=branches_of(FORKS), active_branch=active)


@pytest.mark.parametrize(
    ("active", "order", "openings"),
    [
        (0, [1, 2, 3, 4, 5, 6, 7],
         ["Another branch, after message 1", "Another branch, from the beginning",
          "Another branch, after message 1"]),
        (1, [1, 4, 5, 2, 3, 6, 7],
         ["Another branch, after message 1", "Another branch, from the beginning",
          "Another branch, after message 1"]),
        (2, [6, 1, 2, 3, 4, 5, 7],
         ["Another branch, from the beginning", "Another branch, after message 1",
          "Another branch, after message 1"]),
    ],
)  # fmt: skip
async def test_the_active_path_is_read_as_one(
    active: int, order: list[int], openings: list[str]
) -> None:
    """Then each other branch under a heading that says what it follows; nothing is lost."""
    found = headings(await document(active))
    assert [one for one in found if one.startswith("Another")] == openings
    assert [int(one.split(".")[0]) for one in found if one[0].isdigit()] == order
    assert found[-1] == "End of the conversation: 7 messages."


async def test_where_it_forks_each_version_names_the_others() -> None:
    """At each message that others may be read in place of, and nowhere else."""
    text = await document(1)
    assert text.count("of this message") == 5
    assert "*Version 2 of 3 of this message: see also messages 2, 7.*" in text
    assert "*Version 2 of 2 of this message: see also message 1.*" in text


def test_a_pdf_has_the_same_order_and_headings() -> None:
    """As a viewer copies it."""
    branches = Branches(branches_of(FORKS), 1, 7)
    order = [1, 4, 5, 2, 3, 6, 7]
    rows: list[dict[str, Any]] = [
        {"content": SAID[seq - 1], "role": "assistant", "seq": seq, **branches.place_of(seq)}
        for seq in order
    ]
    text = text_of(pdf_of(*rows, last_branch=3))
    places = [text.index(SAID[seq - 1]) for seq in order]
    assert places == sorted(places)
    assert text.count("Another branch, after message 1") == 2
    assert text.index("Thanks") < text.index("Another branch") < text.index("First reply")
    assert "Version 2 of 3 of this message: see also messages 2, 7." in text
    assert text.index("7. Assistant") < text.index("Third reply")


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[BranchExport], int, int]:
    """Return branches as the store has them, which of them is active, and the last seq."""
    firsts = sorted(draw(st.lists(st.integers(2, 30), max_size=8)))
    starts = [1, *firsts]
    forks = []
    for number, first in enumerate(firsts, 1):
        parent = draw(st.integers(0, number - 1))
        until = min(starts[parent + 1], first) - 1
        forks.append((parent, draw(st.integers(min(starts[parent] - 1, until), until)), first))
    return branches_of(forks), draw(st.integers(0, len(forks))), 30


@given(trees())
def test_each_message_is_on_the_path_or_under_a_heading(
    tree: tuple[list[BranchExport], int, int],
) -> None:
    """Whatever the branches are: a path grows, and what is beside it begins with a heading."""
    branches, active, last_seq = tree
    path = [seq for part in path_to(branches, active, last_seq) for seq in part]
    assert path == sorted(set(path))
    places = Branches(branches, active, last_seq)
    starts = {branch.first_seq for branch in branches}
    before_is_on_path = True
    for seq in range(1, last_seq + 1):
        is_on_path = places.is_on_path(seq)
        assert is_on_path == (seq in path)
        begins = not is_on_path and (before_is_on_path or seq in starts)
        assert bool(places.opening(seq)) == begins
        before_is_on_path = is_on_path
