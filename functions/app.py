"""The bundle: every endpoint on one ASGI application."""

from functions.conversations.handler import router as conversations
from functions.health.handler import router as health
from functions.load_conversation.handler import router as load_conversation
from functions.mega_mind.handler import router as mega_mind
from shared.http.application import create_app

ROUTERS = (mega_mind, load_conversation, conversations, health)

app = create_app(*ROUTERS, prepare=lambda services: services.turns)
