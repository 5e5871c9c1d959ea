"""One method for each SQL function, by the same name. Knows arguments and answers, nothing else."""

from .analytics import AnalyticsCalls
from .conversations import ConversationCalls
from .integrity import IntegrityCalls
from .retention import RetentionCalls
from .search import SearchCalls
from .sessions import SessionCalls
from .summaries import SummaryCalls
from .transfers import TransferCalls
from .turns import TurnCalls

__all__ = ["Persistence"]


class Persistence(
    TurnCalls,
    ConversationCalls,
    TransferCalls,
    AnalyticsCalls,
    RetentionCalls,
    SearchCalls,
    SessionCalls,
    SummaryCalls,
    IntegrityCalls,
):
    """The SQL functions of supabase/schemas, typed."""
