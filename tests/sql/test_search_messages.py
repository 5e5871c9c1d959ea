"""search_messages and the index behind it: what is found, in any script, size and plan."""

import random
import uuid
from collections.abc import Callable
from typing import Any, TypeAlias

import psycopg
import pytest

from local.stack import Stack
from tests.support.plans import watched_plans
from tests.support.postgres import Server
from tests.support.scratch import MIGRATED
from tests.support.sql_calls import Caller, act_as, as_user, make_account, make_conversation

# What is said, and what finds it. Each is stored beside all others.
FOUND = {
    "call useAuth() before snake_case_name or user.id": [
        "useAuth", "USEAUTH", "snake_case_name", "user.id", '"snake_case_name or user"', "useA",
        "case", "before -after",
    ],
    "<Button onClick={handleSubmit}>C++ 3.14</Button>": [
        "onclick", "Button", "handleSubmit", "dleSub", "3.14", "<button>",
    ],
    "src/lib/parse-args.test.ts at https://example.com/docs?page=2": [
        "parse-args.test.ts", "src/lib", "example.com", "https://example.com/docs", "page=2",
    ],
    "Das Café in Łódź grüßt naïve Gäste": ["cafe", "CAFÉ", "naive", "gaste", "Łódź", "grüßt"],
    "decomposed: resume\u0301 and x\u0302yz": ["resumé", "resume"],
    "東京都の天気予報を教えてください": ["東京", "京都", "天気予報", "京", "教えて", "都の天気"],
    "请用中文解释递归函数": ["递归", "中文", "递归函数", "函", "数"],
    "我们用Django写第3章节和10月份上线": [
        "django", "Django写", "用Django", "第3章", "第3章节", "10月", "10月份上", '"写第3章"',
    ],
    "학교에서 한국어를 공부합니다": ["학교", "한국어", "공부"],
    "Привет, Мир ёлка": ["привет", "МИР", "елка"],
    "\uff26\uff55\uff4c\uff4c \uff57\uff49\uff44\uff54\uff48 letters": ["full width", "letters"],
}  # fmt: skip


@pytest.fixture(scope="module")
def someone(stack: Stack) -> str:
    """A user who has said all of FOUND, one message each."""
    with psycopg.connect(stack.settings.db_url, autocommit=True) as db:
        owner = make_account(db)
        say(db, make_conversation(db, owner), owner, *FOUND)
        index(db, owner)
    return owner


def say(db: psycopg.Connection, conversation: str, owner: str, *texts: str) -> None:
    """Write messages."""
    with db.cursor() as cursor:
        cursor.executemany(
            "insert into messages (conversation_id, user_id, role, content)"
            " values (%s, %s, 'user', %s)",
            [(conversation, owner, text) for text in texts],
        )


def index(db: psycopg.Connection, owner: str) -> None:
    """Move a user's watermarks up to their newest messages."""
    while Caller(db).call("index_messages", user_id=owner)["more"]:
        pass


def found(user: Caller, q: str, **more: Any) -> list[int]:
    """Return the seq of each hit, in the order of the hits."""
    return [hit["seq"] for hit in user.call("search_messages", q=q, **more)["hits"]]


@pytest.mark.promise("search", red="letters are not taken in pairs")
@pytest.mark.parametrize("text", FOUND, ids=ascii)
def test_words_of_any_script_and_identifiers_are_found(
    stack: Stack, someone: str, text: str
) -> None:
    """Each query finds the text, whatever its case and accents, and marks some of it."""
    place = list(FOUND).index(text) + 1
    with as_user(stack.settings.db_url, someone) as user:
        for q in FOUND[text]:
            hits = user.call("search_messages", q=q)["hits"]
            assert place in [hit["seq"] for hit in hits], q
            assert all(hit["snippet"]["marks"] for hit in hits), q


def test_a_word_between_unspaced_letters_is_where_the_snippet_is(
    stack: Stack, db: psycopg.Connection
) -> None:
    """Far into a message, and as a whole word alone."""
    owner = make_account(db)
    say(db, make_conversation(db, owner), owner, f"{'pythonic ' * 200}用Python写{' spam' * 200}")
    with as_user(stack.settings.db_url, owner) as user:
        (hit,) = user.call("search_messages", q="python")["hits"]
    marked = [hit["snippet"]["text"][m["start"] : m["end"]] for m in hit["snippet"]["marks"]]
    assert marked == ["Python"]


