"""The fingerprint of a request: the same for what means the same, and for nothing else."""

import uuid
from typing import Any

import pytest

from shared.auth.caller import Caller
from shared.models.turns import MegaMindRequest
from shared.turns.request import TurnRequest

CONVERSATION = "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11"


def fingerprint(key: str = "k", user_id: uuid.UUID | None = None, **body: Any) -> str | None:
    """Return the hash of a request with this body."""
    request = MegaMindRequest.model_validate({"request": "Hello", **body})
    user_id = user_id or uuid.uuid4()
    return TurnRequest(user_id, key, request, Caller(user_id, token="t")).fingerprint()


def regenerated(message_id: str) -> str | None:
    """Return the hash of a request that names a message and says nothing."""
    body = {"conversationId": CONVERSATION, "regenerates": message_id}
    request = MegaMindRequest.model_validate(body)
    return TurnRequest(uuid.uuid4(), "k", request, Caller(uuid.uuid4(), token="t")).fingerprint()


@pytest.mark.parametrize(
    "body",
    [
        {"conversationId": None, "projectId": None, "userId": None},
        {"persistMessages": True, "metadata": {}},
        {"userId": CONVERSATION},
    ],
)
def test_what_means_the_same_has_the_same_fingerprint(body: dict[str, Any]) -> None:
    """Defaults written out, and the user, whose key it is anyway."""
    assert fingerprint(**body) == fingerprint()


def test_neither_the_order_nor_the_spelling_of_json_counts() -> None:
    """Metadata as an object, ids in either case."""
    assert fingerprint(metadata={"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint(
        metadata={"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert fingerprint(conversationId=CONVERSATION) == fingerprint(
        conversationId=CONVERSATION.upper()
    )


def test_everything_that_changes_the_turn_changes_the_fingerprint() -> None:
    """Text to the last blank, place, project, metadata, persistence, what is edited."""
    others = [
        fingerprint(),
        fingerprint(request="hello"),
        fingerprint(request="Hello "),
        fingerprint(request="Hello\u0301"),
        fingerprint(conversationId=CONVERSATION),
        fingerprint(projectId=CONVERSATION),
        fingerprint(metadata={"a": 1}),
        fingerprint(metadata={"a": "1"}),
        fingerprint(metadata={"a": [1]}),
        fingerprint(metadata={"a": None}),
        fingerprint(persistMessages=False),
        fingerprint(conversationId=CONVERSATION, edits=CONVERSATION),
        fingerprint(conversationId=CONVERSATION, edits=CONVERSATION.replace("6", "7")),
        regenerated(CONVERSATION),
        regenerated(CONVERSATION.replace("6", "7")),
    ]
    assert len(set(others)) == len(others)


def test_the_fingerprint_is_the_same_in_every_process_and_release() -> None:
    """It is stored, so a retry may meet one that an older process wrote."""
    assert fingerprint(metadata={"é": "🎉"}) == (
        "2efe5a831f92626c962c52ee2305479c885801b135e8b257cb4f632f23bfd334"
    )
