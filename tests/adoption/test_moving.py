"""Old tables in the new ones' place are moved aside by a migration, with all that hangs on them."""

import pytest

from tests.support.old_chats import Project, chat_id, old_rows, user_id
from tests.support.sql_calls import act_as, assert_whole

pytest_plugins = ["tests.support.old_chats"]

# What a project has around such tables.
AROUND = """
create table public.feedback (
    message_id uuid constraint feedback_message references public.messages on delete cascade,
    stars int
);
alter table public.feedback enable row level security;
create policy of_own_messages on public.feedback for select to authenticated using (
    message_id in (select id from public.messages)
);
create view public.latest as select * from public.messages;
create function public.touch() returns trigger language plpgsql as $$
begin
    update public.conversations set updated_at = now() where id = new.conversation_id;
    return null;
end $$;
create trigger touch after insert on public.messages for each row execute function public.touch();
create publication old_changes for table public.messages;
insert into public.feedback select id, 5 from public.messages where content like 'Word1 %';
grant select on public.feedback to authenticated;
"""


@pytest.mark.promise("adoption", red="times taken as they are, ties too")
def test_every_row_is_there_with_its_id_time_order_and_metadata(early_project: Project) -> None:
    """As the old application's own query gives them; a tie is a microsecond apart."""
    early_project.has()
    early_project.move_aside()
    said = early_project.adopt()
    assert (said.code, said.listed) == (0, []), said.text
    wrong = early_project.db.execute(
        "select count(*) from (select o.*, row_number() over"
        "   (partition by o.conversation_id order by o.created_at, o.id) as place"
        "   from legacy_chat.messages as o) as o"
        " full join messages as n on n.id = o.id"
        " where (n.conversation_id, n.user_id, n.seq, n.role, n.content, n.metadata - 'adopted')"
        "   is distinct from"
        "   (o.conversation_id, o.user_id, o.place, o.role, o.content, coalesce(o.metadata, '{}'))"
        " or n.generated_code is distinct from o.generated_code or n.turn_id is not null"
        " or coalesce((n.metadata -> 'adopted' ->> 'created_at')::timestamptz, n.created_at)"
        "   <> o.created_at"
        " or n.created_at - o.created_at not between interval '0' and interval '1 microsecond'"
    ).fetchone()
    assert wrong == (0,)
    assert early_project.broken() == {}
    assert assert_whole(early_project.db, chat_id(1)) == 20


def test_a_dry_run_says_the_same_and_writes_nothing(early_project: Project) -> None:
    """Before the new tables are there, and after."""
    early_project.has(chats=2, messages=4)
    odd = early_project.says(None)
    before = old_rows(early_project)
    early = early_project.adopt("--dry-run")
    early_project.move_aside()
    late = early_project.adopt("--dry-run")
    assert early.reasons == late.reasons == {odd: "no_conversation"}
    assert early_project.stored() == []
    assert early_project.db.execute("select to_regclass('legacy_chat.adopted')").fetchone() == (
        None,
    )
    assert early_project.adopt().reasons == late.reasons
    assert old_rows(early_project) == before


def test_what_hangs_on_the_old_tables_is_named_and_goes_on(early_project: Project) -> None:
    """The line that points a foreign key at the new table is given, and works."""
    early_project.has(chats=2, messages=4)
    early_project.db.execute("set role postgres")
    early_project.db.execute(AROUND.encode())
    early_project.db.execute("reset role")
    migration = early_project.move_aside().read_text()
    for named in (
        "foreign key feedback_message of public.feedback points at the old table",
        "view public.latest shows the old rows",
        "policy of_own_messages on public.feedback asks the old rows",
        "trigger touch on public.messages fires for the old table alone",
        "publication old_changes sends changes of the old public.messages",
        "function public.touch() names the table, and then finds the new one",
    ):
        assert f"-- {named}" in migration
    assert early_project.adopt().code == 0

    count = "select count(*) from public.feedback"
    with early_project.db.transaction():
        act_as(early_project.db, user_id(1))
        early_project.db.execute("set local role authenticated")
        assert early_project.db.execute(count.encode()).fetchone() == (2,)
    line = next(line for line in migration.splitlines() if "alter table public.feedback" in line)
    early_project.db.execute(line.partition(": ")[2].encode())
    # Without a cascade, which says what still hangs on them.
    early_project.db.execute(
        "drop view latest; drop policy of_own_messages on feedback;"
        "drop table legacy_chat.messages, legacy_chat.conversations"
    )
    assert early_project.db.execute(count.encode()).fetchone() == (6,)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("drop table public.messages cascade", "public has no tables conversations and messages"),
        ("alter table public.messages drop constraint messages_pkey", "add primary key (id)"),
        ("alter table public.messages drop column role", "public.messages has no column role"),
        ("alter table public.messages alter created_at type text", "is of type text: make it"),
        ("select 1", "The old tables stand in public"),
    ],
)
def test_what_stands_in_the_way_is_said_in_a_sentence(
    early_project: Project, change: str, said: str
) -> None:
    """And nothing is done."""
    early_project.has(chats=0)
    early_project.db.execute(change.encode())
    answer = early_project.adopt()
    assert (answer.code, said in answer.text) == (2, True), answer.text


def test_where_the_tables_are_ours_alone_there_is_nothing_to_adopt(project: Project) -> None:
    """Nor are they ever moved aside."""
    assert project.adopt().code == 2
    assert project.adopt("--write-migration", str(project.folder)).code == 2
    assert list(project.folder.glob("*.sql")) == []


def test_a_database_that_is_not_there_is_said_so(project: Project) -> None:
    """With an exit code of its own."""
    project.owner_url = "postgresql://127.0.0.1:1/none"
    answer = project.adopt()
    assert (answer.code, "can't be reached" in answer.text) == (3, True)
