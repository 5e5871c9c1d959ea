"""One chat behind `useChat`: what it sends, resumes, loads and stops, as turns of ours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..encoding.ids import as_uuid
from ..errors import (
    ConversationNotFoundError,
    InvalidRequestError,
    MessageNotFoundError,
    TurnInProgressError,
)
from ..models.conversations import Page
from ..models.rows import MessageRow
from ..models.ui_messages import LoadUiMessagesResponse, StopChatResponse
from ..turns.follow import START
from ..turns.request import TurnRequest
from .answers import answered, answers_in, is_answer, words_of
from .chunks import ui_chunks
from .keys import answer_key, edit_key, given_key, is_ours, message_key, regenerate_key
from .messages import ui_messages
from .requests import asked, body_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from ..models.turns import TurnRecord
    from ..turns.follow import TurnEvent
    from ..turns.runner import TurnRunner
    from .parts import Chunk
    from .requests import Sending
    from .stored_chat import StoredChat

NO_PAGE = Page(has_older=False, has_newer=False, oldest_seq=None, newest_seq=None)
MOST = 200  # messages that are looked through for the reply whose calls were answered


class UiChat:
    """A chat of the verified user's, or one that is to be."""

    def __init__(self, turns: TurnRunner, stored: StoredChat) -> None:
        self._turns = turns
        self._stored = stored

    async def load(self, *, limit: int, before: int | None) -> LoadUiMessagesResponse:
        """Return a page; an empty one for a chat that has no message yet."""
        page = await self._stored.page(limit=limit, before=before)
        if page is None:
            return LoadUiMessagesResponse(
                conversation=None, messages=[], page=NO_PAGE, open_turn=None
            )
        return LoadUiMessagesResponse(
            conversation=page.conversation,
            messages=ui_messages(page.messages, page.siblings),
            page=page.page,
            open_turn=page.open_turn,
        )

    async def stop(self) -> StopChatResponse:
        """Stop the turn that runs; what it has written is kept as the reply."""
        turn_id = await self._stored.open_turn(settles=True)
        if turn_id is None:
            return StopChatResponse(turn_id=None, status=None)
        record = await self._turns.cancel(self._stored.user_id, turn_id)
        return StopChatResponse(turn_id=turn_id, status=record.turn.status)

    async def resume(self, turn_id: UUID | None) -> AsyncIterator[Chunk] | None:
        """Return the chunks of the turn that runs, from its start on; None if none does.

        A turn that is named is given even if it has ended meanwhile; one whose worker is gone is
        taken over.
        """
        turn_id = turn_id or await self._stored.open_turn()
        return None if turn_id is None else self._whole(await self._follow(turn_id))

    async def send(self, sending: Sending) -> AsyncIterator[Chunk]:
        """Run the turn that a request asks for, or find it, and return the chunks of its reply.

        A new message opens its chat. Raises what `TurnRunner.stream` does, InvalidRequestError.
        """
        message, request = sending.message, sending.request
        if message.role == "assistant":
            return await self._answer(sending)
        if message.role == "system":
            raise InvalidRequestError("The last message is to be the user's.")
        if request.trigger == "regenerate-message":
            begin = self._regenerate
        else:
            begin = self._submit if request.message_id is None else self._edit
        try:
            events = await begin(sending)
        except (ConversationNotFoundError, MessageNotFoundError):
            if begin == self._submit:
                raise
            events = await self._submit(sending)  # it never came here before
        return ui_chunks(events)

    async def _submit(self, sending: Sending) -> AsyncIterator[TurnEvent]:
        key = message_key(self._stored.id, sending.message)
        return await self._begin(key, sending, opens=True, **asked(sending.message))

    async def _edit(self, sending: Sending) -> AsyncIterator[TurnEvent]:
        known = await self._stored.find(message_key(self._stored.id, sending.message))
        edits = known.user_message.id if known else as_uuid(sending.message.id)
        if edits is None:
            raise MessageNotFoundError
        key = edit_key(self._stored.id, sending.message)
        return await self._begin(key, sending, edits=edits, **asked(sending.message))

    async def _regenerate(self, sending: Sending) -> AsyncIterator[TurnEvent]:
        message, named = sending.message, sending.request.message_id
        reply_id = as_uuid(named) if named != message.id else None
        if reply_id is not None:
            reply_id = await self._stored.row_of(reply_id)
            key = regenerate_key(self._stored.id, reply_id)
            return await self._begin(key, sending, regenerates=reply_id)
        known = await self._stored.find(
            edit_key(self._stored.id, message), message_key(self._stored.id, message)
        )
        if known is not None and known.reply is None:
            return await self._follow(known.turn.id)  # nobody has seen what is to be replaced
        asked_id = known.user_message.id if known else as_uuid(message.id)
        if asked_id is None:
            raise MessageNotFoundError
        conversation = known.conversation if known else await self._stored.conversation()
        key = regenerate_key(self._stored.id, asked_id, conversation.last_branch)
        try:
            return await self._begin(key, sending, regenerates=asked_id)
        except TurnInProgressError as exc:
            running = await self._stored.turn(exc.details["turnId"])
            if running.user_message.id != asked_id:
                raise
            return await self._follow(running.turn.id)  # it is being answered already

    async def _answer(self, sending: Sending) -> AsyncIterator[Chunk]:
        """Go on with the newest reply, whose tool calls the user has answered."""
        page = await self._stored.page(limit=MOST)
        rows = page.messages if page else []
        base = next(reversed(ui_messages(rows)), None)
        if base is None or base.id != sending.message.id:
            raise InvalidRequestError("Only the newest reply's tool calls can be answered.")
        answers = answers_in(base.parts, sending.message.parts)
        if not answers:
            return await self._answered_before(rows)
        key = answer_key(self._stored.id, rows[-1].id)
        events = await self._begin(key, sending, request=words_of(answers), parts=answers)
        base = base.model_copy(update={"parts": answered(base.parts, answers)})
        return ui_chunks(events, base=base)

    async def _answered_before(self, rows: list[MessageRow]) -> AsyncIterator[Chunk]:
        """Return what an answer led to that is sent again."""
        asking = [row for row in rows if row.role == "user"][-1:]
        if not asking or not is_answer(asking[0]) or asking[0].turn_id is None:
            raise InvalidRequestError("No tool call of the newest reply waits for an answer.")
        before = ui_messages(row for row in rows if row.seq <= asking[0].seq)
        return ui_chunks(await self._follow(asking[0].turn_id), base=before[-1])

    async def _whole(self, events: AsyncIterator[TurnEvent]) -> AsyncIterator[Chunk]:
        """Yield a message from its start on, also of a turn that goes on with an earlier reply."""
        first = await anext(events)
        asking = MessageRow.model_validate(first.data["userMessage"])
        base = None
        if is_answer(asking):
            page = await self._stored.page(limit=MOST, before=asking.seq + 1)
            base = ui_messages(page.messages)[-1] if page else None
        async for chunk in ui_chunks(_behind(first, events), base=base, is_shown=False):
            yield chunk

    async def _begin(
        self, key: str, sending: Sending, *, opens: bool = False, **body: Any
    ) -> AsyncIterator[TurnEvent]:
        """Begin a turn, or find what its key led to.

        An edit, and a reply that is made once more, is another one where its user has left the
        branch of the first.
        """
        project_id = sending.request.project_id
        if sending.key is not None and not opens:
            key = given_key(self._stored.id, sending.key)
        turn = TurnRequest(
            self._stored.user_id,
            key,
            body_of(self._stored.id, project_id=project_id, **body),
            self._stored.caller,
            sending.arrived_at,
            opens_conversation=opens,
        )
        begun = await self._turns.start(turn)
        is_beside = not {"edits", "regenerates"}.isdisjoint(body)
        if is_beside and sending.key is None and _was_left(begun.record):
            again = f"{key} {begun.record.conversation.last_branch}"
            turn = replace(turn, idempotency_key=again)
            begun = await self._turns.start(turn)
        return self._turns.events(begun, turn)

    async def _follow(self, turn_id: UUID) -> AsyncIterator[TurnEvent]:
        return await self._turns.follow(
            self._stored.user_id,
            turn_id,
            caller=self._stored.caller,
            place=START,
            takes_over=is_ours,
        )


async def _behind(first: TurnEvent, events: AsyncIterator[TurnEvent]) -> AsyncIterator[TurnEvent]:
    yield first
    async for event in events:
        yield event


def _was_left(record: TurnRecord) -> bool:
    """Whether a turn that a key led to is on another branch than the active one."""
    if record.outcome != "replayed" or record.reply is None:
        return False
    return record.reply.branch != record.conversation.active_branch
