"""The OpenAPI document against the running bundle: what it promises holds, also for odd requests.

ATTACK_EXAMPLES asks for more of them than a short run has.
"""

import asyncio
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from functions.app import app
from local.stack import Stack
from shared.imports.schema import EXAMPLE as IMPORT_EXAMPLE
from tests.support.bundle import bundle, settings_for
from tests.support.stack import free_ports
from tests.support.users import User, functions_client, sign_up

JSON = "application/json"
EXAMPLES = int(os.environ.get("ATTACK_EXAMPLES", "10"))
PREFIX = "/functions/v1"
CONFORMANCE = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
WITHOUT_5XX = [check for check in CONFORMANCE if check is not not_a_server_error]
ATTACKS = [negative_data_rejection, ignored_auth, unsupported_method, allow_header_conformance]

# What a refusal of a bad request may be: a 5xx is none, and 413 and 415 are ours.
REFUSALS = ["400", "401", "403", "404", "405", "413", "415", "422"]
CONFIG = {"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}}
SHORT = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

Case: TypeAlias = schemathesis.Case[Any]


@cache
def schema() -> OpenApiSchema:
    """Return the document, read when a test needs it: each worker collects this file."""
    return schemathesis.openapi.from_dict(
        app.openapi(), config=SchemathesisConfig.from_dict(CONFIG)
    )


@dataclass(frozen=True)
class Door:
    """Where the bundle is, and who knocks."""

    url: str
    user: User

    def call(self, case: Case, *checks: Any) -> Any:
        """Send a case with a valid token, asking for JSON and never for a stream; check the answer.

        The names of the headers are spelled as the checks look for them.
        """
        headers = {"Accept": "application/json", "Authorization": f"Bearer {self.user.token}"}
        return case.call_and_validate(
            base_url=self.url, headers=headers, checks=[*CONFORMANCE, *checks], timeout=60
        )

    def ask(self, method: str, path: str, **parts: Any) -> Any:
        """Send one good request as the document describes it, with all checks; return its JSON."""
        case = schema()[PREFIX + path][method].Case(**parts)
        return self.call(case, ignored_auth).json()


def assert_declared(answer: httpx.Response, method: str, path: str) -> None:
    """Check status, media type, headers and body against the document."""
    schema()[PREFIX + path][method].Case().validate_response(answer, checks=CONFORMANCE)


@pytest.fixture(scope="module")
def door(stack: Stack) -> Iterator[Door]:
    """A user with a valid token, in front of the gateway."""
    user = asyncio.run(sign_up(stack))
    yield Door(stack.settings.url, user)
    asyncio.run(user.functions.aclose())


OPERATIONS = [
    (path, method) for path, methods in app.openapi()["paths"].items() for method in methods
]


@pytest.mark.promise("strict input", red="no `Allow` header")
@pytest.mark.promise("bad tokens")
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_no_request_breaks_what_the_document_says(path: str, method: str, door: Door) -> None:
    """Good and bad requests by the document: never a 5xx, as declared, and bad ones refused."""
    # As `schema.parametrize()` does, which makes all requests when the file is collected.
    load_all_checks()
    build_operation_test(
        config=schema().config,
        operation=schema()[path][method.upper()],
        test_func=lambda case: door.call(case, *ATTACKS),
        given_kwargs={},
        feedback=FeedbackSources(constants_value_source=None),
        explicit_settings=SHORT,
    )()


OCTOBER = {"from": "2026-10-01T00:00:00Z", "to": "2026-11-01T00:00:00Z", "bucket": "week"}


@pytest.mark.promise("bad tokens", red="a request without a token is let in")
def test_what_an_endpoint_does_for_its_owner_is_what_the_document_says(door: Door) -> None:
    """Every operation with ids that exist: its answer conforms, and a stranger doesn't get it."""
    of = {"conversation_id": ""}
    turn = door.ask("POST", "/mega-mind", body={"request": "Write a function"})
    of["conversation_id"] = turn["conversationId"]
    here = {"conversationId": turn["conversationId"]}
    title = {"title": "New", "archived": True}
    answers = [
        door.ask("POST", "/mega-mind", body={"request": "Hi", "persistMessages": False}),
        door.ask("POST", "/cancel-turn", body={"turnId": turn["turnId"]}),
        door.ask("GET", "/load-conversation", query={**here, "limit": 1, "before": 2}),
        door.ask("POST", "/load-conversation", body={**here, "around": turn["message"]["id"]}),
        door.ask("POST", "/conversations", body={"title": "Mine"}),
        door.ask("GET", "/export-conversation", query=here),
        door.ask("POST", "/export-conversation", body={**here, "format": "json"}),
        door.ask("POST", "/import-conversation", body=IMPORT_EXAMPLE, media_type=JSON),
        door.ask("POST", "/conversation-analytics", body=OCTOBER),
        door.ask("GET", "/conversation-analytics", query=OCTOBER),
        door.ask("GET", "/conversations", query={"limit": 1}),
        door.ask("GET", "/conversations/{conversation_id}", path_parameters=of),
        door.ask("PATCH", "/conversations/{conversation_id}", path_parameters=of, body=title),
        door.ask("DELETE", "/conversations/{conversation_id}", path_parameters=of),
        door.ask("GET", "/health", query={"deep": True}),
    ]
    found = [
        door.ask("GET", "/search-messages", query={"q": "function", "limit": 1}),
        door.ask("POST", "/search-messages", body={"q": "function -word", "role": "user"}),
    ]
    assert [answer["truncated"] for answer in found] == [False, False]
    assert answers[-2] == {"deleted": turn["conversationId"], "more": False}
    assert door.ask("POST", "/erase-account", body={"confirm": "erase"})["remaining"] == 0


SERVICES_OWN = {"apply-retention", "retention-policies", "legal-holds", "sweep-turns"}
SERVICES_OWN |= {"project-usage", "turns"}


async def test_every_bodys_example_runs(user: User) -> None:
    """As it stands on the page, with ids that exist; the service's own are run by their tests."""
    turn = (await user.send("Hi")).json()
    real = {name: turn[name] for name in ("conversationId", "turnId")}
    real["id"] = str(uuid.uuid4())  # of a chat: the one shown may be somebody else's by now
    document = app.openapi()
    # Last what takes the others' ground away.
    for path in sorted(document["paths"], key=lambda path: path.endswith("erase-account")):
        for method, operation in document["paths"][path].items():
            body = operation.get("requestBody", {}).get("content", {}).get(JSON)
            if body is None or path.split("/")[3] in SERVICES_OWN:
                continue
            kind = body["schema"].get("$ref", "").rsplit("/", 1)[-1]
            shown = document["components"]["schemas"].get(kind, body["schema"])
            example = (body | shown)["example"]
            if isinstance(example, dict):
                example = {name: real.get(name, value) for name, value in example.items()}
            place = path.removeprefix(PREFIX).format(conversation_id=turn["conversationId"])
            answer = await user.functions.request(method, place, json=example)
            assert answer.is_success, (path, answer.text)


def test_the_files_that_are_given_out_are_what_the_document_says(door: Door) -> None:
    """Markdown, and a zip: by both methods, with the declared types, and not for a stranger."""
    here = {
        "conversationId": door.ask("POST", "/mega-mind", body={"request": "Hi"})["conversationId"]
    }
    for method, path, parts in (
        ("GET", "/export-conversation", {"query": {**here, "format": "markdown"}}),
        ("POST", "/export-conversation", {"body": {**here, "format": "markdown"}}),
        ("GET", "/export-account", {}),
        ("POST", "/export-account", {"body": {}}),
    ):
        case = schema()[PREFIX + path][method].Case(**parts)
        assert door.call(case, ignored_auth).content


def test_the_document_that_is_served_is_the_one_that_was_tried(door: Door) -> None:
    """The running bundle gives it to anyone, under the prefix."""
    served = httpx.get(f"{door.url}{PREFIX}/openapi.json")
    assert served.json() == app.openapi()


@pytest.mark.promise("strict input")
async def test_a_query_is_text_and_is_read_as_what_it_means(user: User) -> None:
    """The same values that a body may not have as text are fine in a query."""
    own = (await user.functions.post("/conversations", json={})).json()["conversation"]["id"]
    loaded = await user.load(own, limit="50", after="0")
    listed = await user.functions.get("/conversations", params={"limit": "1", "archived": "false"})
    assert (loaded.status_code, listed.status_code) == (200, 200)


@pytest.mark.promise("store away")
async def test_a_store_that_is_away_is_answered_as_declared(stack: Stack, user: User) -> None:
    """503 with Retry-After, on every operation that asks the store."""
    nowhere = f"http://127.0.0.1:{free_ports(1)[0]}"
    settings = settings_for(stack, supabase_url=nowhere, store_timeout=0.5)
    some, body = str(uuid.uuid4()), {"request": "x"}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/mega-mind", {"json": body}),
        ("GET", "/load-conversation", {"params": {"conversationId": some}}),
        ("GET", "/conversations", {}),
        ("POST", "/conversations", {"json": {}}),
        ("GET", "/export-conversation", {"params": {"conversationId": some}}),
        ("GET", "/export-account", {}),
        ("POST", "/import-conversation", {"json": IMPORT_EXAMPLE}),
        ("GET", "/search-messages", {"params": {"q": "x"}}),
        ("GET", "/health", {"params": {"deep": "1"}}),
    ]
    async with bundle(settings, token=user.token) as client:
        for method, path, parts in calls:
            answer = await client.request(method, path, **parts)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            schema()[PREFIX + path][method].Case().validate_response(answer, checks=WITHOUT_5XX)
        assert (await client.get("/health")).json() == {"status": "ok"}


