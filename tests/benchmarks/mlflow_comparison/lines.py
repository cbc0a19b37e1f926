"""What is compared, and how its time is taken: all ways in turn, round by round, within one run."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from statistics import median
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

TURN = 0.002  # seconds: what is quicker is done many times in a row, as clocks and caches have their price
MOST_CALLS = 100

Way = Literal["ours", "MLflow", "floor", "few"]
"""How a thing is done: by us, by MLflow, with the drivers alone, and by us where there is little yet."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that is done in several ways.

    Attributes:
        name: What is done.
        place: Where, such as SQLite.
        ways: How each way is made ready; what that gives takes a turn, and tells what it cost for each thing.
        targets: MLflow's cost is to be at least so many times ours; ours at most so many times another's.
        unit: Of the cost: "s" or "MB".
    """

    name: str
    place: str
    ways: Mapping[Way, Callable[[], Callable[[], float]]]
    targets: Mapping[Way, float] = field(default_factory=dict)
    unit: str = "s"


@dataclass(frozen=True)
class Measured:
    """What the ways of a line cost: the median of their turns."""

    line: Line
    costs: Mapping[Way, float]
    rounds: int

    def ratio(self, way: Way) -> float | None:
        """How many times ours the cost of MLflow is, or how many times another's cost ours is."""
        if way not in self.costs or "ours" not in self.costs:
            return None
        ours, other = self.costs["ours"], self.costs[way]
        return other / ours if way == "MLflow" else ours / other

    def meets(self, way: Way) -> bool | None:
        """Whether the ratio is what it is to be; None if that can't be said."""
        ratio, target = self.ratio(way), self.line.targets.get(way)
        if ratio is None or target is None:
            return None
        return ratio >= target if way == "MLflow" else ratio <= target


@dataclass(frozen=True)
class Patience:
    """How long to measure a line: until the *seconds* are over, but so many rounds at least and at most."""

    seconds: float
    least: int
    most: int


def race(line: Line, patience: Patience, *, without: Collection[Way] = ()) -> Measured:
    """Let the ways of *line* take turns: A B C, A B C and so on."""
    turns = {way: prepare() for way, prepare in line.ways.items() if way not in without}
    costs: dict[Way, list[float]] = {way: [] for way in turns}
    gc.collect()
    gc.freeze()  # what was made ready is not looked through again and again at somebody's expense
    rounds, deadline = 0, monotonic() + patience.seconds
    while rounds < patience.least or (rounds < patience.most and monotonic() < deadline):
        for way, turn in turns.items():
            costs[way].append(turn())
        rounds += 1
    gc.unfreeze()
    return Measured(line, {way: median(each) for way, each in costs.items()}, rounds)


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """Turns that do the *work*, after it was done for the first time."""
    return timed_each(lambda _: work(), range)


def timed_each(
    work: Callable[[Any], object],
    supply: Callable[[int], Iterable[Any]],
    calls: int | None = None,
) -> Callable[[], float]:
    """Turns that do the *work* on things whose *supply* takes no time, so many *calls* in a row."""

    def turn(calls: int) -> float:
        things = list(supply(calls))
        start = perf_counter()
        for thing in things:
            work(thing)
        return (perf_counter() - start) / calls

    turn(1)
    if calls is None:
        calls = max(1, min(MOST_CALLS, round(TURN / turn(1))))
    return lambda: turn(calls)
