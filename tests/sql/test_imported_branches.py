"""Branches of imported files in the store: whole, month by month, and begun again after a kill."""

import io
import json
import random
import uuid
from typing import Any

import psycopg
import pytest

from shared.imports.parts import write_parts
from tests.sql.test_import_functions import AB, branches_of, broken, pieces_of, said_in, take
from tests.support.imported import conversations_in
from tests.support.provider_files import gpt_conversation, gpt_message
from tests.support.sql_calls import make_account

pytestmark = pytest.mark.promise("imports", red="what is new goes on with the newest branch")


@pytest.fixture
def owner(scratch: psycopg.Connection) -> uuid.UUID:
    """A user."""
    return uuid.UUID(make_account(scratch))


def grown_tree(seed: int) -> list[Any]:
    """Return the nodes of a tree that grew here and there, oldest first; half of it goes on."""
    chance = random.Random(seed)  # noqa: S311 - for a test
    nodes: list[Any] = []
    for number in range(40):
        goes_on = nodes and chance.random() < 0.5
        above = nodes[-1:] if goes_on else chance.sample(nodes, min(len(nodes), 1))
        parent = above[0][0] if above and chance.random() < 0.95 else None
        role = chance.choice(["user", "assistant"])
        nodes.append((f"n{number}", parent, gpt_message(role, f"N{number}", at=1.7e9 + number)))
    return nodes


def file_of(nodes: list[Any], size: int) -> tuple[list[dict[str, Any]], Any]:
    """Return the pieces of a file, of so many messages each, and the conversation that it holds."""
    (conversation,) = conversations_in([gpt_conversation(nodes)])
    lines = io.BytesIO()
    write_parts([conversation], lines, by="user", key=None)
    (whole,) = json.loads(lines.getvalue())["pieces"]
    messages = whole["messages"]
    pieces = [
        {**whole, "first": start + 1, "is_last": start + size >= len(messages),
         "messages": messages[start : start + size]}
        for start in range(0, len(messages), size)
    ]  # fmt: skip
    return pieces, conversation


def take_all(db: psycopg.Connection, owner: uuid.UUID, pieces: list[dict[str, Any]]) -> list[Any]:
    """Take a file that is begun once more halfway, as after a kill; return what came of it."""
    import_id, outcomes = uuid.uuid4(), []
    for part, piece in enumerate(pieces[: len(pieces) // 2]):
        take(db, owner, [piece], import_id=import_id, part=part)
    for part, piece in enumerate(pieces):
        outcomes += take(db, owner, [piece], import_id=import_id, part=part)
    return outcomes


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("months", [1, 3])
def test_a_tree_is_the_same_whole_and_month_by_month(
    scratch: psycopg.Connection, owner: uuid.UUID, seed: int, months: int
) -> None:
    """Each message once, each fork where the file has it, the active path that of the last file."""
    nodes = grown_tree(seed)
    for month in range(1, months + 1):
        pieces, conversation = file_of(nodes[: len(nodes) * month // months], size=7)
        take_all(scratch, owner, pieces)
    again = take_all(scratch, owner, pieces)
    row = scratch.execute("select id from conversations where user_id = %s", (owner,)).fetchall()
    ((stored,),) = row
    forks = [
        (one["branch"], one["parent"], one["fork_seq"], one["first_seq"])
        for one in conversation.branches
    ]
    assert said_in(scratch, stored) == [f"N{number}" for number in range(40)]
    assert branches_of(scratch, stored) == (conversation.active_branch, forks)
    assert {(one["appended"], one["changed"], one["is_taken"]) for one in again} == {(0, 0, False)}
    assert broken(scratch) == []


def test_an_export_has_the_branches_that_came_in(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """And which of them each message is on."""
    pieces, conversation = file_of(grown_tree(7), size=100)
    (taken,) = take_all(scratch, owner, pieces)
    scratch.execute(
        "select set_config('request.jwt.claims', %s, true)",
        (json.dumps({"sub": str(owner), "role": "authenticated"}),),
    )
    exported = scratch.execute("select export_messages(%s, %s)", (owner, taken["id"])).fetchone()
    assert exported is not None
    page = exported[0]
    assert page["conversation"]["branches"] == conversation.branches
    assert page["conversation"]["active_branch"] == conversation.active_branch
    assert [row["branch"] for row in page["messages"]] == [
        message.branch for message in conversation.messages
    ]
    assert [json.loads(row["parts"]) for row in page["messages"]] == [
        message.parts for message in conversation.messages
    ]


def forked(pieces: list[dict[str, Any]], leaf: str, **parents: str) -> list[dict[str, Any]]:
    """Return the pieces, with other messages before these, and the end of the active path."""
    for row in (row for piece in pieces for row in piece["messages"]):
        row["after"] = parents.get(json.loads(row["metadata"])["imported"]["id"], row["after"])
    for piece in pieces:
        piece["conversation"]["leaf"] = leaf
    return pieces


@pytest.mark.parametrize("size", [1, 2, 100])
def test_what_a_file_has_more_is_on_the_path_that_it_is_on_there(
    scratch: psycopg.Connection, owner: uuid.UUID, size: int
) -> None:
    """The active path follows the file's, as nobody has written here or chosen one of their own."""
    (first,) = take(scratch, owner, pieces_of(AB))
    said = {**AB, "c": "Other A", "d": "Other B", "e": "Behind B"}
    import_id = uuid.uuid4()
    pieces = forked(pieces_of(said, size=size), "d", c="", e="b")
    for part, piece in enumerate(pieces):
        take(scratch, owner, [piece], import_id=import_id, part=part)
    assert said_in(scratch, first["id"]) == list(said.values())
    assert branches_of(scratch, first["id"]) == (1, [(1, 0, 0, 3), (2, 0, 2, 5)])
    assert broken(scratch) == []


def test_where_somebody_has_written_the_active_path_stays_theirs(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """It goes on only where that is the path that has grown."""
    (first,) = take(scratch, owner, pieces_of(AB))
    scratch.execute(
        "insert into messages (conversation_id, user_id, role, content)"
        " values (%s, %s, 'user', 'Here')",
        (first["id"], owner),
    )
    said = {**AB, "c": "C"}
    take(scratch, owner, forked(pieces_of(said), "c"))
    assert branches_of(scratch, first["id"]) == (0, [(1, 0, 2, 4)])
    scratch.execute("select private.choose_branch(%s, %s, 1)", (owner, first["id"]))
    take(scratch, owner, forked(pieces_of({**said, "d": "D", "e": "E"}), "d", e="b"))
    assert branches_of(scratch, first["id"]) == (1, [(1, 0, 2, 4), (2, 0, 2, 6)])
    assert broken(scratch) == []


def test_a_branch_that_a_turn_has_begun_stays_the_active_one(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """Its reply is still to come there; what the file has more is beside it."""
    (first,) = take(scratch, owner, pieces_of(AB))
    scratch.execute("select private.begin_branch(%s, %s, 0, 1, 3)", (owner, first["id"]))
    scratch.execute("update conversations set active_branch = 1 where id = %s", (first["id"],))
    take(scratch, owner, forked(pieces_of({**AB, "c": "C"}), "c"))
    assert branches_of(scratch, first["id"]) == (1, [(1, 0, 1, 3), (2, 0, 2, 3)])
    scratch.execute(
        "insert into messages (conversation_id, user_id, role, content)"
        " values (%s, %s, 'assistant', 'Reply')",
        (first["id"], owner),
    )
    active, branches = branches_of(scratch, first["id"])
    assert branches[active - 1] == (3, 0, 1, 4)
    assert broken(scratch) == []
