"""How benches sum up what they measured: medians of three runs, ratios within each."""

import pytest

from bench.frame import RUNS, figure_of, in_milliseconds, in_runs, side_by_side


def test_a_ratio_is_that_of_the_medians_of_one_run() -> None:
    """A run in which everything took ten times as long says the same as the others."""
    least, ours = [[1.0, 1.0, 9.0], [10.0], [1.0]], [[3.0], [30.0], [3.0]]
    figure = figure_of("ours", "ms", ours, least, "least")
    assert (figure.ratio, figure.ratios, figure.median) == (3.0, [3.0, 3.0, 3.0], 3.0)


def test_the_spread_is_that_of_all_calls() -> None:
    """The middle half."""
    figure = figure_of("ours", "ms", [[1.0, 2.0], [3.0, 4.0]])
    assert (figure.low, figure.high, figure.ratio) == (2.0, 4.0, None)


def test_each_side_is_called_in_each_round() -> None:
    """As often as the others, and one warm-up more often than is measured."""
    calls: list[str] = []
    times = side_by_side({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 7)
    assert calls.count("a") == calls.count("b") > 7
    assert [sum(map(len, runs)) for runs in times.values()] == [7, 7]
    figures = in_milliseconds(times)
    assert [figure.least for figure in figures] == ["", "a"]


@pytest.mark.parametrize("count", [RUNS, 7, 200])
def test_runs_are_one_after_the_other(count: int) -> None:
    """And hold everything, in its order."""
    runs = in_runs(range(count))
    assert len(runs) == RUNS
    assert [value for run in runs for value in run] == list(range(count))
