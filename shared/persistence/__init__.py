"""One method for each SQL function, by the same name. Knows arguments and answers, nothing else."""

from shared.persistence.analytics import AnalyticsCalls
from shared.persistence.conversations import ConversationCalls
from shared.persistence.integrity import IntegrityCalls
from shared.persistence.limits import LimitCalls
from shared.persistence.retention import RetentionCalls
from shared.persistence.search import SearchCalls
from shared.persistence.summaries import SummaryCalls
from shared.persistence.transfers import TransferCalls
from shared.persistence.turns import TurnCalls

__all__ = ["Persistence"]


class Persistence(
    TurnCalls,
    ConversationCalls,
    TransferCalls,
    AnalyticsCalls,
    RetentionCalls,
    SearchCalls,
    SummaryCalls,
    IntegrityCalls,
    LimitCalls,
):
    """The SQL functions of supabase/schemas, typed."""
