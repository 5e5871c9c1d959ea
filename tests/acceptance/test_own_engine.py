"""An AI of somebody's own inside the service, as docs/engine.md has it."""

import re
from pathlib import Path

import httpx
import psycopg
import pytest

from functions.app import create_app
from local.settings import ROOT
from local.stack import Stack
from shared.ai.agents import load_engine
from tests.support.bundle import settings_for
from tests.support.fake_provider import running_provider, streaming
from tests.support.process import functions_process
from tests.support.users import User

PAGE = ROOT / "docs" / "engine.md"


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """A folder with the page's agent in a module."""
    agent, *_ = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "my_agent.py").write_text(agent)
    return tmp_path


async def test_the_documents_agent_answers_in_a_process(
    stack: Stack, user: User, agents: Path, db: psycopg.Connection
) -> None:
    """MEGA_MIND_ENGINE: it knows who asks, and what it gives is stored."""
    settings = {"MEGA_MIND_ENGINE": "my_agent:agent", "PYTHONPATH": f"{ROOT}:{agents}"}
    body = {"request": "Hello", "metadata": {"channel": "web"}}
    async with (
        functions_process(stack, agents, **settings) as process,
        process.client(user.token) as client,
    ):
        answer = (await client.post("/mega-mind", json=body)).json()
        again = {"request": "More", "conversationId": answer["conversationId"]}
        more = (await client.post("/mega-mind", json=again)).json()
    assert answer["success"] is True
    assert answer["message"]["content"] == f"You are {user.id}, and said 0 things before: Hello"
    assert more["message"]["content"].endswith("said 2 things before: More")
    metadata = answer["message"]["metadata"]
    assert (metadata["engine"], metadata["channel"]) == ("my_agent:agent", "web")
    assert metadata["usage"]["output_tokens"] == 5
    tokens = db.execute("select tokens from turns where user_id = %s", (user.id,)).fetchall()
    assert tokens == [(17,), (17,)]


@pytest.mark.promise("documentation", red="a name that the agent isn't given")
async def test_the_readmes_agent_answers_with_a_provider(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """By the provider's own client, with what was said before."""
    page = (ROOT / "README.md").read_text()
    agent, *_ = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "my_agent.py").write_text(agent)
    with running_provider() as provider:
        provider.answer = streaming("Hello, ", "you.")
        settings = {
            "MEGA_MIND_ENGINE": "my_agent:agent",
            "PYTHONPATH": f"{ROOT}:{tmp_path}",
            "OPENAI_BASE_URL": provider.base_url,
            "OPENAI_API_KEY": "unused",
        }
        async with (
            functions_process(stack, tmp_path, **settings) as process,
            process.client(user.token) as client,
        ):
            answer = (await client.post("/mega-mind", json={"request": "Hi"})).json()
            again = {"request": "More", "conversationId": answer["conversationId"]}
            more = (await client.post("/mega-mind", json=again)).json()
    assert answer["message"]["content"] == "Hello, you."
    assert more["success"] is True
    assert [said["content"] for said in provider.asked[-1]["messages"]] == [
        "Hi", "Hello, you.", "More",
    ]  # fmt: skip


async def test_an_application_is_made_with_an_agent(
    stack: Stack, user: User, agents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """create_app(agent=...), also for one that stores nothing."""
    monkeypatch.syspath_prepend(str(agents))
    agent = load_engine("my_agent:agent")
    app = create_app(settings=settings_for(stack), agent=agent)
    headers = {"authorization": f"Bearer {user.token}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://bundle", headers=headers
        ) as client,
    ):
        body = {"request": "Hello", "persistMessages": False}
        answer = await client.post("/functions/v1/mega-mind", json=body)
    assert answer.json()["message"]["content"].startswith(f"You are {user.id}")


def test_what_is_no_agent_is_refused_when_the_application_is_made() -> None:
    """Not when it is first asked."""
    with pytest.raises(ValueError, match="is no agent"):
        create_app(agent=3)  # type: ignore[arg-type]
