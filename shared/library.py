"""The store in somebody's own Python: turns that their AI writes, in their process.

Whoever holds this acts as the service: it says whose data each call is about.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Required, Self, TypedDict, Unpack
from uuid import UUID, uuid4

from .ai import within_limits
from .ai.agents import as_engine
from .auth.caller import SERVICE
from .config import load_settings
from .container import Container
from .conversations.pages import read_conversation
from .models.conversations import LoadConversationRequest
from .models.turns import MegaMindRequest
from .observability.logs import log_as_a_library
from .turns.context import given_context
from .turns.follow import Place
from .turns.own_turn import FROM_A_THREAD, OwnTurn
from .turns.request import TurnRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from .ai.agents import Agent
    from .ai.protocol import Engine, HistoryMessage, Summariser
    from .models.conversations import LoadConversationResponse
    from .models.rows import MessageRow
    from .models.turns import MegaMindResponse
    from .persistence import Persistence
    from .turns.follow import TurnEvent

Id = UUID | str

KEY = re.compile(r"[\x20-\x7e]{1,255}")


class TurnFields(TypedDict, total=False):
    """What a turn is, beside its request. Without a `key` it is a new one each time.

    `edits` names a message of the user that this one is to stand beside, `regenerates` one whose
    reply is to be written once more: then the request is empty.
    """

    user_id: Required[Id]
    conversation_id: Id | None
    project_id: Id | None
    edits: Id | None
    regenerates: Id | None
    key: str | None
    metadata: dict[str, Any] | None


class MessagePersistence:
    """Conversations that are stored for good, in a Supabase project that has the schema.

    What isn't given is read from the environment, as docs/configuration.md names it. Made once in a
    process, used in one event loop, and closed at the end, by `aclose` or `async with`: turns that
    are still written end first.
    """

    def __init__(
        self,
        supabase_url: str | None = None,
        secret_key: str | None = None,
        *,
        summariser: Summariser | None = None,
        **settings: Any,
    ) -> None:
        """Raise ConfigurationError, in one line, where a setting is missing or wrong."""
        log_as_a_library()
        given = {
            "supabase_url": supabase_url,
            "SUPABASE_SECRET_KEY": secret_key,
            "SUPABASE_PUBLISHABLE_KEY": "unused",  # users' own tokens are the service's business
            **settings,
        }
        self.settings = load_settings(**{k: v for k, v in given.items() if v is not None})
        self._built = Container(self.settings, summariser=summariser)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    def turn(self, request: str, *, name: str = "own", **fields: Unpack[TurnFields]) -> OwnTurn:
        """Return a turn to write in an `async with`; `name` is the engine's in the metadata.

        Entering it commits the user's message, or finds what the key led to. Raises ValueError
        for what can't be stored; on entering TurnInProgressError, IdempotencyKeyReusedError,
        ConversationNotFoundError, TooManyTurnsError, TooManyTokensError, StoreUnavailableError;
        on leaving ReplyNotStoredError if the store stays away: it is kept, and tried on.
        """
        return OwnTurn(
            self._container.turns, _request_of(request, fields), name=name, settings=self.settings
        )

    async def run(
        self, agent: Agent | Engine, request: str, **fields: Unpack[TurnFields]
    ) -> MegaMindResponse:
        """Let an agent answer, and return both stored messages. It goes on without its caller."""
        turn = _request_of(request, fields, engine=self._engine(agent))
        return await self._container.turns.run(turn)

    async def stream(
        self, agent: Agent | Engine, request: str, **fields: Unpack[TurnFields]
    ) -> AsyncIterator[TurnEvent]:
        """Let an agent answer, and return its turn's events. It goes on without its reader."""
        turn = _request_of(request, fields, engine=self._engine(agent))
        return await self._container.turns.stream(turn)

    async def follow(
        self, user_id: Id, turn_id: Id, *, offset: int = 0
    ) -> AsyncIterator[TurnEvent]:
        """Return the events of a turn that was begun before, wherever it is written."""
        return await self._container.turns.follow(
            _uuid(user_id), _uuid(turn_id), caller=SERVICE, place=Place(offset)
        )

    async def cancel(self, user_id: Id, turn_id: Id) -> MessageRow | None:
        """Stop a turn for good; return its reply, or None until its writer knows."""
        record = await self._container.turns.cancel(_uuid(user_id), _uuid(turn_id))
        return record.reply

    async def load(self, user_id: Id, conversation_id: Id, **page: Any) -> LoadConversationResponse:
        """Return a page of a conversation, as load-conversation does: `limit`, `before`, `after`,
        `around`.
        """
        request = LoadConversationRequest.model_validate(
            {"conversationId": str(conversation_id), **page}
        )
        return await read_conversation(
            self._container.persistence, _uuid(user_id), request, caller=SERVICE
        )

    async def history(self, user_id: Id, conversation_id: Id) -> Sequence[HistoryMessage]:
        """Return what an AI is given of a conversation, within the budget of the context."""
        stored = await self._container.persistence.load_history(
            _uuid(user_id),
            _uuid(conversation_id),
            history_tokens=self.settings.history_tokens,
            caller=SERVICE,
        )
        return given_context(stored.history, stored.context).history

    @property
    def persistence(self) -> Persistence:
        """The SQL functions themselves, by their names: what the rest here is made of."""
        return self._container.persistence

    async def aclose(self) -> None:
        """Let running turns end, then close the connections."""
        container = self._container
        self._is_closed = True
        await container.aclose()

    @property
    def _container(self) -> Container:
        """What all of this is made of; its connections belong to the loop that used it first."""
        if self._is_closed:
            raise RuntimeError("This MessagePersistence is closed: make another one.")
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if loop is not self._loop:
            raise RuntimeError(
                f"This MessagePersistence was first used in another event loop. {FROM_A_THREAD}"
                " Under asyncio.run, make one in each run."
            )
        return self._built

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _engine(self, agent: Agent | Engine) -> Engine:
        return within_limits(as_engine(agent), self.settings)


def _uuid(value: Id) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def _request_of(request: str, fields: TurnFields, *, engine: Engine | None = None) -> TurnRequest:
    if unknown := fields.keys() - TurnFields.__annotations__.keys():
        raise TypeError(f"a turn has no {', '.join(sorted(unknown))}")
    body = {
        **({"request": request} if request or not fields.get("regenerates") else {}),
        "conversationId": fields.get("conversation_id"),
        "projectId": fields.get("project_id"),
        "edits": fields.get("edits"),
        "regenerates": fields.get("regenerates"),
        "metadata": fields.get("metadata") or {},
    }
    given = fields.get("key")
    key = uuid4().hex if given is None else given
    if not KEY.fullmatch(key):
        raise ValueError("a key is 1 to 255 printable ASCII characters")
    return TurnRequest(
        _uuid(fields["user_id"]), key, MegaMindRequest.model_validate(body), SERVICE, engine=engine
    )
