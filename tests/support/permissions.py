"""Who may do what over the Data API: the answer to each actor, command, table and function.

test_permission_rows.py finds what has no row here, test_permission_matrix.py asks for each answer.
"""

import uuid
from collections.abc import Callable
from typing import Any

from tests.support.tenants import SECRET_TEXT, Tenants

COMMANDS = ("select", "insert", "update", "delete")

# done: it happened. none: an empty answer, as if there were no such row. denied: refused.
TABLES = {
    # table: actor: select, insert, update, delete
    "conversations": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("done", "done", "done", "done"),
        "other": ("none", "denied", "none", "none"),
        "service": ("done", "done", "done", "done"),
    },
    "messages": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("done", "done", "denied", "denied"),
        "other": ("none", "denied", "denied", "denied"),
        "service": ("done", "done", "denied", "denied"),
    },
    "turns": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("done", "denied", "denied", "denied"),
        "other": ("none", "denied", "denied", "denied"),
        "service": ("done", "done", "done", "denied"),
    },
    "summaries": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("done", "denied", "denied", "denied"),
        "other": ("none", "denied", "denied", "denied"),
        "service": ("done", "done", "denied", "denied"),
    },
    "branches": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("done", "denied", "denied", "denied"),
        "other": ("none", "denied", "denied", "denied"),
        "service": ("done", "denied", "denied", "denied"),
    },
}

# What each of the four commands is tried with: the owner's row, a new one of theirs, a change.
ROW_OF: dict[str, Callable[[Tenants], str]] = {
    "conversations": lambda tenants: tenants.conversation,
    "messages": lambda tenants: tenants.message,
    "turns": lambda tenants: tenants.turn,
    "summaries": lambda tenants: tenants.free_message,
    "branches": lambda tenants: tenants.conversation,
}


def row_of(table: str, tenants: Tenants) -> str:
    """Return the filter for the owner's row of a table."""
    column = "conversation_id" if table == "branches" else "id"
    return f"{column}=eq.{ROW_OF[table](tenants)}"


NEW_ROW: dict[str, Callable[[Tenants], dict[str, Any]]] = {
    "conversations": lambda tenants: {"user_id": tenants.owner.id, "title": "New"},
    "messages": lambda tenants: {
        "conversation_id": tenants.conversation,
        "user_id": tenants.owner.id,
        "role": "user",
        "content": "New",
    },
    "turns": lambda tenants: {
        "conversation_id": tenants.conversation,
        "user_id": tenants.owner.id,
        "idempotency_key": uuid.uuid4().hex,
        "request_hash": "hash",
        "status": "completed",
        "lease_expires_at": "2026-11-01T00:00:00+00:00",
        "finished_at": "2026-11-01T00:00:00+00:00",
    },
    "summaries": lambda tenants: {
        "id": tenants.message,
        "conversation_id": tenants.conversation,
        "user_id": tenants.owner.id,
        "through_message_id": tenants.free_message,
    },
    "branches": lambda tenants: {
        "user_id": tenants.owner.id,
        "conversation_id": tenants.conversation,
        "branch": 9,
        "parent": 0,
        "fork_seq": 0,
        "first_seq": 9,
    },
}
CHANGE: dict[str, dict[str, Any]] = {
    "conversations": {"title": "Changed"},
    "messages": {"content": "Changed"},
    "turns": {"draft": "Changed"},
    "summaries": {"created_at": "2026-11-01T00:00:00+00:00"},
    "branches": {"created_at": "2026-11-01T00:00:00+00:00"},
}

# Columns that a signed-in user may write; every other one is refused.
WRITABLE = {
    ("conversations", "insert"): {"user_id", "project_id", "title", "metadata"},
    ("conversations", "update"): {"project_id", "title", "metadata", "archived_at"},
    ("messages", "insert"): {"conversation_id", "user_id", "role", "content", "metadata"},
    ("messages", "update"): set(),
    ("turns", "insert"): set(),
    ("turns", "update"): set(),
    ("summaries", "insert"): set(),
    ("summaries", "update"): set(),
    ("branches", "insert"): set(),
    ("branches", "update"): set(),
}

BACKEND = {"anon": "denied", "owner": "denied", "other": "denied", "service": "done"}
OF_THE_OWNER = {"anon": "denied", "owner": "done", "other": "missing", "service": "done"}
OF_ANY_USER = {"anon": "denied", "owner": "done", "other": "done", "service": "done"}

