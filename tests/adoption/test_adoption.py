"""Old chat tables are taken over: ids, times and order, by user, and again without doubling."""

import pytest

from tests.support.old_chats import Project, chat_id
from tests.support.sql_calls import assert_whole

pytest_plugins = ["tests.support.scratch", "tests.support.old_chats"]


@pytest.fixture
def adopted(project: Project) -> Project:
    """A project whose old tables stood in public, and are adopted."""
    project.has()
    project.move_aside()
    said = project.adopt()
    assert (said.code, said.listed) == (0, []), said.text
    return project


def test_every_row_is_there_with_its_id_time_order_and_metadata(adopted: Project) -> None:
    """As the old application's own query gives them; a tie is a microsecond apart."""
    wrong = adopted.db.execute(
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
    assert adopted.broken() == {}
    assert assert_whole(adopted.db, chat_id(1)) == 20
