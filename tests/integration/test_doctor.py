"""The doctor: what it finds, says and leaves alone, and who may ask it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.patient import BEGIN_TURN, CHECKS, Patient, everything_in, run_doctor
from tests.support.proxy import Proxy, proxy_to, refuses
from tests.support.stack import free_ports

pytest_plugins = ["tests.support.patient"]


async def test_a_store_that_is_whole_has_nothing_broken(patient: Patient) -> None:
    """Every check is there, with none broken; a repair has nothing to do."""
    said = await patient.doctor("--repair", "--json")
    assert patient.broken() == {}
    assert {check["name"] for check in said.checks} == CHECKS
    assert all(check["broken"] == 0 and check["examples"] == [] for check in said.checks)
    assert {check["name"] for check in said.checks if not check["repairable"]} == {
        "turn_without_message",
        "content_not_of_parts",
    }
    assert (said.code, said.repaired, said.broken) == (0, {}, {})


async def test_orphans_of_an_account_that_is_gone_are_left_and_named(patient: Patient) -> None:
    """Nobody is given them, nothing of theirs is lost, and the doctor still says 1."""
    patient.plant(
        "delete from auth.users where id = %(other)s",
        "delete from conversations where id = %(others)s",
    )
    before = everything_in(patient.db)
    said = await patient.doctor("--repair", "--json")
    assert said.code == 1
    assert said.repaired == {}
    assert said.broken == {"conversation_missing": 1}
    assert everything_in(patient.db) == before


async def test_a_lost_request_is_named_and_nothing_is_made_up(patient: Patient) -> None:
    """What a user said can't be had again: it is found, named and left."""
    patient.plant("update messages set turn_id = null where turn_id = %(first)s and role = 'user'")
    before = everything_in(patient.db)
    assert patient.repair() == set()
    said = await patient.doctor("--json")
    assert said.checks[0] == {
        "name": "turn_without_message", "broken": 1, "examples": [patient.names["first"]],
        "repairable": False,
    }  # fmt: skip
    assert everything_in(patient.db) == before


async def test_a_turn_that_has_a_worker_is_left_alone(patient: Patient) -> None:
    """A live lease is no damage, nor is one that is over for less than the grace."""
    patient.plant(*BEGIN_TURN)
    live = patient.repair(grace=0)
    patient.plant(
        "update turns set lease_expires_at = now() - interval '30 minutes' where status = 'running'"
    )
    before = everything_in(patient.db)
    within = await patient.doctor("--repair", "--json", "--grace", "3600")
    assert everything_in(patient.db) == before
    assert (live, within.broken, patient.broken()) == (set(), {}, {"turn_without_worker": 1})


async def test_five_examples_are_given_of_many(patient: Patient) -> None:
    """The count is whole, the examples are ids of what is broken."""
    patient.plant("update messages set turn_id = gen_random_uuid()")
    said = await patient.doctor("--json")
    check = next(row for row in said.checks if row["name"] == "message_of_unknown_turn")
    ids = {row[0] for row in patient.db.execute("select id::text from messages")}
    assert check["broken"] == 6
    assert len(set(check["examples"])) == 5
    assert set(check["examples"]) <= ids


async def test_the_table_says_what_is_broken_and_what_a_repair_does(patient: Patient) -> None:
    """Exit code 1 with the id and the remedy; 0 after the repair, which says what it did."""
    patient.plant("update conversations set last_seq = 9 where id = %(conversation)s")
    sick = await patient.doctor()
    mended = await patient.doctor("--repair")
    well = await patient.doctor()
    lines = sick.out.splitlines()
    starts = {line.index(word) for line, word in zip(lines[:2], ("broken", "0"), strict=False)}
    row = next(line for line in lines if line.startswith("last_seq_wrong"))
    assert [sick.code, mended.code, well.code] == [1, 0, 0]
    assert row.split()[:3] == ["last_seq_wrong", "1", patient.conversation]
    assert "set it to the newest message's" in row
    assert {line.split()[0] for line in lines[1:-1]} == CHECKS
    assert starts == {lines[0].index("broken"), lines[0].index("broken") + 5}
    assert lines[-1].startswith("Broken: last_seq_wrong; --repair")
    assert mended.out.startswith("repaired last_seq_wrong: 1\n")
    assert mended.out.endswith("All is well.\n")
    assert [sick.err, mended.err, well.err] == ["", "", ""]


async def test_a_policy_that_was_refused_is_missing_with_what_mends_it(patient: Patient) -> None:
    """Exit code 1, and the statement as it is to be run; with it all is well."""
    policy = "listen_to_own_conversation on realtime.messages"
    patient.plant(f"drop policy {policy}")
    said = await patient.doctor()
    patient.plant(said.out[said.out.index("create policy") : said.out.index(";") + 1])
    well = await patient.doctor()
    assert f"create policy {policy}" in said.out
    assert said.out.endswith("Missing: listen_policy.\n")
    assert [said.code, well.code] == [1, 0]


