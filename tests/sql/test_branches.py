"""Branches against a model that is a plain tree: paths, pages, siblings and histories."""

import json
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from local.stack import Stack
from tests.support import partitions, sql_fixtures
from tests.support.branched_chat import Chat
from tests.support.invariants import found_broken
from tests.support.sql_calls import (
    Caller,
    as_user,
    assert_whole,
    expire,
    make_account,
    make_conversation,
)

stack = partitions.stack  # as it is, and in partitions
service, owner = sql_fixtures.service, sql_fixtures.owner


@pytest.fixture
def chat(stack: Stack, service: Caller, owner: str) -> Iterator[Chat]:
    """A conversation of a question and its reply."""
    with as_user(stack.settings.db_url, owner) as user:
        yield Chat(service, user, owner)


def refused(call: Any, **arguments: Any) -> tuple[str | None, str | None]:
    """Return the SQLSTATE and the word with which a call is refused."""
    with pytest.raises(psycopg.Error) as caught:
        call(**arguments)
    return caught.value.diag.sqlstate, caught.value.diag.message_detail


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_forked_every_path_is_the_trees(
    chat: Chat, db: psycopg.Connection, seed: int
) -> None:
    """Edits, regenerations, plain rows and choices in any order; seq stays the order of writing."""
    choice = random.Random(seed)  # noqa: S311
    for _ in range(25):
        node = choice.choice(chat.tree.nodes)
        match choice.randrange(6):
            case 0 | 1:
                chat.say()
            case 2:
                chat.edit(node if node.role == "user" else chat.tree.nodes[0])
            case 3:
                chat.regenerate(node)
            case 4:
                chat.write_a_row()
            case _:
                forked = [n for n in chat.tree.nodes if len(chat.tree.siblings(n)) > 1]
                if forked:
                    chat.turn_to(choice.choice(forked))
        chat.check_pages()
    assert assert_whole(db, chat.id) == len(chat.tree.nodes)
    assert [b for b in found_broken(db) if b["user_id"] == chat.owner] == []


def test_a_conversation_that_never_forked_has_no_row_of_branches(
    chat: Chat, db: psycopg.Connection
) -> None:
    """Nor a number other than 0 anywhere, and its views are one."""
    chat.say()
    chat.write_a_row()
    rows = db.execute(
        "select branch from branches where user_id = %s"
        " union all select active_branch + last_branch from conversations where user_id = %s"
        " union all select branch from messages where user_id = %s",
        (chat.owner, chat.owner, chat.owner),
    ).fetchall()
    assert {branch for (branch,) in rows} == {0}
    assert chat.load()["messages"] == chat.load(view="all")["messages"]


def test_a_regenerated_turn_has_one_reply_and_no_message_of_its_own(
    chat: Chat, service: Caller, db: psycopg.Connection
) -> None:
    """It names the message that it answers, and the doctor finds nothing missing."""
    reply = chat.tree.nodes[1]
    chat.regenerate(reply)
    chat.regenerate(chat.tree.nodes[-1])
    rows = db.execute(
        "select t.answers::text, array_agg(m.role) from turns as t"
        " join messages as m on m.turn_id = t.id"
        " where t.user_id = %s and t.answers is not null group by t.id, t.answers",
        (chat.owner,),
    ).fetchall()
    assert rows == [(chat.tree.nodes[0].id, ["assistant"])] * 2
    assert [b for b in found_broken(db) if b["user_id"] == chat.owner] == []


def test_the_same_begin_again_is_the_same_turn(chat: Chat, service: Caller) -> None:
    """Its answer was lost on the way: it is begun, once, and forks once."""
    call = {
        "conversation_id": chat.id, "regenerates": chat.tree.nodes[1].id,
        "idempotency_key": "again", "message_id": str(uuid.uuid4()),
    }  # fmt: skip
    begun, again = (service.begin(chat.owner, "", **call) for _ in range(2))
    other = service.begin(chat.owner, "", **{**call, "message_id": str(uuid.uuid4())})
    assert (begun["outcome"], again["outcome"], other["outcome"]) == (
        "started", "started", "in_progress",
    )  # fmt: skip
    assert again["turn"]["id"] == begun["turn"]["id"] == call["message_id"]
    assert begun["conversation"]["last_branch"] == again["conversation"]["last_branch"] == 1


