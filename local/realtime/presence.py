"""Who is here: the presences of one topic, in the shape that both clients merge."""

from __future__ import annotations

import itertools
from typing import Any, TypeAlias

Meta: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, dict[str, list[Meta]]]

_refs = itertools.count(1)


class Presence:
    """Keeps one tracked state for each member; several members may share a key."""

    def __init__(self) -> None:
        self._entries: dict[object, tuple[str, Meta]] = {}

    def state(self) -> State:
        """Return everyone, by key."""
        state: State = {}
        for key, meta in self._entries.values():
            state.setdefault(key, {"metas": []})["metas"].append(meta)
        return state

    def track(self, member: object, key: str, payload: Meta) -> dict[str, State]:
        """Set a member's state and return the diff to announce."""
        before = self._entries.get(member)
        meta = {**payload, "phx_ref": f"{next(_refs):016x}"}
        if before is not None:
            meta["phx_ref_prev"] = before[1]["phx_ref"]
        self._entries[member] = (key, meta)
        return {"joins": _single(key, meta), "leaves": _single(*before) if before else {}}

    def untrack(self, member: object) -> dict[str, State] | None:
        """Forget a member; return the diff to announce, None where it was not tracked."""
        before = self._entries.pop(member, None)
        return None if before is None else {"joins": {}, "leaves": _single(*before)}


def _single(key: str, meta: Meta) -> State:
    return {key: {"metas": [meta]}}
