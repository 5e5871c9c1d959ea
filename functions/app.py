"""The bundle: every endpoint on one ASGI application."""

from functions.apply_retention.handler import router as apply_retention
from functions.cancel_turn.handler import router as cancel_turn
from functions.conversation_analytics.handler import router as conversation_analytics
from functions.conversations.handler import router as conversations
from functions.erase_account.handler import router as erase_account
from functions.export_account.handler import router as export_account
from functions.export_conversation.handler import router as export_conversation
from functions.health.handler import router as health
from functions.import_conversation.handler import router as import_conversation
from functions.legal_holds.handler import router as legal_holds
from functions.load_conversation.handler import router as load_conversation
from functions.mega_mind.handler import router as mega_mind
from functions.retention_policies.handler import router as retention_policies
from functions.search_messages.handler import router as search_messages
from functions.sweep_turns.handler import router as sweep_turns
from shared.http.application import create_app

ROUTERS = (
    mega_mind,
    cancel_turn,
    load_conversation,
    conversations,
    export_conversation,
    export_account,
    import_conversation,
    conversation_analytics,
    erase_account,
    apply_retention,
    retention_policies,
    legal_holds,
    search_messages,
    sweep_turns,
    health,
)

app = create_app(*ROUTERS, prepare=lambda container: container.turns)
