"""One method for each SQL function, by the same name. Knows arguments and answers, nothing else."""

from shared.persistence.analytics import AnalyticsCalls
from shared.persistence.archive import ArchiveCalls
from shared.persistence.conversations import ConversationCalls
from shared.persistence.retention import RetentionCalls
from shared.persistence.search import SearchCalls
from shared.persistence.summaries import SummaryCalls
from shared.persistence.turns import TurnCalls
from shared.persistence.upkeep import UpkeepCalls

__all__ = ["Persistence"]


class Persistence(
    TurnCalls,
    ConversationCalls,
    ArchiveCalls,
    AnalyticsCalls,
    RetentionCalls,
    SearchCalls,
    SummaryCalls,
    UpkeepCalls,
):
    """The SQL functions of supabase/schemas, typed."""
