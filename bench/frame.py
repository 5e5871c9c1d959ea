"""What every bench does alike: sides timed in turns, medians, spread, ratios, the machine's load.

A bench has sides. The first of them is the least that could be done, unless another is named: the
others are said as multiples of it. All are called in turns, in another order each time, in three
runs. A ratio is that of the medians of one run, so that a machine that is busy is so for both;
printed are the middle one of the three and how far the others lie from it.
"""

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

RESULTS = Path(__file__).parent / "results"
RUNS = 3
WARM_UP = 3

Work = Callable[[], Any]


@dataclass(frozen=True)
class Figure:
    """A median with its spread: the middle half of what was measured, or a whole run's value."""

    name: str
    unit: str
    runs: list[float]
    low: float
    high: float
    ratio: float | None = None
    ratios: list[float] = field(default_factory=list)
    least: str = ""

    @property
    def median(self) -> float:
        """The median of the runs' medians."""
        return statistics.median(self.runs)

    def line(self) -> str:
        """Return it as it is printed."""
        line = (
            f"{self.name:44} {self.median:9.2f} {self.unit:8} {self.low:8.2f} to {self.high:8.2f}"
        )
        if self.ratio is None:
            return line
        return f"{line}   {self.ratio:6.2f} ({min(self.ratios):.2f} to {max(self.ratios):.2f})"


Times = Mapping[str, Sequence[Sequence[float]]]  # seconds of each side, by run


def rounds_of(doc: str | None, rounds: int) -> int:
    """Return what --rounds says: how often each side is called, in all."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    asked: int = parser.parse_args().rounds
    return asked


def side_by_side(sides: Mapping[str, Work], rounds: int) -> Times:
    """Call all sides in turns, after a warm-up; return the seconds of each call, by run."""
    return side_by_side_timed(
        {name: partial(_seconds_of, work) for name, work in sides.items()}, rounds
    )


def side_by_side_timed(sides: Mapping[str, Callable[[], float]], rounds: int) -> Times:
    """Do the same with sides that say themselves how many seconds a call took."""
    for _ in range(WARM_UP):
        for work in sides.values():
            work()
    times: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides.items())
    for _ in range(rounds):
        random.shuffle(order)
        for name, work in order:
            times[name].append(work())
    return {name: in_runs(taken) for name, taken in times.items()}


def _seconds_of(work: Work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_runs(values: Sequence[float]) -> list[list[float]]:
    """Return values that were measured one after the other, by run."""
    return [
        [value for at, value in enumerate(values) if at * RUNS // len(values) == run]
        for run in range(RUNS)
    ]


def in_milliseconds(times: Times, least: str | None = None) -> list[Figure]:
    """Return a figure of each side; `least` is the one that the others are multiples of."""
    least = least or next(iter(times))
    thousandths = {name: [[s * 1000 for s in run] for run in runs] for name, runs in times.items()}
    return [
        figure_of(name, "ms", runs, None if name == least else thousandths[least], least)
        for name, runs in thousandths.items()
    ]


def figure_of(
    name: str,
    unit: str,
    runs: Sequence[Sequence[float]],
    least_runs: Sequence[Sequence[float]] | None = None,
    least: str = "",
) -> Figure:
    """Sum up what was measured in each run, as a multiple of the least if that is given."""
    medians = [statistics.median(run) for run in runs if run]
    values = sorted(value for run in runs for value in run)
    ratios = [
        ours / statistics.median(theirs)
        for ours, theirs in zip(medians, least_runs or [], strict=False)
    ]
    return Figure(
        name=name,
        unit=unit,
        runs=medians,
        low=values[len(values) // 4],
        high=values[len(values) * 3 // 4],
        ratio=statistics.median(ratios) if ratios else None,
        ratios=ratios,
        least=least if ratios else "",
    )


class Report:
    """Prints what a bench measures as it comes, and keeps it for the table and the picture."""

    def __init__(self, bench: str, rounds: int) -> None:
        self.rounds = rounds
        self._bench = bench
        self._sections: list[dict[str, Any]] = []
        self._load = [os.getloadavg()[0]]
        print(f"{bench}: {os.cpu_count()} cores, load {self._load[0]:.1f} before")

    def add(self, title: str, figures: Sequence[Figure]) -> None:
        """Print figures under a title: median, middle half, multiple of the least."""
        print(f"\n{title}")
        for figure in figures:
            print(f"  {figure.line()}", flush=True)
        self._sections.append({"title": title, "figures": [asdict(f) for f in figures]})

    def time(self, title: str, sides: Mapping[str, Work]) -> None:
        """Call these sides side by side, and add how long each took."""
        self.add(title, in_milliseconds(side_by_side(sides, self.rounds)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: object, *_: object) -> None:
        if exc_type is None:
            self._keep()

    def _keep(self) -> None:
        """Write the results where `python -m bench.page` reads them."""
        self._load.append(os.getloadavg()[0])
        print(f"\nload {self._load[1]:.1f} after")
        RESULTS.mkdir(exist_ok=True)
        said = {
            "bench": self._bench,
            "at": datetime.now(UTC).date().isoformat(),
            "cores": os.cpu_count(),
            "load": [round(load, 1) for load in self._load],
            "sections": _rounded(self._sections),
        }
        (RESULTS / f"{self._bench}.json").write_text(json.dumps(said, indent=1) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value
