"""What several stores answer as one: pages, leases, and what is left out where one is away."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.config import ConfigurationError
from shared.errors import InternalError, RetentionPolicyNotFoundError, StoreUnavailableError
from shared.persistence.stores import Stores, load_store_of
from tests.support.unit_settings import unit_settings

URLS = '{"one": "postgresql://one", "two": "postgresql://two"}'
ONE, TWO = (UUID(int=number) for number in (1, 2))


class FakeStore:
    """A store with one answer for everything."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    async def call(self, function: str, arguments: dict[str, Any], **_: Any) -> Any:
        """Answer, or be away."""
        self.asked.append(dict(arguments))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def stores_of(*answers: Any) -> tuple[Stores, list[FakeStore]]:
    """Give stores with these answers, of which the first two users have one each."""
    fakes = [FakeStore(answer) for answer in answers]
    named = dict(zip(("one", "two"), fakes, strict=True))
    homes = {ONE: "one", TWO: "two"}
    return Stores(named, homes.get), fakes  # type: ignore[arg-type]


async def test_a_user_who_is_moved_finds_the_store_away() -> None:
    """Nobody is asked, and a name that is none is a mistake of ours."""
    stores, fakes = stores_of({}, {})
    with pytest.raises(StoreUnavailableError):
        await stores.call("load_conversation", {"user_id": str(uuid4())}, caller=None)
    astray = Stores({"one": fakes[0]}, lambda _: "three")  # type: ignore[dict-item]
    with pytest.raises(InternalError):
        await astray.call("load_conversation", {"user_id": str(ONE)}, caller=None)
    assert [fake.asked for fake in fakes] == [[], []]


async def test_a_page_of_usage_ends_where_the_first_store_has_more() -> None:
    """Else the users behind that would never be listed."""
    users = [{"user_id": str(UUID(int=number))} for number in range(1, 7)]
    stores, _ = stores_of(
        {"users": [users[0], users[2]], "more": True},
        {"users": [users[1], users[4]], "more": False},
    )
    page = await stores.call("project_usage", {"most": 10}, caller=None)
    assert page == {"users": users[:3], "more": True}
    page = await stores.call("project_usage", {"most": 2}, caller=None)
    assert page == {"users": users[:2], "more": True}


async def test_the_next_page_of_a_listing_begins_at_the_first_stores() -> None:
    """The moments are compared, not how they are written."""
    early = {"after_updated_at": "2026-01-01T10:00:00+02:00", "after_id": str(ONE)}
    late = {"after_updated_at": "2026-01-01T09:00:00+00:00", "after_id": str(ONE)}
    stores, _ = stores_of({"users": [str(ONE)], "next": late}, {"users": [], "next": early})
    page = await stores.call("list_users_due_for_retention", {}, caller=None)
    assert page == {"users": [str(ONE)], "next": early}


async def test_a_listing_leaves_out_who_is_elsewhere_and_who_can_not_be_asked() -> None:
    """Where none answers, that is an error; where a listing is none, one is enough for it."""
    stores, fakes = stores_of({"users": [str(ONE), str(TWO)]}, StoreUnavailableError())
    listed = await stores.call("list_removals", {}, caller=None)
    assert listed["users"] == [str(ONE)]
    with pytest.raises(StoreUnavailableError):
        await stores.call("set_limits", {"bytes_per_day": 1}, caller=None)
    fakes[0].answer = StoreUnavailableError()
    with pytest.raises(StoreUnavailableError):
        await stores.call("list_removals", {}, caller=None)


async def test_each_store_renews_the_leases_of_its_own_turns() -> None:
    """Those of a store that is away, or of a user who is moved, are left out."""
    answers = [{"turns": [{"turn_id": name}], "running": 1} for name in ("one", "two")]
    stores, fakes = stores_of(*answers)
    extensions = [{"user_id": str(user)} for user in (ONE, TWO, uuid4(), ONE)]
    arguments = {"extensions": extensions, "lease_seconds": 26}
    extended = await stores.call("extend_turns", arguments, caller=None, is_urgent=True)
    assert extended == {"turns": [{"turn_id": "one"}, {"turn_id": "two"}], "running": 2}
    assert fakes[0].asked == [{**arguments, "extensions": [extensions[0], extensions[3]]}]
    assert fakes[1].asked == [{**arguments, "extensions": [extensions[1]]}]
    fakes[1].answer = StoreUnavailableError()
    extended = await stores.call("extend_turns", arguments, caller=None)
    assert extended["turns"] == [{"turn_id": "one"}]


