"""Estimates between their bounds, row by row, in panels that each have a scale of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from statistics import median
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FuncFormatter, MaxNLocator

from registry.reports.sheet import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    PAGE,
    QUIET,
    SHADE,
    VERMILLION,
    Mark,
    Sheet,
)
from registry.words import plain, short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

OUTCOMES = {
    "passed": Mark("o", GREEN, GREEN),
    "failed": Mark("X", VERMILLION, VERMILLION, 8.5),
    "inconclusive": Mark("D", QUIET, "white", 6.0),
    None: Mark("o", BLUE, BLUE),
}
"""The mark of each outcome, and of a measurement that nobody judged."""

_MARGIN, _PLOT, _PLOT_END = 0.2, 2.55, 4.9
_ROWS, _COLUMNS = 2.4, (5.65, 6.5, PAGE - _MARGIN)
_ROW, _HEADING, _AXIS, _GAP = 0.27, 0.34, 0.3, 0.1
_TITLE, _LEGEND = 0.95, 0.5
_LONGEST_TITLE = 58


@dataclass(frozen=True, kw_only=True)
class Point:
    """One row: an estimate between its bounds, and its numbers.

    Attributes:
        label: What was measured.
        estimate: The value.
        lower: The bound below it, or minus infinity.
        upper: The bound above it, or infinity.
        threshold: What the lower bound has to stay above; None if nothing was demanded.
        mark: How the estimate is marked.
        outcome: What was found; None if nobody judged it.
        rows: How many rows it was measured on, in words; not written if empty.
        numbers: What the three columns at the right say.
        part: Whether it is a part of what stands above it.
    """

    label: str
    estimate: float
    lower: float = -inf
    upper: float = inf
    threshold: float | None = None
    mark: Mark = OUTCOMES[None]
    outcome: str | None = None
    rows: str = ""
    numbers: tuple[str, str, str]
    part: bool = False

    @property
    def bounds(self) -> list[float]:
        """The bounds that are finite."""
        return [bound for bound in (self.lower, self.upper) if abs(bound) < inf]


@dataclass(frozen=True)
class Panel:
    """What shares a scale. A text among the rows is a heading.

    Attributes:
        title: What is measured.
        columns: What the three columns at the right are.
        differences: Whether the rows are differences, of which 0 means something.
        rows: From top to bottom.
    """

    title: str
    columns: tuple[str, str, str]
    differences: bool = False
    rows: list[Point | str] = field(default_factory=list)

    @property
    def points(self) -> list[Point]:
        """The rows that are no headings."""
        return [row for row in self.rows if isinstance(row, Point)]

    @property
    def numbered(self) -> list[tuple[int, Point]]:
        """The points, each with its place among the rows."""
        return [(position, row) for position, row in enumerate(self.rows) if isinstance(row, Point)]

    @property
    def judged(self) -> bool:
        """Whether something was demanded of a row."""
        return any(point.threshold is not None for point in self.points)

    @property
    def height(self) -> float:
        """Inches."""
        return _HEADING + _ROW * len(self.rows) + _AXIS + _GAP

    @property
    def limits(self) -> tuple[float, float]:
        """Everything but the far ends of intervals that are much longer than the others."""
        points = self.points
        wanted = [point.estimate for point in points] + ([0.0] if self.differences else [])
        wanted += [point.threshold for point in points if point.threshold is not None]
        reaches = [abs(bound - point.estimate) for point in points for bound in point.bounds]
        reach = 6 * median(reaches) if reaches else 0.0
        wanted += [b for point in points for b in point.bounds if abs(b - point.estimate) <= reach]
        low, high = min(wanted), max(wanted)
        room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        return low - room, high + room


def sheet_of(title: str, facts: str, panels: Sequence[Panel]) -> Sheet:
    """A page of the *panels* below a title and a line of facts."""
    needs_legend = any(panel.differences or panel.judged for panel in panels)
    sheet = Sheet(_TITLE + sum(panel.height for panel in panels) + (_LEGEND if needs_legend else _GAP), PAGE)
    sheet.text(_MARGIN, 0.34, plain(title, _LONGEST_TITLE), size=12.5, weight="bold")
    sheet.text(_MARGIN, 0.62, facts, color=QUIET)
    top, headed = _TITLE, set()
    for panel in panels:
        _draw(sheet, panel, top, () if panel.columns in headed else panel.columns)
        headed.add(panel.columns)
        top += panel.height
    if needs_legend:
        _draw_legend(sheet, panels, top + 0.1)
    return sheet


def _draw(sheet: Sheet, panel: Panel, top: float, columns: Sequence[str]) -> None:
    middle, first = top + _HEADING / 2 - 0.03, top + _HEADING
    sheet.text(_MARGIN, middle, panel.title, size=10, weight="bold")
    for x, heading in zip(_COLUMNS, columns, strict=False):
        sheet.text(x, middle, heading, size=8, color=QUIET, ha="right")
    sheet.rules([first + _ROW * n for n in range(len(panel.rows))], _MARGIN, PAGE - _MARGIN)
    for position, row in enumerate(panel.rows):
        _draw_words(sheet, row, first + _ROW * (position + 0.5))
    axes = sheet.panel(_PLOT, first, _PLOT_END - _PLOT, _ROW * len(panel.rows))
    axes.set(xlim=panel.limits, ylim=(len(panel.rows) - 0.5, -0.5))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    _draw_demands(axes, panel)
    for mark in {point.mark: None for point in panel.points}:
        _draw_points(axes, {n: row for n, row in panel.numbered if row.mark == mark}, mark)


def _draw_words(sheet: Sheet, row: Point | str, middle: float) -> None:
    if isinstance(row, str):
        sheet.text(_MARGIN + 0.1, middle, row, color=QUIET)
        return
    sheet.text(_MARGIN + (0.3 if row.part else 0.1), middle, row.label)
    if row.rows:
        sheet.text(_ROWS, middle, row.rows, size=8, color=QUIET, ha="right")
    for x, text in zip(_COLUMNS, row.numbers, strict=True):
        sheet.text(x, middle, text, ha="right")


def _draw_demands(axes: Axes, panel: Panel) -> None:
    """Shade what is not accepted, up to the threshold of each row."""
    low, _ = axes.get_xlim()
    if panel.differences:
        axes.axvline(0, color=QUIET, linewidth=0.8, zorder=1.5)
    for y, point in panel.numbered:
        if point.threshold is not None:
            axes.barh(y, point.threshold - low, 1.0, low, color=SHADE, zorder=0.5)
            axes.vlines(point.threshold, y - 0.5, y + 0.5, color=INK, linewidth=1.2, zorder=2)


def _draw_points(axes: Axes, points: Mapping[int, Point], mark: Mark) -> None:
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


def _draw_legend(sheet: Sheet, panels: Sequence[Panel], middle: float) -> None:
    points = [point for panel in panels for point in panel.points]
    x = _MARGIN + 0.05
    for outcome in ("passed", "failed", "inconclusive"):
        if any(point.outcome == outcome for point in points):
            sheet.mark(x, middle, OUTCOMES[outcome])
            sheet.text(x + 0.13, middle, outcome, size=8, color=QUIET)
            x += 0.36 + 0.075 * len(outcome)
    if any(point.threshold is not None for point in points):
        harm = any(point.part and point.outcome for point in points)
        demand = "below the threshold" + ("; a slice fails on proof of it only" if harm else "")
        sheet.patch((x - 0.06, x + 0.1), (middle - 0.08, middle + 0.08), color=FAINT)
        sheet.patch((x + 0.1, x + 0.115), (middle - 0.08, middle + 0.08), color=INK)
        sheet.text(x + 0.22, middle, demand, size=8, color=QUIET)
    if any(panel.differences for panel in panels):
        hint = "right of 0 the challenger is better"
        sheet.text(PAGE - _MARGIN, middle, hint, size=8, color=QUIET, ha="right")
