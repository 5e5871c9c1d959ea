"""A chat in FastAPI: a pydantic-ai agent answers, message_persistence stores.

CHAT_MODEL names the model. SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY and SUPABASE_SECRET_KEY are the
project's, which has the schema.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse, StreamingResponse
from message_persistence import (
    AppError,
    EngineRequest,
    MessagePersistence,
    TurnEvent,
    Usage,
)
from message_persistence.ai.model.messages import as_messages
from pydantic import BaseModel
from pydantic_ai import Agent

agent = Agent(os.environ["CHAT_MODEL"], instructions="Answer in one sentence.")
chat = MessagePersistence()
auth = httpx.AsyncClient(
    base_url=f"{os.environ['SUPABASE_URL']}/auth/v1",
    headers={"apikey": os.environ["SUPABASE_PUBLISHABLE_KEY"]},
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Let turns that are still written end before the process does."""
    async with chat, auth:
        yield


app = FastAPI(lifespan=lifespan)


async def signed_in_user(authorization: Annotated[str, Header()]) -> str:
    """Return the user of an access token: the library trusts whom it is given."""
    answer = await auth.get("/user", headers={"authorization": authorization})
    if answer.status_code != httpx.codes.OK:
        raise HTTPException(401)
    user_id: str = answer.json()["id"]
    return user_id


class Question(BaseModel):
    """What the user says, and in which conversation."""

    text: str
    conversation_id: str | None = None


async def answer(asked: EngineRequest) -> AsyncIterator[str | Usage]:
    """Ask the agent, with what was said before."""
    async with agent.run_stream(asked.text, message_history=as_messages(asked.history)) as run:
        async for piece in run.stream_text(delta=True):
            yield piece
    usage = run.usage
    yield Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)


@app.post("/chat")
async def ask(
    question: Question,
    user_id: Annotated[str, Depends(signed_in_user)],
    idempotency_key: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Stream the turn. It goes on to its end also if the client goes away."""
    events = await chat.stream(
        answer,
        question.text,
        user_id=user_id,
        conversation_id=question.conversation_id,
        key=idempotency_key,
    )
    return StreamingResponse(as_lines(events), media_type="text/event-stream")


@app.get("/chat/{conversation_id}")
async def load(
    conversation_id: str, user_id: Annotated[str, Depends(signed_in_user)]
) -> list[dict[str, Any]]:
    """Return the newest messages, oldest first."""
    page = await chat.load(user_id, conversation_id)
    return [message.model_dump(mode="json") for message in page.messages]


@app.exception_handler(AppError)
async def refuse(_: object, error: AppError) -> JSONResponse:
    """Answer what the store refuses, such as a conversation that is someone else's."""
    return JSONResponse(error.body(), error.status, headers=error.headers())


async def as_lines(events: AsyncIterator[TurnEvent]) -> AsyncIterator[str]:
    """Write events as a stream of server-sent ones."""
    async for event in events:
        yield f"event: {event.name}\ndata: {json.dumps(event.data)}\n\n"