async def test_a_store_that_is_down_is_one_line_and_code_3(patient: Patient) -> None:
    """Nothing on standard output, and the address in the line."""
    closed = f"http://127.0.0.1:{free_ports(1)[0]}"
    said = await patient.doctor("--json", SUPABASE_URL=closed)
    assert (said.code, said.out) == (3, "")
    assert said.err == f"the store at {closed} can't be reached\n"


async def test_a_store_that_refuses_the_key_is_one_line_and_code_3(patient: Patient) -> None:
    """The publishable key in the secret one's place."""
    key = patient.stack.settings.environment()["SUPABASE_PUBLISHABLE_KEY"]
    said = await patient.doctor(SUPABASE_SECRET_KEY=key)
    assert (said.code, said.out) == (3, "")
    assert said.err.count("\n") == 1
    assert key not in said.err


@pytest.mark.parametrize("role", ["authenticated", "service_role"])
async def test_a_login_role_that_can_not_become_another_is_said(
    patient: Patient, role: str
) -> None:
    """By the name of the one that was not granted to it."""
    patient.plant(f"revoke {role} from message_persistence")
    said = await patient.doctor(SUPABASE_DB_URL=patient.stack.settings.direct_url)
    patient.plant(f"grant {role} to message_persistence")
    well = await patient.doctor(SUPABASE_DB_URL=patient.stack.settings.direct_url)
    assert [said.code, well.code] == [3, 0]
    assert said.err == (
        "the store that SUPABASE_DB_URL names can't be reached:"
        f' permission denied to set role "{role}"\n'
    )


async def test_a_missing_setting_is_one_line_and_code_2(tmp_path: Path) -> None:
    """It names the setting."""
    said = await run_doctor(SUPABASE_URL="http://127.0.0.1:1", SUPABASE_SECRET_KEY="sb_secret_x")
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "SUPABASE_PUBLISHABLE_KEY is missing" in said.err


@pytest.fixture
async def proxy(patients_stack: Stack) -> AsyncIterator[Proxy]:
    """A proxy in front of the stack, that counts the calls."""
    async with proxy_to(patients_stack.settings.url) as running:
        yield running


async def deep_health(patient: Patient, proxy: Proxy) -> httpx.Response:
    settings = settings_for(patient.stack, supabase_url=proxy.url)
    async with bundle(settings, token=patient.owner.token) as client:
        return await client.get("/health", params={"deep": "1"})


async def test_deep_health_counts_what_is_broken_and_stays_well(
    patient: Patient, proxy: Proxy
) -> None:
    """Two calls, the usual fields, and each check's count; a shallow one has none of it."""
    patient.plant(
        "update conversations set last_seq = 9 where id = %(conversation)s",
        "update turns set status = 'running', finished_at = null,"
        " lease_expires_at = now() - interval '1 hour' where id = %(second)s",
    )
    deep = await deep_health(patient, proxy)
    body = deep.json()
    assert deep.status_code == 200
    assert (body["status"], body["store"]) == ("ok", "ok")
    assert set(body["invariants"]) == CHECKS
    counted = {name: count for name, count in body["invariants"].items() if count}
    assert counted == {"last_seq_wrong": 1, "turn_without_worker": 1}
    assert proxy.rpc_calls == ["ping", "check_invariants"]
    assert (await patient.owner.functions.get("/health")).json() == {"status": "ok"}


async def test_deep_health_is_well_where_the_check_fails(patient: Patient, proxy: Proxy) -> None:
    """The metric is left out; whether the store answers is the ping's to say."""
    proxy.on("check_invariants", refuses)
    deep = await deep_health(patient, proxy)
    assert (deep.status_code, deep.json()) == (200, {"status": "ok", "store": "ok"})


async def test_a_bounded_check_looks_at_what_was_written_since(patient: Patient) -> None:
    """Old damage is the full check's to find; a lost worker is found however old its turn is."""
    patient.plant(
        "update messages set created_at = created_at - interval '1 day'",
        "update conversations set last_seq = 9",
    )
    now = "select now() - interval '1 hour'"
    since = patient.db.execute(now).fetchone()
    assert since is not None
    assert patient.broken(since=since[0]) == {}
    assert patient.broken() == {"last_seq_wrong": 2}
    patient.plant(
        "update turns set status = 'running', finished_at = null,"
        " lease_expires_at = now() - interval '1 hour' where id = %(second)s"
    )
    assert patient.broken(since=since[0]) == {"last_seq_wrong": 1, "turn_without_worker": 1}


async def test_a_bounded_check_stops_at_a_hundred_conversations(patient: Patient) -> None:
    """However many were written to, so that its cost has an end."""
    patient.plant(
        "insert into conversations (id, user_id, last_seq) select gen_random_uuid(),"
        " %(other)s, 9 from generate_series(1, 150)",
        "insert into messages (conversation_id, user_id, role, content, seq, created_at)"
        " select id, user_id, 'user', 'x', 1, now() + interval '1 minute' from conversations"
        " where last_seq = 9",
    )
    assert patient.broken(since="-infinity") == {"last_seq_wrong": 100}
    assert patient.broken() == {"last_seq_wrong": 150, "watermark_too_high": 150}