def test_web_search_syntax(stack: Stack, db: psycopg.Connection) -> None:
    """All words, a phrase, either, none of; quotes that nothing closes are passed over."""
    owner = make_account(db)
    texts = ["red apple", "green apple", "apple red", "green pear", "plum"]
    say(db, make_conversation(db, owner), owner, *texts)
    expected = {
        "apple red": {1, 3},
        '"red apple"': {1},
        "apple -red": {2},
        'apple -"red apple"': {2, 3},
        "plum or pear": {4, 5},
        "green apple OR plum": {2, 5},
        '"apple red': {1, 3},
        "-green or": None,
        "pple": {1, 2, 3},
        "gre pple": {2},
        "zzz": set(),
    }
    with as_user(stack.settings.db_url, owner) as user:
        for q, seqs in expected.items():
            if seqs is None:
                with pytest.raises(psycopg.Error, match="only words to leave out"):
                    found(user, q)
            else:
                assert set(found(user, q)) == seqs, q


def test_whole_words_come_before_parts_and_more_of_them_first(
    stack: Stack, db: psycopg.Connection
) -> None:
    """Parts of words are looked for only where no message has the words; the answer says so."""
    owner = make_account(db)
    say(db, make_conversation(db, owner), owner, "a cart", "carts cartography", "cart cart cart")
    with as_user(stack.settings.db_url, owner) as user:
        words = user.call("search_messages", q="cart")
        parts = user.call("search_messages", q="arto")
    assert ([hit["seq"] for hit in words["hits"]], words["parts"]) == ([3, 1], False)
    assert ([hit["seq"] for hit in parts["hits"]], parts["parts"]) == ([2], True)


Maker: TypeAlias = Callable[[], str]


def _distinct_pairs() -> str:
    """Return as many different pairs of four-byte letters as a stretch can hold, and more."""
    letters = random.Random(5)  # noqa: S311
    return "".join(chr(letters.randrange(0x20000, 0x2A6DE)) for _ in range(40_000))


HUGE: dict[str, Maker] = {
    "2 MB of different words": lambda: " ".join(f"w{n:x}q" for n in range(220_000)),
    "one word of 2 MB": lambda: "x" * 1_990_000,
    "words over 2 kB": lambda: " ".join(["y" * 5000] * 100),
    "different pairs of rare letters": _distinct_pairs,
    "what grows when it is taken apart": lambda: "ﷺ" * 70_000,
    "one-letter words": lambda: "a b c d " * 50_000,
    "accents alone": lambda: "\u0301" * 100_000,
    "nothing": lambda: "",
}


@pytest.mark.promise("search", red="one stretch for the whole text")
@pytest.mark.parametrize("kind", HUGE)
def test_text_of_any_size_is_stored_and_its_ends_are_found(
    stack: Stack, db: psycopg.Connection, kind: str
) -> None:
    """The index refuses no message, and its first and its last word lead to it."""
    owner = make_account(db)
    text = f"firstword {HUGE[kind]()} lastword"
    conversation = make_conversation(db, owner)
    say(db, conversation, owner, text)
    with as_user(stack.settings.db_url, owner) as user:
        for q in ("firstword", "lastword"):
            hits = user.call("search_messages", q=q)["hits"]
            (snippet,) = (hit["snippet"] for hit in hits)
            said = [snippet["text"][mark["start"] : mark["end"]] for mark in snippet["marks"]]
            assert said == [q]
            assert len(snippet["text"]) <= 240
    stored = db.execute(
        "select content = %s from messages where conversation_id = %s and seq = 1",
        (text, conversation),
    ).fetchone()
    assert stored == (True,)


@pytest.mark.promise("search", red="parts ranked by the words found")
def test_more_matches_than_are_ranked_are_told_of(stack: Stack, db: psycopg.Connection) -> None:
    """The newest thousand are paged through, each once, and the answer says that it is not all."""
    owner = make_account(db)
    conversation = make_conversation(db, owner)
    say(db, conversation, owner, *["walnut"] * 1005)
    index(db, owner)
    with as_user(stack.settings.db_url, owner) as user:
        page = user.call("search_messages", q="walnut", page_size=200)
        walked = page["hits"]
        while page["next"]:
            say(db, conversation, owner, "walnut")
            page = user.call(
                "search_messages", q="walnut", page_size=200,
                page_after=page["next"],
            )  # fmt: skip
            assert page["cut"] is True
            walked += page["hits"]
        exact = user.call("search_messages", q="walnut", until=walked[-1]["created_at"])
    assert sorted(hit["seq"] for hit in walked) == list(range(6, 1006))
    assert (len(exact["hits"]), exact["cut"]) == (5, False)


