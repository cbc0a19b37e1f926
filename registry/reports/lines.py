"""What a card and its picture have room for: all of an ordinary policy, the worst slices of a large one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from registry.tables import WHOLE
from registry.words import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.evidence import Comparison, Measured
    from registry.policy import Outcome, PromotionDecision

MOST_SLICES = 40
"""More slices than these are too many to read."""

WORST_SLICES = 20
"""How many of them are shown then, of each check."""

MOST_LINES = 60
"""More lines than these no card shows."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One measurement, and what a policy made of it if one did.

    Attributes:
        check: The check in words; None in a comparison, where nothing is demanded.
        outcome: What was found; None in a comparison.
        threshold: What the lower bound has to stay above; None in a comparison.
        measured: The numbers; None if nothing was measured.
    """

    check: str | None = None
    outcome: Outcome | None = None
    threshold: float | None = None
    measured: Measured | None

    @property
    def slice(self) -> str | None:
        """The slice it was measured on; None on all rows."""
        if self.measured is None or self.measured.slice == WHOLE:
            return None
        return self.measured.slice

    @property
    def family(self) -> tuple[str | None, str, str]:
        """The check and the column by which it slices: slices of one family are read together."""
        metric = "" if self.measured is None else self.measured.metric
        return self.check, metric, (self.slice or "").partition("=")[0]

    @property
    def badness(self) -> tuple[bool, float]:
        """Sorts what failed first, then by the lower bound."""
        lower = None if self.measured is None else self.measured.lower
        return self.outcome != "failed", -inf if lower is None else lower


@dataclass(frozen=True)
class Selection:
    """The lines that are shown, in the order of the policy, and those that are not."""

    shown: list[Line]
    left_out: list[Line]

    @property
    def note(self) -> str:
        """What is not shown, in a sentence; empty if all is."""
        if not self.left_out:
            return ""
        failed = sum(line.outcome == "failed" for line in self.left_out)
        things = "slice" if all(line.slice for line in self.left_out) else "result"
        verb = "is" if len(self.left_out) == 1 else "are"
        note = f"The worst are shown; {count(len(self.left_out), f'more {things}')} {verb} not"
        return f"{note}, of which {failed:,} failed." if failed else f"{note}."


def lines_of(decision: PromotionDecision) -> list[Line]:
    """The results of the checks of *decision*, all of them."""
    return [
        Line(
            check=result.check,
            outcome=result.outcome,
            threshold=result.threshold,
            measured=result.measured,
        )
        for result in decision.checks
    ]


def of_decision(decision: PromotionDecision) -> Selection:
    """The results of the checks of *decision* that there is room for."""
    return _select(lines_of(decision))


def of_comparison(comparison: Comparison) -> Selection:
    """The measurements of *comparison*."""
    return _select([Line(measured=measured) for measured in comparison.results])


def _select(lines: Sequence[Line]) -> Selection:
    slices = [line for line in lines if line.slice is not None]
    candidates = [line for line in lines if line.slice is None]
    candidates += slices if len(slices) <= MOST_SLICES else _worst_of_each_family(slices)
    shown = {id(line) for line in _worst(candidates, MOST_LINES)}
    return Selection(
        [line for line in lines if id(line) in shown], [line for line in lines if id(line) not in shown]
    )


def _worst_of_each_family(slices: Sequence[Line]) -> list[Line]:
    families = defaultdict(list)
    for line in slices:
        families[line.family].append(line)
    return [line for family in families.values() for line in _worst(family, WORST_SLICES)]


def _worst(lines: Sequence[Line], most: int) -> list[Line]:
    return sorted(lines, key=lambda line: line.badness)[:most]