FUNCTIONS = {
    "begin_turn": BACKEND,
    "cancel_turn": BACKEND,
    "export_conversations": OF_ANY_USER,
    "export_messages": OF_THE_OWNER,
    "plan_export": OF_ANY_USER,
    "take_import_part": BACKEND,
    "append_messages": BACKEND,
    "take_back_message": BACKEND,
    "check_invariants": BACKEND,
    "complete_turn": BACKEND,
    "extend_turns": BACKEND,
    "ping": BACKEND,
    "repair_invariants": BACKEND,
    "add_tokens": BACKEND,
    "count_unstored_turn": BACKEND,
    "set_limits": BACKEND,
    "settle_expired_turn": BACKEND,
    "list_expired_turns": BACKEND,
    "list_removals": BACKEND,
    "list_users_due_for_retention": BACKEND,
    "check_platform": BACKEND,
    "continue_removal": BACKEND,
    "project_usage": BACKEND,
    "create_conversation": OF_ANY_USER | {"service": "denied"},
    "list_conversations": OF_ANY_USER,
    "index_messages": BACKEND,
    "list_users_to_index": BACKEND,
    "search_messages": OF_ANY_USER | {"service": "denied"},  # of one's own
    "load_turn": OF_THE_OWNER,
    "find_turn": OF_THE_OWNER,
    "follow_turn": BACKEND,
    "load_history": OF_THE_OWNER,
    "load_unsummarised": BACKEND,
    "write_summary": BACKEND,
    "delete_conversation": OF_THE_OWNER,
    "get_conversation": OF_THE_OWNER,
    "load_conversation": OF_THE_OWNER,
    "update_conversation": OF_THE_OWNER,
    "conversation_analytics": OF_ANY_USER,  # what a caller can't see is not counted
    "apply_retention": BACKEND,
    "delete_retention_policy": BACKEND | {"service": "missing"},
    "erase_account": BACKEND,
    "list_legal_holds": BACKEND,
    "list_retention_policies": BACKEND,
    "place_legal_hold": BACKEND,
    "release_legal_hold": BACKEND | {"service": "missing"},
    "set_retention_policy": BACKEND,
}

# The role that a call by each actor runs as; both of the users are `authenticated`.
ROLES = {"anon": "anon", "authenticated": "owner", "service_role": "service"}

# What no API serves, and what a role may do there all the same, because functions that run as their
# caller do it for them: with what they are given, and with what is the caller's own.
PRIVATE_FUNCTIONS = {
    "anon": set(),
    "authenticated": {
        "are_parts",
        "being_deleted",
        "bytes_beside_text",
        "choose_branch",
        "cut_snippet",
        "describe_rows",
        "describe_turn",
        "branches_of",
        "exported_page",
        "find_conversation",
        "find_place",
        "find_messages",
        "find_siblings",
        "ignored_characters",
        "fold_text",
        "length_of",
        "measure_conversations",
        "measure_messages",
        "message_of_turn",
        "part_of",
        "path_along",
        "path_end",
        "path_to",
        "new_id",
        "newest_summary",
        "parts_of_draft",
        "read_history",
        "remove_step",
        "require_self",
        "turn_figures",
    },
    "service_role": {
        "add_message",
        "are_parts",
        "being_deleted",
        "broadcast",
        "bytes_beside_text",
        "choose_branch",
        "describe_rows",
        "describe_turn",
        "end_imports",
        "branches_of",
        "exported_page",
        "find_conversation",
        "find_answered",
        "find_forked",
        "find_siblings",
        "fork_conversation",
        "interrupt_turn",
        "is_held",
        "length_of",
        "measure_conversations",
        "measure_messages",
        "message_of_turn",
        "part_of",
        "path_along",
        "path_end",
        "path_to",
        "draft_version",
        "extend_turn",
        "merge_draft_parts",
        "new_id",
        "newest_summary",
        "parts_of_draft",
        "read_history",
        "remove_step",
        "require_self",
        "turn_figures",
        "require_turns_left",
        "resume_turn",
        "retention_action",
        "retention_bound",
        "title_from_request",
    },
}
PRIVATE_TABLES = {
    ("service_role", table, command)
    for table, commands in {
        "erasure_receipts": ("select", "insert", "update"),
        "import_parts": ("select", "delete"),
        "legal_holds": ("select", "insert", "update"),
        "limits": ("select", "insert", "update"),
        "retention_policies": ("select", "insert", "update", "delete"),
        "turn_usage": ("select",),
    }.items()
    for command in commands
} | {
    # The view that leaves out what is being deleted, through the policies of its table.
    (role, "conversations", command)
    for role in ("authenticated", "service_role")
    for command in ("select", "update")
}


Arguments = Callable[[Tenants, str], dict[str, Any]]


def about(**more: Any) -> Arguments:
    """Name the user, and this."""
    return lambda tenants, user_id: {"user_id": user_id, **more}


def about_the_chat(**more: Any) -> Arguments:
    """Name the user and the owner's conversation, and this."""
    return lambda tenants, user_id: {
        "user_id": user_id, "conversation_id": tenants.conversation, **more,
    }  # fmt: skip


