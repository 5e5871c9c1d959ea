"""Which requests are let in where only forwarders may call."""

import time
from collections.abc import Sequence

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shared.http.signed_forwarding import (
    SIGNATURE,
    WINDOW_SECONDS,
    ForwardedOnly,
    message_to_sign,
    signature,
)

pytestmark = pytest.mark.promise(
    "forwarders",
    red="an unsigned request let in; a window of ten minutes; the path not signed",
)

OLD, NEW, UNKNOWN = (SecretStr(name * 8) for name in ("old-", "new-", "none"))
NOW = 1_800_000_000
TOKEN = "Bearer a.b.c"


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW + 0.5)


def signed(
    *,
    secret: SecretStr = NEW,
    at: int = NOW,
    method: str = "GET",
    target: str = "/x?a=%20",
    token: str = TOKEN,
) -> dict[str, str]:
    """Return the headers of a signed request."""
    message = message_to_sign(str(at), method, target.encode(), [token, ""])
    return {"authorization": token, SIGNATURE: f"t={at},v1={signature(secret, message)}"}


async def status_of(
    headers: dict[str, str] | list[tuple[str, str]],
    *,
    target: str = "/functions/v1/x?a=%20",
    method: str = "GET",
    secrets: Sequence[SecretStr] = (NEW, OLD),
) -> int:
    """Send a request to a guarded application that would answer anything."""

    async def answer(_: Request) -> Response:
        return PlainTextResponse("in")

    inner = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    app = ForwardedOnly(inner, prefix="/functions/v1", secrets=lambda: secrets)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        answered = await client.request(method, target, headers=headers)
    if answered.status_code == 403:
        assert answered.json()["code"] == "forbidden"
    return answered.status_code


async def test_a_signed_request_is_let_in_with_the_prefix_or_without() -> None:
    """Gateways strip it differently."""
    assert await status_of(signed()) == 200
    assert await status_of(signed(), target="/x?a=%20") == 200


async def test_each_of_several_secrets_opens_until_it_is_removed() -> None:
    """While one takes the other's place."""
    assert await status_of(signed(secret=OLD)) == 200
    assert await status_of(signed(secret=OLD), secrets=[NEW]) == 403
    assert await status_of(signed(secret=UNKNOWN)) == 403


@pytest.mark.parametrize(
    ("age", "status"),
    [(0, 200), (WINDOW_SECONDS - 1, 200), (WINDOW_SECONDS, 403), (-WINDOW_SECONDS, 200),
     (-WINDOW_SECONDS - 1, 403), (NOW, 403)],
)  # fmt: skip
async def test_a_signature_can_be_replayed_for_a_minute(age: int, status: int) -> None:
    """Clocks may differ by as much in either direction."""
    assert await status_of(signed(at=NOW - age)) == status


async def test_a_signature_is_for_one_method_target_and_caller() -> None:
    """Whatever of it is changed, it is a forgery."""
    assert await status_of(signed(), method="POST") == 403
    assert await status_of(signed(), target="/functions/v1/x?a=%21") == 403
    assert await status_of(signed(), target="/functions/v1/y?a=%20") == 403
    assert await status_of(signed(), target="/functions/v1/x") == 403
    assert await status_of({**signed(), "authorization": "Bearer d.e.f"}) == 403
    assert await status_of({**signed(), "apikey": "sb_secret_x"}) == 403


@pytest.mark.parametrize(
    "header",
    ["", "v1=abc", f"t={NOW}", f"t={NOW},v1=", f"t={NOW},v1={'0' * 64}", f"t={NOW},v1={'G' * 64}",
     f"t=-1,v1={'0' * 64}", f"t={'9' * 400},v1={'0' * 64}"],
)  # fmt: skip
async def test_what_is_no_signature_is_refused(header: str) -> None:
    """Whatever it looks like."""
    assert await status_of([("authorization", TOKEN), (SIGNATURE, header)]) == 403


async def test_two_signatures_are_none() -> None:
    """Also where one of them is good."""
    good = signed()
    twice = [*good.items(), (SIGNATURE, good[SIGNATURE])]
    assert await status_of(twice) == 403


async def test_without_a_secret_everything_is_let_in() -> None:
    """A deployment that stands behind a gateway of its own, or behind none."""
    assert await status_of({}, secrets=[]) == 200


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/health", 200), ("GET", "/functions/v1/health", 200), ("GET", "/health?deep=1", 403),
     ("POST", "/health", 403), ("GET", "/health/", 403), ("GET", "/functions/v1/healthy", 403)],
)  # fmt: skip
async def test_health_is_open_as_long_as_it_costs_nothing(
    method: str, target: str, status: int
) -> None:
    """Whoever runs the process has no signature; the deep look at the store needs one."""
    assert await status_of({}, method=method, target=target) == status