def test_negative_control_an_answer_that_is_not_declared_is_noticed() -> None:
    """An error in another shape, one without its request id, and a redirect do not pass."""
    good, known = {"code": "x", "message": "x"}, {"x-request-id": "1"}

    def answer(status: int, body: dict[str, str], headers: dict[str, str]) -> httpx.Response:
        typed = {"content-type": "application/json", **headers}
        unread = httpx.ByteStream(json.dumps(body).encode())
        made = httpx.Response(status, stream=unread, headers=typed)
        with httpx.Client(transport=httpx.MockTransport(lambda _: made)) as client:
            return client.post(f"http://bundle{PREFIX}/mega-mind")

    assert_declared(answer(404, good, known), "POST", "/mega-mind")
    for bad in (
        answer(404, {"detail": "x"}, known),
        answer(404, good, {}),
        answer(302, good, known),
        answer(503, good, known),
    ):
        with pytest.raises(FailureGroup):
            assert_declared(bad, "POST", "/mega-mind")


@pytest.mark.promise("bad tokens")
async def test_the_document_names_no_open_door(stack: Stack) -> None:
    """Whatever it doesn't call open asks for a token; only health is open."""
    paths = app.openapi()["paths"]
    is_open = {
        (path, method) for path, method in OPERATIONS if "security" not in paths[path][method]
    }
    assert is_open == {(f"{PREFIX}/health", "get")}
    async with functions_client(stack.settings.url) as stranger:
        for path, method in set(OPERATIONS) - is_open:
            place = path.removeprefix(PREFIX).replace("{conversation_id}", str(uuid.uuid4()))
            assert (await stranger.request(method, place)).status_code == 401
