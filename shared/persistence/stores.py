"""Several stores behind one bundle: whose a call is says which of them it goes to.

What is about a user goes to that user's store, and to no other. What is about everybody is asked of
all of them, and their answers become one.
"""

from __future__ import annotations

import asyncio
import inspect
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import structlog

from ..config import ConfigurationError
from ..config.named import load_named
from ..errors import (
    AppError,
    InternalError,
    RetentionPolicyNotFoundError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..auth.caller import Caller
    from .rpc import Store

log = structlog.get_logger(__name__)

Answer = dict[str, Any]

MOST_HOLDS: Final = 1000  # in one answer, as of one store

# Whoever is in one of these is served by further calls, so a store that is away has its users wait
# for the next listing, and no others. Of anything else all must answer.
LISTINGS: Final = {
    "list_expired_turns": "turns",
    "list_removals": "users",
    "list_users_to_index": "users",
    "list_users_due_for_retention": "users",
}


def load_store_of(path: str) -> Callable[[UUID], str | None]:
    """Return the function that a setting names.

    Raises ConfigurationError if there is none.
    """
    try:
        store_of = load_named(path)
    except ValueError as exc:
        raise ConfigurationError(f"STORE_OF: {exc}") from exc
    if not callable(store_of):
        raise ConfigurationError(f"STORE_OF: {path!r} is no function")
    if inspect.iscoroutinefunction(store_of):
        raise ConfigurationError(f"STORE_OF: {path!r} is async: it has to answer at once")
    return cast("Callable[[UUID], str | None]", store_of)


class Stores:
    """Calls SQL functions as Store does, each in the store of its user.

    `store_of` says which one that is, by its name; None while a user is moved from one to another:
    then the call is one that finds its store away. It is asked for each call, so it must not wait.
    """

    def __init__(self, stores: Mapping[str, Store], store_of: Callable[[UUID], str | None]) -> None:
        self._stores = stores
        self._store_of = store_of

    async def call(
        self,
        function: str,
        arguments: Mapping[str, Any],
        *,
        caller: Caller | None,
        **options: Any,
    ) -> Any:
        """Call a SQL function where its user is, or everywhere; raise what Store does."""
        user_id = arguments.get("user_id")
        if user_id is not None:
            store = self._stores[self._home_of(UUID(str(user_id)))]
            return await store.call(function, arguments, caller=caller, **options)
        if function == "extend_turns":
            return await self._extend_turns(arguments, **options)
        if function == "delete_retention_policy":
            return await self._delete_policy(arguments["policy_id"], **options)
        answers = await self._ask_all(function, dict.fromkeys(self._stores, arguments), **options)
        if function in LISTINGS:
            return self._listed(LISTINGS[function], answers)
        return _AS_ONE[function](list(answers.values()), arguments)

    def _home_of(self, user_id: UUID) -> str:
        """Return the name of a user's store, by a function that may fail."""
        try:
            name = self._store_of(user_id)
            is_known = name in self._stores
        except Exception as exc:
            log.exception("store_of_failed")
            raise InternalError from exc
        if name is None:
            log.info("user_is_moved", user_id=str(user_id))
            raise StoreUnavailableError
        if not is_known:
            log.error("store_unknown", store=str(name))
            raise InternalError
        return name

    def _is_at(self, user_id: str, name: str) -> bool:
        """Whether a user is in a store; who is in none that is known keeps nobody else up."""
        try:
            return self._home_of(UUID(user_id)) == name
        except AppError:
            return False

    async def _ask_all(
        self, function: str, arguments: Mapping[str, Mapping[str, Any]], **options: Any
    ) -> dict[str, Answer]:
        """Ask stores at once, each with its arguments; leave out one that is away, if it may be."""
        answers = await asyncio.gather(
            *(
                self._stores[name].call(function, given, caller=None, **options)
                for name, given in arguments.items()
            ),
            return_exceptions=True,
        )
        found: dict[str, Answer] = {}
        failures: list[BaseException] = []
        for name, answer in zip(arguments, answers, strict=True):
            if isinstance(answer, BaseException):
                log.warning("store_left_out", store=name, function=function)
                failures.append(answer)
            else:
                found[name] = answer
        may_be_left_out = function in LISTINGS or function == "extend_turns"
        for failure in failures:
            if not (found and may_be_left_out and isinstance(failure, AppError)):
                raise failure
        return found

    def _listed(self, key: str, answers: Mapping[str, Answer]) -> Answer:
        """Return whom the stores list, each of their own users: not what a move has left behind.

        The next page begins where the first of them ends: the others list some users once more.
        """
        rows = [
            row
            for name, answer in answers.items()
            for row in answer[key]
            if self._is_at(row["user_id"] if isinstance(row, dict) else row, name)
        ]
        places = [answer["next"] for answer in answers.values() if answer.get("next")]
        following = min(places, key=_place, default=None)
        return {key: rows, "next": following}

    async def _extend_turns(self, arguments: Mapping[str, Any], **options: Any) -> Answer:
        """Renew the leases of each store's turns; those of one that is away are left out."""
        theirs = {
            name: [each for each in arguments["extensions"] if self._is_at(each["user_id"], name)]
            for name in self._stores
        }
        given = {name: {**arguments, "extensions": some} for name, some in theirs.items() if some}
        answers = await self._ask_all("extend_turns", given, **options)
        return {
            "turns": _all_of("turns", answers.values()),
            "running": sum(answer["running"] for answer in answers.values()),
        }

    async def _delete_policy(self, policy_id: str, **options: Any) -> Answer:
        """Delete a policy in each store: one scope has an id of its own in each of them."""
        nobody = {"user_id": None, "project_id": None}
        listed = await self._ask_all(
            "list_retention_policies", dict.fromkeys(self._stores, nobody), **options
        )
        policies = _all_of("policies", listed.values())
        scope = next((_scope(p) for p in policies if p["id"] == policy_id), None)
        if scope is None:
            raise RetentionPolicyNotFoundError
        theirs = {
            name: {"policy_id": policy["id"]}
            for name, answer in listed.items()
            for policy in answer["policies"]
            if _scope(policy) == scope
        }
        return next(iter((await self._ask_all("delete_retention_policy", theirs)).values()))


def _all_of(key: str, answers: Iterable[Answer]) -> list[Any]:
    return [row for answer in answers for row in answer[key]]


def _place(place: Answer) -> tuple[datetime, str]:
    return datetime.fromisoformat(place["after_updated_at"]), place["after_id"]


def _scope(policy: Answer) -> tuple[str | None, str | None]:
    return policy["user_id"], policy["project_id"]


def _policies(answers: list[Answer], _: Mapping[str, Any]) -> Answer:
    """Return each scope's policy once: everybody's and a project's are in every store."""
    by_scope: dict[tuple[str | None, str | None], Answer] = {}
    for policy in _all_of("policies", answers):
        by_scope.setdefault(_scope(policy), policy)
    return {"policies": sorted(by_scope.values(), key=itemgetter("created_at"))}


def _holds(answers: list[Answer], _: Mapping[str, Any]) -> Answer:
    newest_first = sorted(_all_of("holds", answers), key=itemgetter("placed_at"), reverse=True)
    return {"holds": newest_first[:MOST_HOLDS]}


def _usage(answers: list[Answer], arguments: Mapping[str, Any]) -> Answer:
    """Return a page of users by their ids: as far as all stores have said who there is."""
    ends = [answer["users"][-1]["user_id"] for answer in answers if answer["more"]]
    users = sorted(_all_of("users", answers), key=itemgetter("user_id"))
    users = [user for user in users if not ends or user["user_id"] <= min(ends)]
    page = users[: arguments["most"]]
    return {"users": page, "more": bool(ends) or len(users) > len(page)}


def _any(answers: list[Answer], _: Mapping[str, Any]) -> Answer:
    return answers[0]


_AS_ONE: Final[Mapping[str, Callable[[list[Answer], Mapping[str, Any]], Answer]]] = {
    "list_retention_policies": _policies,
    "list_legal_holds": _holds,
    "project_usage": _usage,
    "set_retention_policy": _any,
    "set_limits": _any,
}
