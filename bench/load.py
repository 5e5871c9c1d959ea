"""Opening a conversation: python -m bench.load [--rounds 150].

Pages of fifty of conversations of each size, as their owner reads them, among a thousand other
users: the newest in SQL and over HTTP, and those before a place in the middle, after it and around
it. All calls are made over plain sockets, as in `bench.turn`: what an HTTP library takes on the
caller's side is no price of ours.
"""

from functools import partial

import psycopg

from bench.client import HttpCaller
from bench.database import Floor, conversation_of, sign_in
from bench.frame import Report, Work, rounds_of
from bench.stack import HttpUser, further_process, instant_stack
from tests.support.sql_calls import make_account

SIZES = (100, 1_000, 100_000)
OTHERS = 1000
PAGE = "select public.load_conversation(%s, %s, 50, %s, %s, %s)"


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    with (
        Report("load", rounds_of(__doc__, 150)) as report,
        instant_stack() as stack,
        psycopg.connect(stack.settings.db_url, autocommit=True) as db,
    ):
        user, floor = HttpUser(stack), Floor(db)
        for _ in range(OTHERS):
            conversation_of(db, make_account(db), 20)
        chats = {size: conversation_of(db, user.id, size) for size in SIZES}
        db.execute("vacuum analyze")
        with further_process(stack) as data_api, further_process(stack, is_direct=True) as direct:
            roads = {
                "the Data API": HttpCaller(data_api, user.headers),
                "Postgres itself": HttpCaller(direct, user.headers),
            }
            over_http(user, floor, roads, chats, report)
        in_sql(db, user.id, floor, chats, report)


def over_http(
    user: HttpUser,
    floor: Floor,
    roads: dict[str, HttpCaller],
    chats: dict[int, str],
    report: Report,
) -> None:
    """Time the newest page."""
    sides: dict[str, Work] = {
        "floor: a select of 50": floor.page,
        "an empty call of the Data API": HttpCaller(
            str(user.http.base_url), user.service
        ).empty_call,
    }
    for road, functions in roads.items():
        for size, chat in chats.items():
            path = f"/load-conversation?conversationId={chat}"
            sides[f"{road}, of {size} messages"] = partial(functions.get, path)
    report.time("the newest page over HTTP", sides)


def in_sql(
    db: psycopg.Connection, user_id: str, floor: Floor, chats: dict[int, str], report: Report
) -> None:
    """Time each way into a page, under row-level security."""
    sign_in(db, user_id)
    ways = {way: {} for way in ("newest", "before", "after", "around")}  # type: ignore[var-annotated]
    for size, chat in chats.items():
        row = db.execute(
            "select id from public.messages where conversation_id = %s and seq = %s",
            (chat, size // 2),
        ).fetchone()
        assert row is not None
        # All but the newest lie in the middle, and are full.
        places = {"before": size // 2 + 26, "after": size // 2 - 25, "around": row[0]}
        for way, sides in ways.items():
            place = [places[name] if name == way else None for name in places]
            sides[f"of {size} messages"] = partial(db.execute, PAGE, (user_id, chat, *place))
    sides = {"floor: a select of 50": floor.page, **ways["newest"]}
    report.time("the newest page in SQL", sides)
    db.execute("set role authenticated")
    for way, sides in ways.items():
        report.time(f"{way}, as the owner", sides)


if __name__ == "__main__":
    main()