async def test_policies_and_holds_of_all_stores_are_one_list() -> None:
    """A scope's policy once, the oldest first; of holds the newest first."""
    scopes = [(None, "1", "03"), (None, "2", "04"), (str(ONE), "3", "01"), (str(TWO), "4", "02")]
    first, second, third, fourth = (
        {"user_id": user, "project_id": None, "id": id_, "created_at": day, "placed_at": day}
        for user, id_, day in scopes
    )
    stores, fakes = stores_of(
        {"policies": [first, third], "holds": [third]},
        {"policies": [second, fourth], "holds": [fourth]},
    )
    listed = await stores.call("list_retention_policies", {}, caller=None)
    assert listed == {"policies": [third, fourth, first]}
    assert await stores.call("list_legal_holds", {}, caller=None) == {"holds": [fourth, third]}
    await stores.call("delete_retention_policy", {"policy_id": "2"}, caller=None)
    assert [fake.asked[-1] for fake in fakes] == [{"policy_id": "1"}, {"policy_id": "2"}]
    with pytest.raises(RetentionPolicyNotFoundError):
        await stores.call("delete_retention_policy", {"policy_id": "5"}, caller=None)


@pytest.mark.parametrize(
    "given",
    [
        {"supabase_db_urls": URLS},
        {"store_of": "a:b"},
        {"supabase_db_urls": URLS, "store_of": "a:b", "supabase_db_url": "postgresql://three"},
        {"supabase_db_urls": URLS, "store_of": "a:b", "supabase_db_read_url": "postgresql://three"},
        {"supabase_db_urls": '{"one": "secret://word"}', "store_of": "a:b"},
        {"supabase_db_urls": "nonsense", "store_of": "a:b"},
        {"supabase_db_urls": '{"one": "off"}', "store_of": "a:b"},
    ],
)
def test_stores_and_the_function_that_chooses_go_together(given: dict[str, str]) -> None:
    """What is wrong is said in a line, without a password."""
    with pytest.raises(ConfigurationError) as refused:
        unit_settings(**given)
    assert "STORE_OF" in str(refused.value) or "SUPABASE_DB_URLS" in str(refused.value)
    assert "word" not in str(refused.value)


@pytest.mark.parametrize(
    "path",
    ["nothing", "no.such:thing", "shared.config:nothing", "os:sep", f"{__name__}:in_time"],
)
def test_a_function_that_is_none_is_said_at_the_start(path: str) -> None:
    """Before anybody is served."""
    with pytest.raises(ConfigurationError, match="STORE_OF"):
        load_store_of(path)


def at_odds(user_id: UUID) -> str | None:
    """Know where the first user is, and of others nothing that is of use."""
    return {ONE: "one", TWO: "nowhere"}[user_id]


async def test_who_can_not_be_placed_stops_nobody_else() -> None:
    """A function that raises, or names no store: the heartbeat and the sweep go on without them."""
    extended = {"turns": [{"turn_id": "one"}], "running": 1}
    fake = FakeStore(extended)
    stores = Stores({"one": fake}, at_odds)  # type: ignore[dict-item]
    unplaced = [str(TWO), str(uuid4())]
    users = [str(ONE), *unplaced]
    extensions = [{"user_id": user} for user in users]
    arguments = {"extensions": extensions, "lease_seconds": 26}
    assert await stores.call("extend_turns", arguments, caller=None) == extended
    assert fake.asked == [{**arguments, "extensions": extensions[:1]}]
    fake.answer = {"users": users}
    assert (await stores.call("list_removals", {}, caller=None))["users"] == users[:1]
    for user in unplaced:
        with pytest.raises(InternalError):
            await stores.call("load_turn", {"user_id": user}, caller=None)


async def in_time(_: UUID) -> str:
    """Say it later, which nobody waits for."""
    return "one"