@pytest.mark.promise("search", red="the user left out of the query")
def test_a_search_reads_the_index_under_the_callers_own_rights(
    stack: Stack, someone: str, db: psycopg.Connection
) -> None:
    """By user and word at once, or by user and part of a word."""
    act_as(db, someone)
    with watched_plans(db) as plans, db.transaction(force_rollback=True):
        # In a small table it is no matter how it is read.
        db.execute("set local session_replication_role = replica")
        db.execute(
            "insert into search.documents (message_id, starts_at, user_id, conversation_id, role,"
            " created_at, words) select gen_random_uuid(), 1, gen_random_uuid(), gen_random_uuid(),"
            " 'user', now(), to_tsvector('simple', 'word' || n) from generate_series(1, 30000) as n"
        )
        db.execute("analyze search.documents")
        db.execute(
            "select gin_clean_pending_list('search.idx_documents_words')"
        )  # as a vacuum does
        db.execute("set local role authenticated")
        db.execute("select public.search_messages(%s, 'useauth')", (someone,))
        db.execute("select public.search_messages(%s, 'seaut')", (someone,))
    index = [plan for plan in plans if "idx_documents_words" in plan]
    by_word = [plan for plan in index if "AND (words @@" in plan]
    by_part = [plan for plan in index if "AND (search.long_words(starts_at, words) ~~" in plan]
    assert (len(by_word), len(by_part)) == (3, 1)
    assert all(f"((user_id = '{someone}'::uuid) AND (" in plan for plan in by_word)


def test_the_index_goes_with_the_messages(stack: Stack, db: psycopg.Connection) -> None:
    """A message's words change with a repair of it, and are gone with its conversation."""
    owner = make_account(db)
    conversation = make_conversation(db, owner)
    say(db, conversation, owner, "before")
    db.execute(
        "update messages set content = 'afterwards' where conversation_id = %s", (conversation,)
    )
    with as_user(stack.settings.db_url, owner) as user:
        assert (found(user, "before"), found(user, "afterwards")) == ([], [1])
        user.call("delete_conversation", conversation_id=conversation)
    left = db.execute("select 1 from search.documents where user_id = %s", (owner,)).fetchall()
    assert left == []


def test_a_named_conversation_must_be_ones_own(stack: Stack, db: psycopg.Connection) -> None:
    """Somebody else's and a missing one are one answer."""
    owner = make_account(db)
    foreign = make_conversation(db, make_account(db), messages=1)
    said = set()
    with as_user(stack.settings.db_url, owner) as user:
        for conversation in (foreign, str(uuid.uuid4())):
            with pytest.raises(psycopg.Error) as caught:
                found(user, "1", conversation_id=conversation)
            said.add((caught.value.diag.sqlstate, caught.value.diag.message_primary))
    assert said == {("PT404", "Conversation not found.")}


def test_nobody_reads_the_index_itself(stack: Stack, someone: str) -> None:
    """Not the table, and not what is not meant for callers."""
    with as_user(stack.settings.db_url, someone) as user:
        for statement in (
            "select * from search.documents",
            "insert into search.documents default values",
            f"select search.widen_query('{someone}', '{{}}', '{{}}')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                user.connection.execute(statement.encode())


@pytest.mark.promise("search")
def test_the_function_that_runs_as_its_owner_knows_only_the_caller(
    stack: Stack, someone: str, db: psycopg.Connection
) -> None:
    """Asked by itself, it gives its caller ids, and refuses to speak of another user."""
    ask = "select search.find_messages(%s, 'before', null, null, null, null, null, true, 5, null)"
    with as_user(stack.settings.db_url, someone) as user:
        row = user.connection.execute(ask, (someone,)).fetchone()
    assert row is not None
    assert [sorted(hit) for hit in row[0]["hits"]] == [
        ["created_at", "message_id", "rank", "starts_at"]
    ]
    for caller in (make_account(db), None):  # and one who is signed in, but nobody
        db.execute("reset role; reset request.jwt.claims; reset request.jwt.claim.sub")
        if caller is not None:
            act_as(db, caller)
        db.execute("set role authenticated")
        with pytest.raises(psycopg.Error) as refusal:
            Caller(db).call("search_messages", user_id=someone, q="before")
        assert refusal.value.diag.message_detail == "forbidden"


@pytest.mark.promise("search", red="the time limit not caught")
def test_a_search_that_takes_too_long_is_told_so(
    bare_server: Server, scratch: psycopg.Connection
) -> None:
    """A statement's time limit is answered by a word of ours, not by an interrupted call."""
    scratch.execute("lock table search.documents in access exclusive mode")
    with as_user(bare_server.url(MIGRATED), str(uuid.uuid4())) as user:
        user.connection.execute("set statement_timeout = '300ms'")
        with pytest.raises(psycopg.Error) as caught:
            found(user, "word")
    diagnosis = caught.value.diag
    assert (diagnosis.sqlstate, diagnosis.message_detail) == ("PT422", "search_too_broad")
