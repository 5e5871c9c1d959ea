"""One method for each SQL function, by the same name. Knows arguments and answers, nothing else."""

from shared.persistence.conversations import ConversationCalls
from shared.persistence.search import SearchCalls
from shared.persistence.turns import TurnCalls
from shared.persistence.upkeep import UpkeepCalls

__all__ = ["Persistence"]


class Persistence(TurnCalls, ConversationCalls, SearchCalls, UpkeepCalls):
    """The SQL functions of supabase/migrations, typed."""
