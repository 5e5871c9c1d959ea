"""Random lives of one user's chats, and some led step by step: every answer is foretold.

ATTACK_EXAMPLES asks for more lives than a short run has.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from local.stack import Stack
from tests.support.chat_life import Life

EXAMPLES = int(os.environ.get("ATTACK_EXAMPLES", "5"))
STEPS = int(os.environ.get("ATTACK_STEPS", "25"))
LIVES = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a life is short enough to read; making it shorter takes minutes
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.promise("gapless order")
@pytest.mark.promise("one reply")
@pytest.mark.promise("one key, one effect", red="`begin_turn` does not compare the request")
def test_whatever_happens_the_store_is_what_the_model_says(stack: Stack) -> None:
    """Random lives of a chat: every answer is foretold, every invariant holds after each step."""

    class LifeHere(Life):
        def __init__(self) -> None:
            super().__init__(stack)

    run_state_machine_as_test(LifeHere, settings=LIVES)


@contextmanager
def watched_life(stack: Stack) -> Iterator[Life]:
    """A life to be led step by step, with the model and the invariants checked at its end too."""
    life = Life(stack)
    try:
        yield life
        check(life)
    finally:
        life.teardown()


def check(life: Life) -> None:
    """Compare the store with the model, and look for broken invariants."""
    life.the_store_is_what_the_model_says()
    life.the_invariants_hold()


@pytest.mark.promise("fencing")
def test_a_worker_that_wakes_up_leaves_the_turn_to_the_one_that_took_it_over(stack: Stack) -> None:
    """Once the first has ended, the second can still be stopped at once."""
    with watched_life(stack) as life:
        turn = life.say_something_new(text="Hello", held=True)
        life.let_a_lease_run_out(0)
        life.take_over(0, held=True)
        life.wake_the_sleepers()
        check(life)
        life.cancel(turn)


@pytest.mark.promise("whole pages", red="a page one message too long")
@pytest.mark.promise("safe retry", red="`resume_turn` never takes over")
def test_every_way_that_a_turn_can_end_is_the_one_that_the_model_says(stack: Stack) -> None:
    """Each rule at least once, in an order in which it has something to do."""
    with watched_life(stack) as life:
        first = life.say_something_new(text="One", held=False)
        second = life.say_something_more(text="Two", turn=first, held=True)
        fork = partial(life.fork, turn=first, text="")
        steps: list[Callable[[], Any]] = [
            lambda: life.say_something_more(text="Too soon", turn=first, held=False),
            lambda: life.join(0),
            lambda: life.retry(second),
            lambda: life.say_something_more(text="Lost and taken over", turn=first, held=True),
            lambda: life.let_a_lease_run_out(0),
            lambda: life.take_over(0, held=False),
            lambda: life.wake_the_sleepers(),
            lambda: life.say_something_more(text="Lost and loaded", turn=first, held=True),
            lambda: life.let_a_lease_run_out(0),
            lambda: life.load_all(first),
            lambda: life.say_something_more(text="Lost, and talked over", turn=first, held=True),
            lambda: life.let_a_lease_run_out(0),
            lambda: life.say_something_more(text="Over it", turn=first, held=False),
            lambda: life.say_something_more(text="Lost and stopped", turn=first, held=True),
            lambda: life.let_a_lease_run_out(0),
            lambda: life.cancel_what_runs(0),
            lambda: life.say_something_more(text="Stopped", turn=first, held=True),
            lambda: life.cancel_what_runs(0),
            lambda: life.say_something_more(text="Late, and nobody minds", turn=first, held=True),
            lambda: life.let_a_lease_run_out(0),
            lambda: life.let_the_ai_end(0),
            lambda: life.wake_the_sleepers(),
            lambda: fork(text="Edited", pick=0, held=False, again=False),
            lambda: life.switch(1),
            lambda: life.say_something_more(text="On the old path", turn=first, held=False),
            lambda: fork(pick=0, held=False, again=True),
            lambda: fork(pick=3, held=True, again=True),
            lambda: life.switch(1),
            lambda: life.load_a_page(turn=first, limit=3, place=None, seq=0),
            lambda: life.let_a_lease_run_out(0),
            lambda: life.take_over(0, held=True),
            lambda: fork(text="Too soon", pick=0, held=False, again=False),
            lambda: life.join(0),
            lambda: fork(text="Lost, and turned away from", pick=1, held=True, again=False),
            lambda: life.let_a_lease_run_out(0),
            lambda: life.switch(2),
            lambda: life.wake_the_sleepers(),
            lambda: life.retry_with_another_body(turn=second, metadata=True),
            lambda: life.another_user_tries_everything(first),
            lambda: life.load_all(first),
            *(
                lambda limit=limit, place=place, seq=seq: life.load_a_page(
                    turn=first, limit=limit, place=place, seq=seq
                )
                for limit, place, seq in ((1, None, 0), (3, "after", 2), (3, "before", 5))
            ),
            lambda: life.say_something_new(text="Elsewhere", held=False),
            lambda: life.say_something_more(text="Deleted under it", turn=first, held=True),
            lambda: life.delete(first),
            lambda: life.wake_the_sleepers(),
            lambda: life.load_a_page(turn=first, limit=1, place=None, seq=0),
            lambda: life.cancel(first),
            lambda: life.retry(second),
            lambda: life.retry(first),
        ]
        for step in steps:
            step()
            check(life)
