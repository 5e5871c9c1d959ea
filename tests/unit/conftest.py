"""What holds for every unit test: the network's edge is httpx's own, where respx replaces it."""

from typing import Any

import httpx
import hypothesis
import pytest

from shared.persistence import http_pool

# No example is measured by the clock: on a busy machine any may take long.
hypothesis.settings.register_profile("unit", deadline=None)
hypothesis.settings.load_profile("unit")


@pytest.fixture(autouse=True)
def _httpx_sends_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def transport(**_: Any) -> httpx.AsyncBaseTransport:
        return httpx.AsyncHTTPTransport()

    monkeypatch.setattr(http_pool, "AiohttpTransport", transport)
