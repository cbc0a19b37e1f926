"""Forest plots: each difference with its bounds, beside what was demanded of it; one panel for each scale."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from registry.reports.lines import of_comparison, of_decision
from registry.reports.panels import OUTCOMES, Panel, Point, sheet_of
from registry.words import NOTHING, count, lower_bound, number, plain, short, signed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.evidence import Comparison, Measured
    from registry.policy import PromotionDecision
    from registry.reports.lines import Line

_ALONE_COLUMNS, _PAIR_COLUMNS = (
    ("challenger", "lower bound", "needs"),
    ("challenger", "champion", "difference"),
)
_LONGEST_LABEL, _LONGEST_SLICE, _LONGEST_METRIC = 31, 16, 60


def forest_plot(decision: PromotionDecision) -> bytes:
    """A PNG of what the checks of *decision* measured.

    Each row shows the paired difference, challenger minus champion, between its one-sided bounds, and shades
    what the check does not accept. Floors have panels of their own, on the metric's own scale.
    """
    selection = of_decision(decision)
    against = f" against {decision.champion}" if decision.champion else ""
    title = f"{decision.challenger}{against} on {decision.dataset_name}"
    facts = f"{count(decision.rows, 'row')}; one-sided {100 * (1 - decision.alpha):.4g} % bounds"
    if not any(line.measured for line in selection.shown):
        return sheet_of(title, "Nothing was measured.", []).png()
    return sheet_of(title, f"{facts}. {selection.note}", _panels(selection.shown)).png()


def comparison_plot(comparison: Comparison) -> bytes:
    """A PNG of the differences of *comparison*, challenger minus champion, between their one-sided bounds."""
    selection = of_comparison(comparison)
    title = f"{comparison.challenger} against {comparison.champion} on {comparison.dataset_name}"
    facts = f"{count(rows_of(comparison), 'row')}; one-sided {100 * comparison.confidence:.4g} % bounds"
    return sheet_of(title, f"{facts}. {selection.note}", _panels(selection.shown)).png()


def rows_of(comparison: Comparison) -> int:
    """How many rows the two were compared on: those of its largest measurement."""
    return max((measured.rows for measured in comparison.results), default=0)


def _panels(lines: Iterable[Line]) -> list[Panel]:
    panels: dict[tuple[str, bool], Panel] = {}
    family = None
    for line in lines:
        if line.measured is None:
            continue
        metric, alone = line.measured.metric, line.measured.difference is None
        panel = panels.setdefault((metric, alone), _panel(metric, alone=alone))
        if line.slice is not None and line.family != family:
            panel.rows.append(_heading(line, metric))
        family = line.family
        panel.rows.append(_point(line, line.measured))
    return sorted(panels.values(), key=lambda panel: not panel.differences)


def _panel(metric: str, *, alone: bool) -> Panel:
    title = plain(metric, _LONGEST_METRIC) + (", value" if alone else "")
    return Panel(title, _ALONE_COLUMNS if alone else _PAIR_COLUMNS, differences=not alone)


def _heading(line: Line, metric: str) -> str:
    _, _, column = line.family
    return plain(f"{_words(line, metric)}, by {column}".lstrip(", "), 44)


def _label(line: Line, metric: str) -> str:
    if line.slice is not None:
        return plain(line.slice, _LONGEST_SLICE)
    return plain(_words(line, metric) or "all rows", _LONGEST_LABEL)


def _words(line: Line, metric: str) -> str:
    return (line.check or "").removeprefix(metric).strip()


def _point(line: Line, measured: Measured) -> Point:
    estimate = measured.challenger if measured.difference is None else measured.difference
    return Point(
        label=_label(line, measured.metric),
        estimate=estimate,
        lower=-inf if measured.lower is None else measured.lower,
        upper=inf if measured.upper is None else measured.upper,
        threshold=line.threshold,
        mark=OUTCOMES.get(line.outcome, OUTCOMES[None]),
        outcome=line.outcome,
        rows="" if line.slice is None else count(measured.rows, "row"),
        numbers=_numbers(line, measured),
        part=line.slice is not None,
    )


def _numbers(line: Line, measured: Measured) -> tuple[str, str, str]:
    challenger = number(measured.challenger)
    if measured.difference is None:
        return (
            challenger,
            lower_bound(measured.lower),
            NOTHING if line.threshold is None else f"> {short(line.threshold)}",
        )
    champion = NOTHING if measured.champion is None else number(measured.champion)
    return challenger, champion, signed(measured.difference)
