"""Forest plots: each difference with its bounds, beside what was demanded of it; one panel for each scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from statistics import median
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FuncFormatter, MaxNLocator

from registry.reports.lines import of_comparison, of_decision
from registry.reports.sheet import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    QUIET,
    SHADE,
    VERMILLION,
    WIDTH,
    Mark,
    Sheet,
)
from registry.words import NOTHING, count, lower_bound, number, plain, short, signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes

    from registry.evidence import Comparison, Measured
    from registry.policy import PromotionDecision
    from registry.reports.lines import Line, Selection

OUTCOMES = {
    "passed": Mark("o", GREEN, GREEN),
    "failed": Mark("X", VERMILLION, VERMILLION, 8.5),
    "inconclusive": Mark("D", QUIET, "white", 6.0),
    None: Mark("o", BLUE, BLUE),
}
"""The mark of each outcome, and of a measurement that nobody judged."""

_MARGIN, _PLOT, _PLOT_END = 0.35, 3.3, 6.85
_ROWS, _COLUMNS = 3.1, (7.7, 8.55, WIDTH - _MARGIN)
_ROW, _HEADING, _AXIS, _GAP = 0.27, 0.34, 0.3, 0.1
_TITLE, _LEGEND = 0.95, 0.5
_ALONE_COLUMNS, _PAIR_COLUMNS = (
    ("challenger", "lower bound", "needs"),
    ("challenger", "champion", "difference"),
)
_LONGEST_LABEL, _LONGEST_SLICE, _LONGEST_TITLE = 34, 22, 76


@dataclass(frozen=True, kw_only=True)
class _Point:
    """One row: an estimate between its bounds, and its numbers."""

    label: str
    estimate: float
    lower: float
    upper: float
    threshold: float | None
    mark: Mark
    outcome: str | None
    rows: str
    numbers: tuple[str, str, str]
    slice: str | None

    @property
    def bounds(self) -> list[float]:
        return [bound for bound in (self.lower, self.upper) if abs(bound) < inf]


@dataclass(frozen=True)
class _Panel:
    """What shares a scale: differences in one metric, or its values. A text among the rows is a heading."""

    metric: str
    alone: bool
    rows: list[_Point | str] = field(default_factory=list)

    @property
    def points(self) -> list[_Point]:
        return [row for row in self.rows if isinstance(row, _Point)]

    @property
    def numbered(self) -> list[tuple[int, _Point]]:
        return [(position, row) for position, row in enumerate(self.rows) if isinstance(row, _Point)]

    @property
    def title(self) -> str:
        return plain(self.metric, 60) + (", value" if self.alone else "")

    @property
    def height(self) -> float:
        return _HEADING + _ROW * len(self.rows) + _AXIS + _GAP

    @property
    def limits(self) -> tuple[float, float]:
        """Everything but the far ends of intervals that are much longer than the others."""
        points = self.points
        wanted = [point.estimate for point in points] + ([] if self.alone else [0.0])
        wanted += [point.threshold for point in points if point.threshold is not None]
        reaches = [abs(bound - point.estimate) for point in points for bound in point.bounds]
        reach = 6 * median(reaches) if reaches else 0.0
        wanted += [b for point in points for b in point.bounds if abs(b - point.estimate) <= reach]
        low, high = min(wanted), max(wanted)
        room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        return low - room, high + room


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
        return _sheet_of((title, "Nothing was measured"), [], selection).png()
    return _sheet_of((title, facts), _panels(selection.shown), selection).png()


def comparison_plot(comparison: Comparison) -> bytes:
    """A PNG of the differences of *comparison*, challenger minus champion, between their one-sided bounds."""
    selection = of_comparison(comparison)
    title = f"{comparison.challenger} against {comparison.champion} on {comparison.dataset_name}"
    facts = f"{count(rows_of(comparison), 'row')}; one-sided {100 * comparison.confidence:.4g} % bounds"
    return _sheet_of((title, facts), _panels(selection.shown), selection).png()


def rows_of(comparison: Comparison) -> int:
    """How many rows the two were compared on: those of its largest measurement."""
    return max((measured.rows for measured in comparison.results), default=0)


def _panels(lines: Iterable[Line]) -> list[_Panel]:
    panels: dict[tuple[str, bool], _Panel] = {}
    family = None
    for line in lines:
        if line.measured is None:
            continue
        metric, alone = line.measured.metric, line.measured.difference is None
        panel = panels.setdefault((metric, alone), _Panel(metric, alone))
        if line.slice is not None and line.family != family:
            panel.rows.append(_heading(line, metric))
        family = line.family
        panel.rows.append(_point(line, line.measured))
    return sorted(panels.values(), key=lambda panel: panel.alone)


def _heading(line: Line, metric: str) -> str:
    _, _, column = line.family
    return plain(f"{_words(line, metric)}, by {column}".lstrip(", "), 44)


def _label(line: Line, metric: str) -> str:
    if line.slice is not None:
        return plain(line.slice, _LONGEST_SLICE)
    return plain(_words(line, metric) or "all rows", _LONGEST_LABEL)


def _words(line: Line, metric: str) -> str:
    return (line.check or "").removeprefix(metric).strip()


def _point(line: Line, measured: Measured) -> _Point:
    estimate = measured.challenger if measured.difference is None else measured.difference
    return _Point(
        label=_label(line, measured.metric),
        estimate=estimate,
        lower=-inf if measured.lower is None else measured.lower,
        upper=inf if measured.upper is None else measured.upper,
        threshold=line.threshold,
        mark=OUTCOMES.get(line.outcome, OUTCOMES[None]),
        outcome=line.outcome,
        rows=count(measured.rows, "row"),
        numbers=_numbers(line, measured),
        slice=line.slice,
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


def _sheet_of(titles: tuple[str, str], panels: Sequence[_Panel], selection: Selection) -> Sheet:
    sheet = Sheet(_TITLE + sum(panel.height for panel in panels) + _LEGEND)
    title, facts = titles
    sheet.text(_MARGIN, 0.34, plain(title, _LONGEST_TITLE), size=12.5, weight="bold")
    sheet.text(_MARGIN, 0.62, f"{facts}. {selection.note}", color=QUIET)
    top, headed = _TITLE, set()
    for panel in panels:
        columns = _ALONE_COLUMNS if panel.alone else _PAIR_COLUMNS
        _draw(sheet, panel, top, () if panel.alone in headed else columns)
        headed.add(panel.alone)
        top += panel.height
    if panels:
        _draw_legend(sheet, panels, top + 0.1)
    return sheet


def _draw(sheet: Sheet, panel: _Panel, top: float, columns: Sequence[str]) -> None:
    middle, first = top + _HEADING / 2 - 0.03, top + _HEADING
    sheet.text(_MARGIN, middle, panel.title, size=10, weight="bold")
    for x, heading in zip(_COLUMNS, columns, strict=False):
        sheet.text(x, middle, heading, size=8, color=QUIET, ha="right")
    sheet.rules([first + _ROW * n for n in range(len(panel.rows))], _MARGIN, WIDTH - _MARGIN)
    for position, row in enumerate(panel.rows):
        _draw_words(sheet, row, first + _ROW * (position + 0.5))
    axes = sheet.panel(_PLOT, first, _PLOT_END - _PLOT, _ROW * len(panel.rows))
    axes.set(xlim=panel.limits, ylim=(len(panel.rows) - 0.5, -0.5))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    _draw_demands(axes, panel)
    for mark in {point.mark: None for point in panel.points}:
        _draw_points(axes, {n: row for n, row in panel.numbered if row.mark == mark}, mark)


def _draw_words(sheet: Sheet, row: _Point | str, middle: float) -> None:
    if isinstance(row, str):
        sheet.text(_MARGIN + 0.1, middle, row, color=QUIET)
        return
    sheet.text(_MARGIN + (0.1 if row.slice is None else 0.3), middle, row.label)
    if row.slice is not None:
        sheet.text(_ROWS, middle, row.rows, size=8, color=QUIET, ha="right")
    for x, text in zip(_COLUMNS, row.numbers, strict=True):
        sheet.text(x, middle, text, ha="right")


def _draw_demands(axes: Axes, panel: _Panel) -> None:
    """Shade what is not accepted, up to the threshold of each row."""
    low, _ = axes.get_xlim()
    if not panel.alone:
        axes.axvline(0, color=QUIET, linewidth=0.8, zorder=1.5)
    for y, point in panel.numbered:
        if point.threshold is not None:
            axes.barh(y, point.threshold - low, 1.0, low, color=SHADE, zorder=0.5)
            axes.vlines(point.threshold, y - 0.5, y + 0.5, color=INK, linewidth=1.2, zorder=2)


def _draw_points(axes: Axes, points: Mapping[int, _Point], mark: Mark) -> None:
    """Draw the *points* at their heights; an interval that leaves the axes ends in an arrow."""
    low, high = axes.get_xlim()
    style: dict[str, Any] = {"color": mark.colour, "linestyle": "none", "clip_on": False, "zorder": 2.6}
    for y, point in points.items():
        axes.hlines(
            y, max(low, point.lower), min(high, point.upper), color=mark.colour, linewidth=1.8, zorder=2.5
        )
    ends = [(bound, y) for y, point in points.items() for bound in point.bounds if low <= bound <= high]
    axes.plot(*_columns(ends), marker="|", markersize=7, markeredgewidth=1.4, **style)
    beyond = [y for y, point in points.items() if point.lower < low]
    axes.plot([low] * len(beyond), beyond, marker="<", markersize=6, markeredgewidth=0, **style)
    beyond = [y for y, point in points.items() if point.upper > high]
    axes.plot([high] * len(beyond), beyond, marker=">", markersize=6, markeredgewidth=0, **style)
    axes.plot(
        [point.estimate for point in points.values()], list(points), zorder=3, clip_on=False, **mark.style
    )


def _columns(pairs: Sequence[tuple[float, int]]) -> tuple[list[float], list[int]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def _draw_legend(sheet: Sheet, panels: Sequence[_Panel], middle: float) -> None:
    points = [point for panel in panels for point in panel.points]
    x = _MARGIN + 0.05
    for outcome in ("passed", "failed", "inconclusive"):
        if any(point.outcome == outcome for point in points):
            sheet.mark(x, middle, OUTCOMES[outcome])
            sheet.text(x + 0.13, middle, outcome, size=8, color=QUIET)
            x += 0.36 + 0.075 * len(outcome)
    if any(point.threshold is not None for point in points):
        harm = any(point.slice and point.outcome for point in points)
        demand = "below the threshold" + ("; a slice fails on proof of it only" if harm else "")
        sheet.patch((x - 0.06, x + 0.1), (middle - 0.08, middle + 0.08), color=FAINT)
        sheet.patch((x + 0.1, x + 0.115), (middle - 0.08, middle + 0.08), color=INK)
        sheet.text(x + 0.22, middle, demand, size=8, color=QUIET)
    if any(not panel.alone for panel in panels):
        hint = "right of 0 the challenger is better"
        sheet.text(WIDTH - _MARGIN, middle, hint, size=8, color=QUIET, ha="right")
