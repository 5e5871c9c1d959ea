"""Parts in the database: which are taken, how drafts keep them, and what a history has of them."""

import uuid
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from local.stack import Stack
from tests.support import partitions, sql_fixtures
from tests.support.sql_calls import Caller, as_user, expire, make_conversation

stack = partitions.stack  # as it is, and in partitions
service, owner = sql_fixtures.service, sql_fixtures.owner

CALL = {
    "type": "tool-weather",
    "toolCallId": "c1",
    "state": "input-available",
    "input": {"at": "X"},
}
DONE = {**CALL, "state": "output-available", "output": 3}
FILE = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AA==", "x": [1.50]}
NATIVE = {"framework": "any", "version": "1", "data": [{"b": None}]}


def text(words: str) -> dict[str, Any]:
    """Return a text part."""
    return {"type": "text", "text": words}


def entry(index: int, offset: int, version: int, part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a draft."""
    return {"index": index, "offset": offset, "version": version, "part": part}


def extend(service: Caller, begun: dict[str, Any], tail: str, *parts: dict[str, Any]) -> None:
    """Send a heartbeat that writes from the start on."""
    turn = {name: begun["turn"][name] for name in ("user_id", "attempt")}
    sent = {**turn, "turn_id": begun["turn"]["id"], "draft_offset": 0, "draft_tail": tail}
    if parts:
        sent["draft_parts"] = list(parts)
    service.call("extend_turns", extensions=Jsonb([sent]), lease_seconds=60)


def write(service: Caller, begun: dict[str, Any], *place: int, **step: Any) -> tuple[int, int]:
    """Write as a program outside does, who says where it stands; return where the draft is."""
    offset, version = place
    turn = {name: begun["turn"][name] for name in ("user_id", "attempt")}
    sent = {
        **turn,
        "turn_id": begun["turn"]["id"],
        "draft_offset": offset,
        "draft_tail": "",
        **step,
    }
    sent["parts_version"] = version
    answer = service.call("extend_turns", extensions=Jsonb([sent]), lease_seconds=60)
    (turn,) = answer["turns"]
    return turn["draft_length"], turn["parts_version"]


def loaded(service: Caller, begun: dict[str, Any]) -> dict[str, Any]:
    """Return a turn with its draft."""
    ids = {"user_id": begun["turn"]["user_id"], "turn_id": begun["turn"]["id"]}
    return service.call("load_turn", **ids)


def test_parts_and_native_are_stored_as_they_came(service: Caller, owner: str) -> None:
    """Of the request and of the reply, with what nobody knows yet."""
    begun = service.begin(owner, parts=Jsonb([text("Hello"), FILE]))
    done = service.complete(
        begun, content="Cold.", parts=Jsonb([DONE, text("Cold.")]), native=NATIVE
    )
    assert done["user_message"]["parts"] == [text("Hello"), FILE]
    assert done["user_message"]["native"] is None
    assert done["reply"]["parts"] == [DONE, text("Cold.")]
    assert done["reply"]["native"] == NATIVE


def test_a_step_is_written_only_at_its_place(service: Caller, owner: str) -> None:
    """So that one that is sent again, or late, changes nothing, neither text nor parts."""
    begun = service.begin(owner)
    first = {"draft_tail": "ab", "draft_parts": [entry(0, 0, 1, text("")), entry(1, 2, 2, CALL)]}
    places = [
        write(service, begun, 0, 0, **first),
        write(service, begun, 0, 0, **first),
        write(service, begun, 2, 1, draft_tail="zz"),
        write(service, begun, 9, 2, draft_parts=[entry(1, 2, 3, DONE)]),
        write(service, begun, 0, 2, draft_tail="a", draft_parts=[entry(1, 1, 3, DONE)]),
    ]
    before = loaded(service, begun)
    last = write(service, begun, 2, 2, draft_parts=[entry(1, 2, 3, DONE)])
    assert places == [(2, 2)] * 5
    assert (before["draft"], before["draft_parts"]) == ("ab", first["draft_parts"])
    assert last == (2, 3)
    assert loaded(service, begun)["draft_parts"][1]["part"] == DONE


def test_a_message_without_any_has_no_parts(service: Caller, owner: str) -> None:
    """An empty array, and no native form."""
    done = service.complete(service.begin(owner))
    assert [done[row]["parts"] for row in ("user_message", "reply")] == [[], []]
    assert done["reply"]["native"] is None


@pytest.mark.parametrize(
    "parts",
    [
        {}, "text", None, [1], ["text"], [[text("a")]], [{}], [{"type": 1}], [{"type": "video"}],
        [{"type": "text"}], [{"type": "text", "text": 1}], [text("a"), {"type": "file"}],
        [{**CALL, "state": "done"}], [{**CALL, "toolCallId": 1}], [{"type": "data-x"}],
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_part_is_refused(service: Caller, owner: str, parts: Any) -> None:
    """Whoever writes it."""
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.NotNullViolation)):
        service.begin(owner, parts=Jsonb(parts))


@pytest.mark.parametrize("native", [{}, {"framework": "a"}, {**NATIVE, "version": 1}, ["a"], "a"])
def test_a_native_form_says_whose_it_is(service: Caller, owner: str, native: Any) -> None:
    """Its framework, that one's version, and the data."""
    with pytest.raises(psycopg.errors.CheckViolation):
        service.complete(service.begin(owner), native=Jsonb(native))


def test_parts_have_a_size_and_a_depth(service: Caller, owner: str) -> None:
    """Their own, and one with all that stands beside them."""
    begun, deep = service.begin(owner), "[" * 130 + "]" * 130
    large = Jsonb([{"type": "data-x", "data": "x" * 1_999_950}])
    with pytest.raises(psycopg.errors.CheckViolation, match="parts_size"):
        service.complete(begun, parts=Jsonb([{"type": "data-x", "data": "x" * 2_000_000}]))
    with pytest.raises(psycopg.errors.CheckViolation, match="row_size"):
        service.complete(
            begun, content="x" * 1_999_000, generated_code="x" * 1_100_000, parts=large
        )
    with pytest.raises(psycopg.errors.CheckViolation, match="parts_known"):
        service.complete(begun, parts=f'[{{"type": "data-x", "data": {deep}}}]')
    service.complete(begun, content="x" * 1_999_000, parts=large)


def test_a_client_can_not_write_parts(stack: Stack, db: psycopg.Connection, owner: str) -> None:
    """Nor a native form: mega-mind checks both against the text."""
    chat = make_conversation(db, owner)
    with as_user(stack.settings.db_url, owner) as client:
        for column, value in (("parts", [text("a")]), ("native", NATIVE)):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                client.connection.execute(
                    f"insert into messages (conversation_id, role, content, {column})"
                    " values (%s, 'user', 'a', %s)",
                    (chat, Jsonb(value)),
                )


def test_a_draft_keeps_the_newest_of_each_part(service: Caller, owner: str) -> None:
    """Whichever heartbeat comes last; what hasn't changed isn't sent."""
    begun = service.begin(owner)
    extend(service, begun, "Look.", entry(0, 0, 1, {"type": "text"}), entry(1, 5, 2, CALL))
    extend(service, begun, "Look.\n\nCold", entry(1, 5, 3, DONE), entry(2, 7, 4, {"type": "text"}))
    extend(service, begun, "", entry(1, 5, 2, CALL))
    extend(service, begun, "Look.\n\nCold.")
    turn = loaded(service, begun)
    assert turn["draft"] == "Look.\n\nCold."
    assert [one["version"] for one in turn["draft_parts"]] == [1, 3, 4]
    page = service.call(
        "load_conversation", user_id=owner, conversation_id=begun["conversation"]["id"]
    )
    assert page["open_turn"]["draft_parts"] == [text("Look."), DONE, text("Cold.")]


def test_a_follower_is_given_what_has_changed(service: Caller, owner: str) -> None:
    """Since a version; all of it, where another attempt writes."""
    begun = service.begin(owner)
    extend(service, begun, "Look.", entry(0, 0, 1, {"type": "text"}), entry(1, 5, 2, CALL))
    ids = {"user_id": owner, "turn_id": begun["turn"]["id"], "draft_offset": 5}
    news = service.call("follow_turn", **ids, attempt=1, parts_version=1)
    assert (news["draft_tail"], news["draft_parts"]) == ("", [entry(1, 5, 2, CALL)])
    assert service.call("follow_turn", **ids, attempt=1, parts_version=2)["draft_parts"] == []
    assert len(service.call("follow_turn", **ids, attempt=2, parts_version=2)["draft_parts"]) == 2


def test_a_crash_keeps_the_parts_of_a_draft(
    service: Caller, db: psycopg.Connection, owner: str
) -> None:
    """As those of the reply, a tool call without its result too; the draft is gone then."""
    begun = service.begin(owner)
    extend(service, begun, "Look.", entry(0, 0, 1, {"type": "text"}), entry(1, 5, 2, CALL))
    expire(db, begun)
    ids = {"user_id": owner, "conversation_id": begun["conversation"]["id"]}
    assert service.call("settle_expired_turn", **ids) == {"settled": 1}
    turn = loaded(service, begun)
    assert (turn["reply"]["content"], turn["reply"]["parts"]) == ("Look.", [text("Look."), CALL])
    assert turn["draft_parts"] == []


def test_a_takeover_begins_with_no_parts(
    service: Caller, db: psycopg.Connection, owner: str
) -> None:
    """They were another attempt's."""
    key = uuid.uuid4().hex
    begun = service.begin(owner, idempotency_key=key)
    extend(service, begun, "", entry(0, 0, 1, CALL))
    expire(db, begun)
    assert service.begin(owner, idempotency_key=key)["outcome"] == "taken_over"
    assert loaded(service, begun)["draft_parts"] == []


def test_a_draft_that_has_no_room_stays_as_it_is(service: Caller, owner: str) -> None:
    """Text and parts have one limit; the lease is kept."""
    begun = service.begin(owner)
    extend(service, begun, "Look.", entry(0, 5, 1, CALL))
    extend(
        service, begun, "x" * 1_500_000, entry(1, 5, 2, {"type": "data-x", "data": "x" * 600_000})
    )
    turn = loaded(service, begun)
    assert (turn["draft"], len(turn["draft_parts"])) == ("Look.", 1)


def test_what_a_user_writes_in_a_day_counts_parts(
    service: Caller, db: psycopg.Connection, owner: str
) -> None:
    """As they are stored."""
    service.call("set_limits", bytes_per_day=10_000)
    try:
        service.begin(owner, request="x" * 100)
        with pytest.raises(psycopg.Error, match="Too many bytes"):
            service.begin(owner, parts=Jsonb([{"type": "data-x", "data": "x" * 10_000}]))
    finally:
        service.call("set_limits", bytes_per_day=0)


def history(service: Caller, owner: str, chat: str, tokens: int) -> list[dict[str, Any]]:
    """Return what the AI is given."""
    answer = service.call(
        "load_history", user_id=owner, conversation_id=chat, history_tokens=tokens
    )
    return list(answer["history"])


def test_a_history_has_parts_and_counts_what_a_model_is_given_of_them(
    service: Caller, owner: str
) -> None:
    """Calls of tools by their size, a user's file as so many tokens, nothing else."""
    begun = service.begin(owner, parts=Jsonb([text("Hello"), FILE]))
    large = {**DONE, "output": "x" * 6_000}
    thought = {"type": "reasoning", "text": "y" * 60_000}
    parts = Jsonb([thought, large, text("Cold.")])
    service.complete(begun, content="Cold.", parts=parts, native=NATIVE)
    chat = begun["conversation"]["id"]
    whole = history(service, owner, chat, 3_100)
    assert [row["parts"] for row in whole] == [
        [text("Hello"), FILE],
        [thought, large, text("Cold.")],
    ]
    assert whole[1]["native"] == NATIVE
    cut = history(service, owner, chat, 1_500)
    assert [(row["content"], row["parts"], row["native"]) for row in cut] == [
        ("Hello", [], None),
        ("Cold.", [], None),
    ]


def test_a_history_has_four_megabytes_of_parts_at_most(service: Caller, owner: str) -> None:
    """The newest; older messages are given as their text."""
    chat = None
    for _ in range(4):
        begun = service.begin(owner, **({"conversation_id": chat} if chat else {}))
        chat = begun["conversation"]["id"]
        picture = {**FILE, "url": "data:image/png;base64," + "A" * 1_500_000}
        service.complete(begun, content="Hi", parts=Jsonb([text("Hi"), picture]))
    given = history(service, owner, str(chat), 100_000)
    assert [len(row.get("parts", [])) for row in given if row["role"] == "assistant"] == [
        0,
        0,
        2,
        2,
    ]
    assert {row["content"] for row in given} == {"Hello", "Hi"}


def test_the_doctor_finds_content_that_is_not_its_parts(
    service: Caller, db: psycopg.Connection, owner: str
) -> None:
    """White space apart; without any text an error's sentence, or nothing, stands there."""

    def reply(content: str, *parts: dict[str, Any], **more: Any) -> str:
        done = service.complete(
            service.begin(owner), content=content, parts=Jsonb(list(parts)), **more
        )
        return str(done["reply"]["id"])

    error = {"metadata": {"success": False, "error": {"message": "Stopped."}}}
    sound = [
        reply("Look.\n\nCold.", text("Look."), DONE, text("Cold.")),
        reply("", CALL),
        reply("Stopped.", CALL, **error),
        reply("Anything."),
    ]
    broken = [reply("Cold.", text("Warm.")), reply("Cold.", CALL), reply("", text("Cold."))]
    rows = db.execute(
        "select name, id::text from private.find_broken_messages(%s)", ([*sound, *broken],)
    ).fetchall()
    assert sorted(rows) == sorted(("content_not_of_parts", each) for each in broken)
