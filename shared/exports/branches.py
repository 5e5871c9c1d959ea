"""The branches of a conversation as a reader meets them: the active path, then what isn't on it."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models.transfers import BranchExport

MOST_NAMED: Final = 10  # of a message's other versions


def path_to(branches: Sequence[BranchExport], branch: int, last_seq: int) -> list[range]:
    """Return the seqs of the path that ends with a branch."""
    ranges: list[range] = []
    until = branches[branch].first_seq - 1 if branch < len(branches) else last_seq
    while branch:
        own = branches[branch - 1]
        ranges.append(range(own.first_seq, until + 1))
        branch, until = own.parent, own.fork_seq
    return [range(1, until + 1), *reversed(ranges)]


class Branches:
    """What is to be said of a message's place, by its seq."""

    def __init__(self, branches: Sequence[BranchExport], active: int, last_seq: int) -> None:
        self._path = path_to(branches, active, last_seq)
        self._branches = branches
        self._starts = [1, *(branch.first_seq for branch in branches), last_seq + 1]
        self._openings = self._find_openings(last_seq)
        self._versions = self._find_versions()

    def is_on_path(self, seq: int) -> bool:
        """Say whether a message is on the active path."""
        at = bisect_right(self._path, seq, key=lambda part: part.start) - 1
        return seq in self._path[at]

    def place_of(self, seq: int) -> dict[str, str]:
        """Return what a shown message says of its place."""
        return {"opening": self.opening(seq), "versions": self.versions(seq)}

    def opening(self, seq: int) -> str:
        """Return the heading of the messages beside the active path that begin with this one."""
        after = self._openings.get(seq)
        if after is None:
            return ""
        return f"Another branch, {f'after message {after}' if after else 'from the beginning'}"

    def versions(self, seq: int) -> str:
        """Return a sentence that names the messages in whose place this one may be read."""
        versions = self._versions.get(seq, [])
        if len(versions) < 2:
            return ""
        others = [str(other) for other in versions if other != seq]
        named = ", ".join(others[:MOST_NAMED])
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        noun = "message" if len(others) == 1 else "messages"
        place = versions.index(seq) + 1
        return f"Version {place} of {len(versions)} of this message: see also {noun} {named}{more}."

    def _find_openings(self, last_seq: int) -> dict[int, int]:
        """Return where the stretches beside the path begin, each with the seq that it follows."""
        ends = {part.stop for part in self._path if part}
        firsts = {branch.first_seq: branch.fork_seq for branch in reversed(self._branches)}
        openings = {**{end: end - 1 for end in ends}, **firsts, **({} if 1 in firsts else {1: 0})}
        return {
            seq: after
            for seq, after in openings.items()
            if seq <= last_seq and not self.is_on_path(seq)
        }

    def _find_versions(self) -> dict[int, list[int]]:
        """Return for each message those that follow the same place, itself among them."""
        following: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        for number, branch in enumerate(self._branches, 1):
            place = following[branch.parent, branch.fork_seq]
            if branch.first_seq < self._starts[number + 1]:
                place.add(branch.first_seq)
            if branch.fork_seq + 1 < self._starts[branch.parent + 1]:
                place.add(branch.fork_seq + 1)
        lists = map(sorted, following.values())
        return dict(chain.from_iterable(((seq, seqs) for seq in seqs) for seqs in lists))
