"""The list of conversations: python -m bench.list [--rounds 150].

Pages of fifty, the newest and a deep one, of a user who has a hundred and of one who has ten
thousand, among others; against a select of as many rows.
"""

from functools import partial

import psycopg

from bench.client import HttpCaller
from bench.database import sign_in
from bench.frame import Report, Work, rounds_of
from bench.stack import HttpUser, instant_stack
from tests.support.sql_calls import make_account

SIZES = (100, 10_000)
CONVERSATIONS = """
insert into public.conversations (user_id, title, updated_at)
select %(user)s, 'Chat ' || n, now() - n * interval '1 minute'
from generate_series(1, %(count)s) as n
"""
FLOOR = "select * from public.conversations where user_id = %s order by updated_at desc limit 50"
NEWEST = "select public.list_conversations(%s)"


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    with (
        Report("list", rounds_of(__doc__, 150)) as report,
        instant_stack() as stack,
        psycopg.connect(stack.settings.db_url, autocommit=True) as db,
    ):
        users = {size: HttpUser(stack) for size in SIZES}
        for size, user in users.items():
            db.execute(CONVERSATIONS, {"user": user.id, "count": size})
        db.execute(CONVERSATIONS, {"user": make_account(db), "count": 20_000})
        db.execute("vacuum analyze")
        functions = f"http://127.0.0.1:{stack.settings.ports.functions}"
        measure(db, users, functions, report)


def measure(
    db: psycopg.Connection, users: dict[int, HttpUser], functions: str, report: Report
) -> None:
    """Time pages in SQL, as their owner, and over HTTP."""
    few = users[SIZES[0]]
    bare = partial(db.execute, FLOOR, (few.id,))
    http: dict[str, Work] = {
        "a bare select of 50": bare,
        "an empty call of the Data API": HttpCaller(str(few.http.base_url), few.service).empty_call,
    }
    sql: dict[str, Work] = {"a bare select of 50": bare}
    for size, user in users.items():
        http[f"of {size} conversations"] = partial(
            HttpCaller(functions, user.headers).get, "/conversations"
        )
        sql[f"newest of {size}"] = partial(_as_owner, db, user.id, NEWEST, (user.id,))
    deep = {"user": users[SIZES[1]].id, "deep": SIZES[1] - 100}
    place = db.execute(
        "select id, updated_at from public.conversations where user_id = %(user)s"
        " order by updated_at desc offset %(deep)s limit 1",
        deep,
    ).fetchone()
    assert place is not None
    page = "select public.list_conversations(%s, before_id => %s, before_updated_at => %s)"
    sql[f"a deep page of {SIZES[1]}"] = partial(
        _as_owner, db, users[SIZES[1]].id, page, (users[SIZES[1]].id, *place)
    )
    report.time("a page over HTTP", http)
    report.time("a page in SQL", sql)


def _as_owner(db: psycopg.Connection, user_id: str, query: str, values: tuple[object, ...]) -> None:
    sign_in(db, user_id)
    db.execute("set role authenticated")
    db.execute(query.encode(), values).fetchone()
    db.execute("reset role")


if __name__ == "__main__":
    main()
