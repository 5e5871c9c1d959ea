"""One method for each SQL function, by the same name. Knows arguments and answers, nothing else."""

from shared.persistence.analytics import AnalyticsCalls
from shared.persistence.conversations import ConversationCalls
from shared.persistence.integrity import UpkeepCalls
from shared.persistence.retention import RetentionCalls
from shared.persistence.search import SearchCalls
from shared.persistence.summaries import SummaryCalls
from shared.persistence.transfers import ArchiveCalls
from shared.persistence.turns import TurnCalls

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
    """The SQL functions of supabase/migrations, typed."""
