"""The bundle: every endpoint on one ASGI application."""

from functions.cancel_turn.handler import router as cancel_turn
from functions.conversations.handler import router as conversations
from functions.health.handler import router as health
from functions.load_conversation.handler import router as load_conversation
from functions.mega_mind.handler import router as mega_mind
from functions.search_messages.handler import router as search_messages
from functions.sweep_turns.handler import router as sweep_turns
from shared.http.application import create_app

ROUTERS = (
    mega_mind,
    cancel_turn,
    load_conversation,
    conversations,
    search_messages,
    sweep_turns,
    health,
)

app = create_app(*ROUTERS, prepare=lambda services: services.turns)