def test_a_regenerating_turn_that_lost_its_worker_is_taken_over_or_interrupted(
    chat: Chat, service: Caller, db: psycopg.Connection
) -> None:
    """Its reply stands on its branch either way, beside the old one."""
    call = {"conversation_id": chat.id, "regenerates": chat.tree.nodes[1].id}
    begun = service.begin(chat.owner, "", **call, idempotency_key="k")
    expire(db, begun)
    taken = service.begin(chat.owner, "", **call, idempotency_key="k")
    assert (taken["outcome"], taken["turn"]["attempt"]) == ("taken_over", 2)
    assert taken["user_message"]["id"] == chat.tree.nodes[0].id
    opened = chat.load()
    assert [row["id"] for row in opened["messages"]] == [chat.tree.nodes[0].id]
    assert opened["open_turn"]["user_message_id"] == chat.tree.nodes[0].id
    expire(db, begun)
    service.call("settle_expired_turn", user_id=chat.owner, conversation_id=chat.id)
    assert [row["branch"] for row in chat.load()["messages"]] == [0, 1]
    assert chat.load()["siblings"] != {}


def test_what_may_not_be_edited_or_regenerated_is_refused(
    chat: Chat, service: Caller, db: psycopg.Connection, owner: str
) -> None:
    """Replies aren't edited, system rows neither; what is elsewhere is not there."""
    question, reply = chat.tree.nodes
    elsewhere = make_conversation(db, owner, messages=1)
    (other,) = db.execute(
        "select id::text from messages where conversation_id = %s", (elsewhere,)
    ).fetchone() or ("",)
    imported = make_conversation(db, owner, messages=1)
    db.execute(
        "update conversations set imported = %s where id = %s",
        ('{"source": "list", "id": "x", "system": [1]}', imported),
    )
    (system,) = db.execute(
        "select id::text from messages where conversation_id = %s", (imported,)
    ).fetchone() or ("",)

    def begin(conversation: str, **fork: str) -> tuple[str | None, str | None]:
        return refused(service.begin, user_id=owner, conversation_id=conversation, **fork)

    not_editable, not_found = ("PT422", "message_not_editable"), ("PT404", "message_not_found")
    assert begin(chat.id, edits=reply.id) == not_editable
    assert begin(imported, edits=system) == not_editable
    assert begin(imported, regenerates=system) == not_editable
    assert begin(chat.id, edits=other) == not_found
    assert begin(chat.id, regenerates=str(uuid.uuid4())) == not_found
    running = service.begin(owner, "Wait", conversation_id=chat.id)
    busy = service.begin(owner, "", conversation_id=chat.id, regenerates=reply.id)
    assert (busy["outcome"], busy["turn"]["id"]) == ("in_progress", running["turn"]["id"])
    assert question.role == "user"


def test_no_branch_is_chosen_while_a_turn_runs(
    chat: Chat, service: Caller, db: psycopg.Connection
) -> None:
    """PT409; once its lease is over it is settled, on its own branch, and then the other chosen."""
    first = chat.tree.nodes[0]
    chat.edit(first)
    begun = service.begin(chat.owner, "Wait", conversation_id=chat.id)
    choose = {"function": "update_conversation", "conversation_id": chat.id}
    assert refused(chat.user.call, **choose, active_branch=0) == ("PT409", "turn_in_progress")
    assert refused(chat.user.call, **choose, active_branch=2) == ("PT404", "branch_not_found")
    assert chat.user.call(**choose, active_branch=1)["active_branch"] == 1
    expire(db, begun)
    assert chat.user.call(**choose, active_branch=0)["active_branch"] == 0
    assert [row["seq"] for row in chat.load()["messages"]] == [1, 2]
    assert [row["seq"] for row in chat.load(branch=1)["messages"]] == [3, 4, 5, 6]


def test_a_page_around_a_message_is_of_the_path_through_it(chat: Chat) -> None:
    """What a search hit opens: with the branch that is named, or the path written to last."""
    question = chat.tree.nodes[0]
    chat.say()
    chat.edit(question)
    around = chat.load(around=question.id)
    assert ([row["seq"] for row in around["messages"]], around["branch"]) == ([1, 2, 3, 4], 0)
    new = chat.tree.nodes[-1]
    assert chat.load(around=new.id)["branch"] == 1
    asked = {"around": new.id, "branch": 0}
    assert refused(chat.load, **asked) == ("PT404", "message_not_found")


