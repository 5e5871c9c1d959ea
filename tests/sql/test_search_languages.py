# ruff: noqa: RUF001 - these are the letters that are meant
"""What a search takes for the same: letters with and without points, accents, unseen signs."""

import psycopg
import pytest

from local.stack import Stack
from tests.support.sql_calls import Caller, as_user, make_account, make_conversation

# What is said, and what finds it. Each is stored beside all others.
FOUND = {
    "مُحَمَّد كتب رسالة قصيرة": ["رسالة", "كتب", "محمد", "مُحَمَّد", "كَتَبَ"],
    "محمود أحمد كتـــاب می\u200cخواهم ٣٤٥": [
        "مَحْمُود", "احمد", "كتاب", "میخواهم", "345",
    ],
    "שָׁלוֹם עולם": ["שלום", "שָׁלוֹם", "עוֹלָם"],
    "un\u00adbreak\u00adable zero\u200bwidth": [
        "unbreakable", "un\u00adbreakable", "zerowidth", "zero\u200bwidth",
    ],
    "the ﬁnal oﬃce ﬂow": ["final", "office", "ﬂow", "ofﬁce"],
    "a finance file": ["ﬁnance", "ﬁle"],
    "ｶﾞｷﾞグゲ and ガギ １２３ №5 x²": ["ガギ", "ｶﾞｷﾞ", "ガギグゲ", "123", "x2"],
    "İstanbul ısparta IĞDIR": ["istanbul", "İSTANBUL", "isparta", "ığdır"],
    "Straße GROSSER þing Ærø": ["strasse", "STRASSE", "großer", "thing", "aero"],
    "Οδυσσεύς ΟΔΥΣΣΕΥΣ": ["οδυσσευς", "ΟΔΥΣΣΕΎΣ", "οδυσσευσ"],
    "Tiếng Việt đường phố": ["tieng viet", "duong", "Đường", "pho\u0302\u0301"],
    "\u1112\u1161\u11ab\u1100\u1173\u11af 조선글": ["한글", "\u110c\u1169\u1109\u1165\u11ab"],
    "สวัสดีครับ ฐานข้อมูล": ["สวัสดี", "ข้อมูล", "ฐาน"],
    "हिन्दी में लिखा संदेश": ["हिन्दी", "संदेश", "हिन्दी में"],
}  # fmt: skip


@pytest.fixture(scope="module")
def someone(stack: Stack) -> str:
    """A user who has said all of FOUND, one message each, half of which is in the index."""
    with psycopg.connect(stack.settings.db_url, autocommit=True) as db:
        owner = make_account(db)
        conversation = make_conversation(db, owner)
        for number, text in enumerate(FOUND):
            say(db, conversation, owner, text)
            if number == len(FOUND) // 2:
                Caller(db).call("index_messages", user_id=owner)
    return owner


def say(db: psycopg.Connection, conversation: str, owner: str, text: str) -> None:
    """Write a message."""
    db.execute(
        "insert into messages (conversation_id, user_id, role, content)"
        " values (%s, %s, 'user', %s)",
        (conversation, owner, text),
    )


@pytest.mark.promise("search", red="letters compared as they are")
@pytest.mark.parametrize("text", FOUND, ids=ascii)
def test_a_word_is_found_however_its_letters_are_written(
    stack: Stack, someone: str, text: str
) -> None:
    """As a whole word, and it is marked."""
    place = list(FOUND).index(text) + 1
    with as_user(stack.settings.db_url, someone) as user:
        for q in FOUND[text]:
            answer = user.call("search_messages", q=q)
            hits = {hit["seq"]: hit for hit in answer["hits"]}
            assert place in hits, q
            assert hits[place]["snippet"]["marks"], q
            assert answer["parts"] is False, q


# What is looked for, and what is marked of a text that folds to another length.
MARKED = {
    "محمد": ("قال مُحَمَّدٌ هنا", ["مُحَمَّدٌ"]),
    "unbreakable": ("so un\u00adbreak\u00adable\u00ad it is", ["un\u00adbreak\u00adable"]),
    "office": ("an oﬃce, the ofﬁce", ["oﬃce", "ofﬁce"]),
    "strasse": ("Straße, STRASSE", ["Straße", "STRASSE"]),
    "ガギ": ("ｶﾞｷﾞ", ["ｶﾞｷﾞ"]),
    "ข้อมูล": ("ฐานข้อมูล", ["ข้อมูล"]),
    "plum": ("\u202eplum\u202c x\u0302 pl\u0302um\u0302", ["plum", "pl\u0302um\u0302"]),
}


@pytest.mark.parametrize("q", MARKED, ids=ascii)
@pytest.mark.parametrize("length", [0, 30_000])
def test_marks_are_places_of_the_stored_text(
    stack: Stack, db: psycopg.Connection, q: str, length: int
) -> None:
    """Though what was compared is longer or shorter, also far into a message."""
    before, (text, marked) = "ﬁ\u00ad ", MARKED[q]
    owner = make_account(db)
    say(db, make_conversation(db, owner), owner, before * length + text)
    with as_user(stack.settings.db_url, owner) as user:
        (hit,) = user.call("search_messages", q=q)["hits"]
    snippet = hit["snippet"]
    assert [snippet["text"][m["start"] : m["end"]] for m in snippet["marks"]] == marked


NOTHING = ["🎉", '"', "or", "-", '""', "“”", "?!...", "\u200b", '"🎉"', "- -", "💩 or 🎉", "\u0301"]


@pytest.mark.parametrize("q", [*NOTHING, "-plum", "🎉 -plum"], ids=ascii)
def test_a_query_without_a_word_is_refused_in_a_sentence(
    stack: Stack, someone: str, q: str
) -> None:
    """One that a person understands."""
    with as_user(stack.settings.db_url, someone) as user, pytest.raises(psycopg.Error) as caught:
        user.call("search_messages", q=q)
    expected = (
        "There is no word to look for: signs, quotes and emoji alone can't be found."
        if q in NOTHING
        else "There are only words to leave out: add one to look for."
    )
    diagnosis = caught.value.diag
    assert (diagnosis.sqlstate, diagnosis.message_primary) == ("PT400", expected)
