"""What a person reads who is asked to agree with a decision, in a dialog that is narrow and not high."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from registry.reports.cards import SIGNS, rows_judged
from registry.reports.lines import lines_of
from registry.reports.parts import table
from registry.words import NOTHING, count, interval, markdown, number, signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.policy import PromotionDecision
    from registry.reports.lines import Line

_COLUMNS = ("Check :--", "Outcome :--", "Measured :--")
_MOST_ROWS = 12


def ballot(decision: PromotionDecision) -> str:
    """What would move, and the checks; of the slices of a column the worst stands for all."""
    champion = markdown(decision.champion or "nothing")
    question = (
        f"May {markdown(decision.challenger)} become {markdown(decision.alias)}, in place of {champion}?"
    )
    families = _families(lines_of(decision))
    rows = table(_COLUMNS, map(_cells, families[:_MOST_ROWS]))
    more = len(families) - _MOST_ROWS
    left_out = [f"And {count(more, 'check')} more, which passed too."] if more > 0 else []
    holdout = f"Holdout {rows_judged(decision.dataset_name, decision.dataset, decision.rows)}"
    return "\n\n".join([f"### {question}", rows, *left_out, holdout]) + "\n"


def _families(lines: Iterable[Line]) -> list[list[Line]]:
    families = defaultdict(list)
    for line in lines:
        families[line.family].append(line)
    return list(families.values())


def _cells(family: Sequence[Line]) -> list[str]:
    worst = min(family, key=lambda line: line.badness)
    return [_named(family, worst), SIGNS.get(worst.outcome or "", ""), _measured(worst)]


def _named(family: Sequence[Line], worst: Line) -> str:
    name = markdown(worst.check or "")
    if worst.slice is None:
        return name
    return f"{name}, {count(len(family), 'slice')}, the worst {markdown(worst.slice)}"


def _measured(line: Line) -> str:
    measured = line.measured
    if measured is None:
        return NOTHING
    value = number(measured.challenger) if measured.difference is None else signed(measured.difference)
    return f"{value} ({interval(measured.lower, measured.upper)})"
