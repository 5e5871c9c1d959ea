"""A search by one of many users against the bare look-up in the same index.

    python -m bench.search [--rounds 200]
    SEARCH_MESSAGES=1000000 python -m bench.search     # a thousand users

"No policies" is the same call by a superuser, for whom row-level security is off: the difference
is what it costs. The bare look-up is one plain statement, without reading the query, titles and
snippets.
"""

import os
import random
from collections.abc import Callable

import psycopg

from bench.database import server_with_schema, sign_in
from bench.frame import Report, Work, rounds_of
from bench.population import populate

MESSAGES = int(os.environ.get("SEARCH_MESSAGES", "100000"))
LOOK_UP = """
select message_id, ts_rank(words, q, 1) as rank
from search.documents, phraseto_tsquery('simple', %(word)s) as q
where user_id = %(user)s and words @@ q
order by rank desc, created_at desc, message_id desc
limit 20
"""
FIND = (
    "select search.find_messages(%(user)s, %(word)s, null, null, null, null, null, false, 20, null)"
)
SEARCH = "select public.search_messages(%(user)s, %(word)s)"


def main() -> None:
    """Fill a server of its own, measure, remove it."""
    with (
        Report("search", rounds_of(__doc__, 200)) as report,
        server_with_schema() as server,
        psycopg.connect(server.url(), autocommit=True) as db,
        psycopg.connect(server.url(), autocommit=True) as as_user,
    ):
        populate(db, MESSAGES)
        db.execute("vacuum")
        as_user.execute("set role authenticated")  # for good: a plan under policies is a role's own
        draw = drawer(db)
        sides: dict[str, Work] = {
            "look-up, no policies": _search(db, LOOK_UP, draw),
            "find_messages, as the user": _search(as_user, FIND, draw),
            "find_messages, no policies": _search(db, FIND, draw),
            "search_messages, as the user": _search(as_user, SEARCH, draw),
            "search_messages, no policies": _search(db, SEARCH, draw),
        }
        report.time(f"a search among {MESSAGES} messages", sides)


def drawer(db: psycopg.Connection) -> Callable[[], dict[str, str]]:
    """Return what draws a user and a word that somebody wrote, common ones more often."""
    users = [str(row[0]) for row in db.execute("select id from auth.users limit 1000")]
    texts = db.execute("select content from public.messages limit 1000").fetchall()
    words = [row[0].split()[0] for row in texts]
    return lambda: {"user": random.choice(users), "word": random.choice(words)}  # noqa: S311


def _search(
    db: psycopg.Connection, statement: str, draw: Callable[[], dict[str, str]]
) -> Callable[[], None]:
    def search() -> None:
        drawn = draw()
        sign_in(db, drawn["user"])
        db.execute(statement.encode(), drawn).fetchall()

    return search


if __name__ == "__main__":
    main()
