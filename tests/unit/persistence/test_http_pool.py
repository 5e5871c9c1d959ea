"""The pool that all calls over HTTP share."""

import respx

from shared.persistence.http_pool import create_pool
from tests.support.unit_settings import URL, unit_settings


async def test_a_cookie_of_one_answer_is_not_sent_with_the_next_call() -> None:
    """A gateway's cookie for one user would go with the next user's token."""
    async with create_pool(unit_settings()) as pool:
        with respx.mock:
            route = respx.get(URL).respond(headers={"set-cookie": "user=1"})
            for _ in range(2):
                await pool.get(URL)
    assert "cookie" not in route.calls.last.request.headers