# What each is called with: ids of the owner's rows, under the user that is named.
NOVEMBER = {"starts_at": "2026-11-01T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z"}
ARGUMENTS: dict[str, Arguments] = {
    "add_tokens": lambda tenants, user_id: {
        "user_id": user_id, "turn_id": tenants.turn, "tokens": 1,
    },
    "apply_retention": about(dry_run=False),
    "begin_turn": lambda tenants, user_id: tenants.turn_arguments(user_id=user_id),
    "cancel_turn": lambda tenants, user_id: {"user_id": user_id, "turn_id": tenants.turn},
    # On a stack that others use: nothing there is old enough to be found.
    "check_invariants": lambda tenants, user_id: {"grace_seconds": 1_000_000},
    "append_messages": lambda tenants, user_id: {
        "user_id": user_id, "conversation_id": tenants.conversation, "messages": "[]",
    },
    "take_back_message": lambda tenants, user_id: {
        "user_id": user_id, "conversation_id": tenants.conversation,
        "message_id": str(uuid.uuid4()),
    },
    "check_platform": lambda tenants, user_id: {},
    "complete_turn": lambda tenants, user_id: {
        "user_id": user_id, "turn_id": tenants.turn, "attempt": 1,
        "message_id": str(uuid.uuid4()), "status": "completed", "content": "Done.",
    },
    "continue_removal": about(),
    "conversation_analytics": about(**NOVEMBER, bounds=[*NOVEMBER.values()]),
    "count_unstored_turn": about(
        turns_per_minute=100, turns_per_day=100, tokens_per_day=100_000
    ),
    "create_conversation": about(title="Mine"),
    "delete_conversation": about_the_chat(),
    "delete_retention_policy": lambda tenants, user_id: {"policy_id": tenants.message},
    "erase_account": about(idempotency_key="key"),
    "export_conversations": about(),
    "export_messages": about_the_chat(),
    "extend_turns": lambda tenants, user_id: {
        "extensions": [{"user_id": user_id, "turn_id": tenants.turn, "attempt": 1,
                        "draft_offset": 0, "draft_tail": ""}],
        "lease_seconds": 60,
    },
    "get_conversation": about_the_chat(),
    "index_messages": about(most=0),
    "list_conversations": about(),
    "list_expired_turns": lambda tenants, user_id: {"most": 0},
    "list_legal_holds": about(),
    "list_removals": lambda tenants, user_id: {"most": 0},
    "list_retention_policies": about(),
    "list_users_due_for_retention": lambda tenants, user_id: {"most": 0},
    "list_users_to_index": lambda tenants, user_id: {"most": 0},
    "load_conversation": about_the_chat(),
    "load_history": about_the_chat(),
    "load_turn": lambda tenants, user_id: {"user_id": user_id, "turn_id": tenants.turn},
    "find_turn": lambda tenants, user_id: {
        "user_id": user_id, "idempotency_keys": [tenants.turn_key],
    },
    "load_unsummarised": about_the_chat(history_tokens=100),
    "plan_export": about(),
    "ping": lambda tenants, user_id: {},
    "place_legal_hold": about(reason="case"),
    "project_usage": lambda tenants, user_id: NOVEMBER | {"most": 0},
    "release_legal_hold": lambda tenants, user_id: {"user_id": user_id, "hold_id": tenants.message},
    "repair_invariants": about(broken=[]),
    "search_messages": about(q=SECRET_TEXT),
    "set_limits": lambda tenants, user_id: {},
    "set_retention_policy": about(archive_after_days=30),
    "settle_expired_turn": about_the_chat(),
    "take_import_part": lambda tenants, user_id: {
        "user_id": user_id, "import_id": tenants.import_id, "part": 0,
    },
    "update_conversation": about_the_chat(title="Changed"),
    "follow_turn": lambda tenants, user_id: {
        "user_id": user_id, "turn_id": tenants.turn, "attempt": 1, "draft_offset": 0,
    },
    "write_summary": lambda tenants, user_id: {
        "user_id": user_id, "conversation_id": tenants.conversation,
        "message_id": str(uuid.uuid4()), "covers_to": 1, "content": "So far.",
    },
}  # fmt: skip

# A value of its type for each column, to be refused for the column alone.
SAMPLES: dict[str, Any] = {
    "uuid": "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11",
    "text": "user",
    "jsonb": {},
    "boolean": False,
    "bigint": 1,
    "integer": 1,
    "timestamp with time zone": "2026-11-01T00:00:00+00:00",
}

EMBEDS = [
    "conversations?select=*,messages(*)",
    "conversations?select=*,turns(*)",
    # Named, because the local Data API also sees a way over turns.
    "messages?select=*,conversations!messages_user_id_conversation_id_fkey(*)",
    "turns?select=*,conversations(*)",
]
