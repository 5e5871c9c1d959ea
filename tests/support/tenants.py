"""For permission tests: an owner with one of everything, another user, the service.

Every call goes over the real Data API, with the headers a client of that kind sends.
"""

import uuid
from dataclasses import dataclass
from typing import Any

import httpx

from local.stack import Stack
from tests.support.users import User, make_user

ACTORS = ("anon", "owner", "other", "service")
SECRET_TEXT = "canary-of-the-owner"


@dataclass
class Tenants:
    """Who there is, and the ids of what the owner has."""

    http: httpx.AsyncClient
    headers: dict[str, dict[str, str]]
    owner: User
    other: User
    conversation: str
    message: str
    free_message: str
    turn: str
    turn_key: str
    import_id: str

    async def call(
        self, actor: str, method: str, path: str, *, json: Any = None, prefer: str = ""
    ) -> httpx.Response:
        """Send one request to the Data API as this actor."""
        headers = self.headers[actor] | {"prefer": f"return=representation,{prefer}".strip(",")}
        return await self.http.request(method, f"/rest/v1/{path}", json=json, headers=headers)

    def id_of(self, actor: str) -> str:
        """Return the user that an actor names: the other one themselves, the rest the owner."""
        return self.other.id if actor == "other" else self.owner.id

    async def rpc(self, actor: str, function: str, arguments: dict[str, Any]) -> httpx.Response:
        """Call a SQL function as this actor."""
        return await self.call(actor, "POST", f"rpc/{function}", json=arguments)

    def turn_arguments(self, **changed: Any) -> dict[str, Any]:
        """Return arguments of begin_turn for a new conversation of the owner's."""
        return {
            "user_id": self.owner.id,
            "idempotency_key": uuid.uuid4().hex,
            "request_hash": "hash",
            "request": SECRET_TEXT,
            "message_id": str(uuid.uuid4()),
        } | changed

    async def aclose(self) -> None:
        """Close every client."""
        for client in (self.http, self.owner.functions, self.other.functions):
            await client.aclose()


async def make_tenants(stack: Stack) -> Tenants:
    """Sign two users up; give the first a conversation, a running turn and a message beside it.

    The turn makes a reply once more, and that message is entered as a summary, so that there is
    a row in every table.
    """
    environment = stack.settings.environment()
    owner, other = await make_user(stack), await make_user(stack)
    publishable = {"apikey": environment["SUPABASE_PUBLISHABLE_KEY"]}
    tenants = Tenants(
        http=httpx.AsyncClient(base_url=environment["SUPABASE_URL"], timeout=30),
        headers={
            "anon": publishable,
            "owner": publishable | {"authorization": f"Bearer {owner.token}"},
            "other": publishable | {"authorization": f"Bearer {other.token}"},
            "service": {"apikey": environment["SUPABASE_SECRET_KEY"]},
        },
        owner=owner,
        other=other,
        conversation="",
        message="",
        free_message="",
        turn="",
        turn_key="",
        import_id=str(uuid.uuid4()),
    )
    first = (await tenants.rpc("service", "begin_turn", tenants.turn_arguments())).json()
    tenants.conversation = first["conversation"]["id"]
    tenants.message = first["user_message"]["id"]
    tenants.turn_key = first["turn"]["idempotency_key"]
    done = {
        "user_id": owner.id, "turn_id": first["turn"]["id"], "attempt": 1,
        "message_id": str(uuid.uuid4()), "status": "completed", "content": SECRET_TEXT,
    }  # fmt: skip
    await tenants.rpc("service", "complete_turn", done)
    again = tenants.turn_arguments(
        conversation_id=tenants.conversation, regenerates=tenants.message, request=""
    )
    begun = (await tenants.rpc("service", "begin_turn", again)).json()
    tenants.turn = begun["turn"]["id"]
    row = {"conversation_id": tenants.conversation, "role": "user", "content": SECRET_TEXT}
    tenants.free_message = (await tenants.call("owner", "POST", "messages", json=row)).json()[0][
        "id"
    ]
    part = {"import_id": tenants.import_id, "part": 0, "user_id": owner.id, "pieces": []}
    await tenants.rpc("service", "take_import_part", part)
    summary = {
        "id": tenants.free_message,
        "conversation_id": tenants.conversation,
        "user_id": owner.id,
        "through_message_id": tenants.message,
    }
    await tenants.call("service", "POST", "summaries", json=summary)
    return tenants


def outcome(answer: httpx.Response) -> str:
    """Put an answer of the Data API in a word: done, none, missing, why not, or its code."""
    body = answer.json() if answer.content else None
    if answer.is_success:
        return "none" if body == [] else "done"
    code = body.get("code") if isinstance(body, dict) else None
    if code == "42501" and answer.status_code in {401, 403}:
        return "denied"
    if code == "PT403" and answer.status_code == 403:
        return "forbidden"
    if code == "23503" and answer.status_code == 409:
        return "refused"
    return "missing" if code == "PT404" and answer.status_code == 404 else f"failed with {code}"