def test_a_summary_is_given_to_paths_that_have_all_that_it_covers(
    chat: Chat, service: Caller
) -> None:
    """One that covers what was edited is of no use beside it; one of what came before is."""
    for _ in range(4):
        chat.say()

    def summarise(covers_to: int) -> str:
        answer = service.call(
            "write_summary", user_id=chat.owner, conversation_id=chat.id,
            message_id=str(uuid.uuid4()), covers_to=covers_to, content=f"Up to {covers_to}.",
        )  # fmt: skip
        return str(answer["outcome"])

    def given(**place: Any) -> tuple[int, list[str]]:
        answer = service.call(
            "load_history", user_id=chat.owner, conversation_id=chat.id, history_tokens=30, **place
        )
        return answer["context"]["covers_to"], [
            row["content"] for row in answer["history"] if row.get("is_summary")
        ]

    assert [summarise(2), summarise(6)] == ["written", "written"]
    assert given() == (6, ["Up to 6."])
    fifth = service.begin(chat.owner, "Fifth", conversation_id=chat.id, edits=chat.tree.nodes[4].id)
    service.complete(fifth)
    assert given() == (2, ["Up to 2."])
    assert summarise(8) == "elsewhere"
    assert summarise(2) == "known"
    assert summarise(fifth["user_message"]["seq"]) == "written"
    chat.user.call("update_conversation", conversation_id=chat.id, active_branch=0)
    assert given() == (6, ["Up to 6."])
    assert summarise(fifth["user_message"]["seq"] + 1) == "busy"


def test_an_export_has_all_branches_and_their_tree(chat: Chat, service: Caller) -> None:
    """Messages in the order of writing, and from where each branch goes on."""
    chat.edit(chat.tree.nodes[0])
    chat.regenerate(chat.tree.nodes[1])
    page = service.call("export_messages", user_id=chat.owner, conversation_id=chat.id)
    assert [row["branch"] for row in page["messages"]] == [0, 0, 1, 1, 2]
    assert page["conversation"]["branches"] == [
        {"branch": 1, "parent": 0, "fork_seq": 0, "first_seq": 3},
        {"branch": 2, "parent": 0, "fork_seq": 1, "first_seq": 5},
    ]
    last = page["messages"][-1]
    assert last["turn"]["answers"] == chat.tree.nodes[0].id
    (all_of_it,) = service.call("export_conversations", user_id=chat.owner)["conversations"]
    assert all_of_it == page


def test_analytics_count_the_turns_of_all_branches(chat: Chat, service: Caller) -> None:
    """Of the path that is shown, and of those that aren't."""
    chat.edit(chat.tree.nodes[0])
    chat.regenerate(chat.tree.nodes[1])
    days = [datetime.now(UTC) + timedelta(days=n) for n in (-1, 1)]
    figures = service.call(
        "conversation_analytics",
        user_id=chat.owner,
        starts_at=days[0],
        ends_at=days[1],
        bounds=json.dumps([day.isoformat() for day in days]),
    )
    assert [figures["totals"][each] for each in ("turns", "completed")] == [3, 3]


@pytest.mark.parametrize("is_erased", [False, True])
def test_nothing_is_left_of_the_branches_of_what_is_deleted_or_erased(
    chat: Chat, service: Caller, db: psycopg.Connection, is_erased: bool
) -> None:
    """Neither their rows nor a message of any of them; another user's stay."""
    other = make_account(db)
    with_branches = Chat(service, chat.user, other)
    for each in (chat, with_branches):
        each.edit(each.tree.nodes[0])

    def rows_of(owner: str) -> tuple[int, ...]:
        return (
            db.execute(
                "select (select count(*) from branches where user_id = %(owner)s),"
                " (select count(*) from messages where user_id = %(owner)s)",
                {"owner": owner},
            ).fetchone()
            or ()
        )

    assert rows_of(chat.owner) == (1, 4)
    if is_erased:
        service.call("erase_account", user_id=chat.owner, idempotency_key="key")
    else:
        chat.user.call("delete_conversation", conversation_id=chat.id)
    assert (rows_of(chat.owner), rows_of(other)) == ((0, 0), (1, 4))
