"""The schema under other names: what is renamed, by Postgres's own lexer, and nothing else."""

import re
from collections.abc import Iterator

import pglast
import pytest

from local.database import MIGRATIONS
from shared.install.migrations import migrations_for
from shared.install.names import JOB, POLICY, Names, WrongNameError
from shared.install.statements import made_by, split

TEXTS = [path.read_text() for path in sorted(MIGRATIONS.glob("*.sql"))]
OURS = {"public", "private", "search"}
# What the parser calls a statement that makes something, but for extensions.
MAKING = {
    *("CreateStmt", "IndexStmt", "CreateFunctionStmt", "CreatePolicyStmt", "CreateTrigStmt"),
    *("CreateSchemaStmt", "ViewStmt", "CreateSeqStmt", "CreateEnumStmt", "CompositeTypeStmt"),
}
BODY = re.compile(r"\$(\w*)\$(.*)\$\1\$", re.DOTALL)


def tokens(sql: str) -> Iterator[tuple[str, str]]:
    """Yield each token by its kind and text; a quoted body as the tokens in it."""
    for token in pglast.parser.scan(sql):
        text = sql[token.start : token.end + 1]
        if body := BODY.fullmatch(text):
            yield from tokens(body[2])
        else:
            yield token.name, text


def wanted(sql: str, names: Names) -> list[str]:
    """Return the tokens as they have to be: a schema stands before a dot, or is called one."""
    found = list(tokens(sql))
    texts = [text for _, text in found]
    return [
        names.schemas[text]
        if text in OURS and _is_schema(texts, place)
        else _inside(text, names)
        if kind in {"SCONST", "SQL_COMMENT"}
        else text
        for place, (kind, text) in enumerate(found)
    ]


def _is_schema(texts: list[str], place: int) -> bool:
    before, after = texts[place - 1], texts[place + 1 : place + 2]
    return before != "." and (after == ["."] or before == "schema")


def _inside(text: str, names: Names) -> str:
    """Return a string or a comment, in which a name with its schema is one as well."""
    ours = rf"(?<![\w.])({'|'.join(names.schemas)})(?=\.[a-z])"
    return re.sub(ours, lambda found: names.schemas[found[1]], text)


@pytest.mark.parametrize("schema", ["chat", "a", "public_chat", "search", "x" * 30])
def test_every_schema_is_renamed_and_nothing_else(schema: str) -> None:
    """Token by token: in statements, bodies, strings and comments; a role or a column is none."""
    names = Names(schema)
    shared = {name for text in TEXTS for name in [*JOB.findall(text), *POLICY.findall(text)]}
    for text, renamed in zip(TEXTS, names.rename(TEXTS), strict=True):
        there = [token for _, token in tokens(renamed)]
        for before, after in zip(wanted(text, names), there, strict=True):
            if not any(name in before for name in shared) and "schema " not in before:
                assert after == before


def test_what_a_whole_project_has_in_common_is_named_after_the_schema() -> None:
    """A policy on Realtime's table and the jobs: the project may have others of these names."""
    text = "\n".join(Names("chat").rename(TEXTS))
    assert "create policy chat_listen_to_own_conversation" in text
    assert not re.search(r"\blisten_to_own_conversation", text)
    for job in ("sweep-turns", "sweep-imports", "apply-retention"):
        assert f"'chat-{job}'" in text
        assert f"'{job}'" not in text


@pytest.mark.promise("installing", red="a name that begins a string left as it is")
def test_negative_control_what_a_lexer_must_not_take_for_a_schema() -> None:
    """A role, a column, an alias's column, a word of a sentence."""
    (kept,) = Names("chat").rename(
        ["revoke all on function f from public; select m.private, private from m; -- the public."]
    )
    assert kept == (
        "revoke all on function f from public; select m.private, private from m; -- the public."
    )
    (changed,) = Names("chat").rename(["select to_regclass('public.a'), private.b(); -- search.c"])
    assert changed == "select to_regclass('chat.a'), chat_private.b(); -- chat_search.c"


def test_by_the_default_name_the_schema_is_what_the_files_say() -> None:
    """But for schemas that may be there already."""
    assert Names().rename(TEXTS) == TEXTS


@pytest.mark.parametrize(
    "name", ["", "Chat", "1chat", "a-b", "a.b", "x" * 31, "user", "auth", "pg_chat", "a;drop", "é"]
)
def test_a_name_that_would_need_quotes_or_is_taken_is_refused(name: str) -> None:
    """With a sentence that names it."""
    with pytest.raises(WrongNameError) as refused:
        Names(name)
    assert repr(name) in str(refused.value)


def test_the_statements_are_those_that_postgres_sees() -> None:
    """As many, each whole; and what makes a thing is known to do so."""
    for text in TEXTS:
        statements = split(text)
        assert len(statements) == len(pglast.parse_sql(text))
        for statement in statements:
            (parsed,) = pglast.parse_sql(statement)
            assert bool(made_by([statement])) is (type(parsed.stmt).__name__ in MAKING), statement


def test_a_schema_is_made_only_where_there_is_none() -> None:
    """And only then commented on: one that is there has things of the project's own in it."""
    for schema, made in (("public", 2), ("chat", 3)):
        text = "\n".join(m.body for m in migrations_for(Names(schema), MIGRATIONS))
        assert not re.findall(r"^(?:create|comment on) schema", text, re.MULTILINE)
        assert len(re.findall(r"^        create schema", text, re.MULTILINE)) == made
        assert len(re.findall(r"^        comment on schema", text, re.MULTILINE)) == made
