"""Backtests: a grid of what every version has over the one in force, and the card around it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from math import floor, log10
from statistics import median
from typing import TYPE_CHECKING, Any

from matplotlib.colors import to_rgb

from registry.reports.parts import picture, small_print, table
from registry.reports.sheet import BLUE, INK, QUIET, SHADE, VERMILLION, WIDTH, Sheet
from registry.tables import WHOLE
from registry.words import NOTHING, count, interval, markdown, number, plain, signed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes

    from registry.backtest import Backtest, Measurement
    from registry.evidence import Measured

MOST_VERSIONS = 60
"""A picture shows no more versions than these, the best, and the one in force."""

MOST_COLUMNS = 12
"""Nor more columns: the metrics on all rows, then the largest slices, of the first metrics first."""

MOST_LINES = 30
"""A table shows no more versions than these, the best, and the one in force."""

_MOST_METRICS, _MOST_REASONS, _LONGEST_REASON, _FINGERPRINT = 4, 20, 400, 12

_MARGIN, _LABELS, _OVERHANG, _GAP = 0.35, 1.3, 0.9, 0.15
_TITLE, _HEADS, _HEAD_CHARACTER, _LEGEND = 0.85, 0.42, 0.037, 0.65
_ROW, _DENSE_ROW, _MANY_ROWS, _WIDEST = 0.27, 0.22, 30, 1.0
_LONGEST_HEAD, _LONGEST_TITLE = 22, 76
_PALE, _TONES, _DEEPEST, _DARK = 0.965, 8, 0.92, 0.5
_LONGEST_NUMBER, _MINUS = 7, "\N{MINUS SIGN}"

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class _Column:
    """A metric on all rows or on a slice; the numbers that are palest and deepest in it."""

    metric: str
    part: str
    zero: float
    full: float

    @property
    def group(self) -> str:
        return "all rows" if self.part == WHOLE else f"{self.metric} by slice"

    @property
    def head(self) -> str:
        return plain(self.metric if self.part == WHOLE else self.part, _LONGEST_HEAD)

    def colour(self, value: float) -> Colour:
        """Pale at zero, blue above, vermillion below; in steps, which a palette keeps apart."""
        share = max(-1.0, min(1.0, (value - self.zero) / self.full))
        depth = _DEEPEST * round(abs(share) * _TONES) / _TONES
        red, green, blue = to_rgb(BLUE if share > 0 else VERMILLION)
        return _mixed(red, depth), _mixed(green, depth), _mixed(blue, depth)

    def difference(self, value: float) -> str:
        """With its sign, and so many decimals that the deepest has three digits."""
        decimals = max(0, 2 - floor(log10(self.full)))
        if len(f"{self.full:+,.{decimals}f}") > _LONGEST_NUMBER:
            return _scientific(value, "+")
        text = f"{value:+,.{decimals}f}"
        return "0" if float(text.replace(",", "")) == 0 else text.replace("-", _MINUS)


@dataclass(frozen=True, eq=False)
class _Grid:
    """What is drawn of a backtest: versions downwards, the best first, and columns."""

    backtest: Backtest

    @cached_property
    def versions(self) -> list[Measurement]:
        return _best(self.backtest, MOST_VERSIONS)

    @cached_property
    def columns(self) -> list[_Column]:
        metrics = self.backtest.question.metrics
        places = [(metric, WHOLE) for metric in metrics]
        for metric in metrics:
            places += [(metric, part) for part in self._largest_slices(metric, MOST_COLUMNS - len(places))]
        return [_Column(metric, part, *self._scale(metric, part)) for metric, part in places[:MOST_COLUMNS]]

    @property
    def left_out(self) -> str:
        """What there was no room for; empty if there was for all."""
        versions = len(self.backtest.measured) - len(self.versions)
        places = {(each.metric, each.slice) for version in self.versions for each in version.results}
        columns = len(places) - len(self.columns)
        missing = [count(versions, "more version")] if versions else []
        missing += [count(columns, "more column")] if columns else []
        return f"; not shown: {', '.join(missing)}" if missing else ""

    @property
    def top(self) -> float:
        """Where the cells begin, below heads that are as long as the longest."""
        return _TITLE + _HEADS + _HEAD_CHARACTER * max(len(column.head) for column in self.columns)

    @property
    def row(self) -> float:
        return _ROW if len(self.versions) < _MANY_ROWS else _DENSE_ROW

    @property
    def column(self) -> float:
        gaps = _GAP * len({column.group for column in self.columns})
        room = WIDTH - 2 * _MARGIN - _LABELS - _OVERHANG - gaps
        return min(_WIDEST, room / len(self.columns))

    def value(self, version: Measurement, column: _Column) -> float | None:
        """What is coloured: the difference from the version in force; the value if there is none."""
        return _told(version.found(column.metric, column.part), compared=self.backtest.champion is not None)

    def _largest_slices(self, metric: str, most: int) -> list[str]:
        """At *most* so many, by name."""
        rows = {
            each.slice: each.rows
            for version in self.versions
            for each in version.results
            if each.metric == metric and each.slice != WHOLE
        }
        return sorted(sorted(rows, key=lambda part: (-rows[part], part))[: max(0, most)])

    def _scale(self, metric: str, part: str) -> tuple[float, float]:
        """White and deepest; a few versions that are far out do not pale all others."""
        compared = self.backtest.champion is not None
        measured = [
            each
            for version in self.versions
            for each in version.results
            if each.metric == metric and (each.slice == WHOLE) == (part == WHOLE)
        ]
        values = [value for each in measured if (value := _told(each, compared=compared)) is not None]
        zero = 0.0 if compared else min(values)
        sizes = [abs(value - zero) for value in values if value != zero] or [1.0]
        return zero, min(max(sizes), 6 * median(sizes))


def heat_map(backtest: Backtest) -> bytes:
    """A PNG with a row for each version, the best first, and a column for each metric and slice.

    A cell holds what the version has over the one in force, blue where it is better and vermillion where it
    is worse; a bold number is provably so. Without a version in force a cell holds the value.
    """
    grid = _Grid(backtest)
    if not grid.versions:
        sheet = Sheet(_TITLE)
        _draw_titles(sheet, grid, f"{count(len(backtest.left_out), 'version')} left out")
        return sheet.png()
    sheet = Sheet(grid.top + grid.row * len(grid.versions) + _LEGEND)
    against = f"differences from {backtest.in_force}" if backtest.champion else "values"
    _draw_titles(sheet, grid, f"{against}; the best by {plain(backtest.question.metrics[0], 40)} first")
    _draw_labels(sheet, grid)
    left = _MARGIN + _LABELS
    for name, group in groupby(grid.columns, key=lambda column: column.group):
        columns = list(group)
        _draw_heads(sheet, grid, (left, name), columns)
        _draw_cells(
            sheet.panel(left, grid.top, grid.column * len(columns), grid.row * len(grid.versions)),
            grid,
            columns,
        )
        left += grid.column * len(columns) + _GAP
    _draw_legend(sheet, grid)
    return sheet.png()


def _draw_titles(sheet: Sheet, grid: _Grid, facts: str) -> None:
    backtest = grid.backtest
    title = f"What each version of {backtest.model} would have brought on {backtest.dataset_name}"
    sheet.text(_MARGIN, 0.34, plain(title, _LONGEST_TITLE), size=12.5, weight="bold")
    rows = count(backtest.rows, "row")
    sheet.text(_MARGIN, 0.62, f"{rows}; {facts}{grid.left_out if grid.versions else ''}", color=QUIET)


def _draw_labels(sheet: Sheet, grid: _Grid) -> None:
    for row, version in enumerate(grid.versions):
        middle = grid.top + grid.row * (row + 0.5)
        in_force = version is grid.backtest.champion
        sheet.text(
            _MARGIN,
            middle,
            f"@{version.reference.partition('@')[2]}",
            weight="bold" if in_force else "normal",
        )
        if in_force:
            sheet.text(_MARGIN + 0.5, middle, plain(grid.backtest.question.alias, 11), size=8, color=BLUE)


def _draw_heads(sheet: Sheet, grid: _Grid, place: tuple[float, str], columns: Sequence[_Column]) -> None:
    left, name = place
    bottom = grid.top - 0.06
    sheet.text(left, _TITLE + 0.12, plain(name, 40), size=8, color=QUIET)
    for position, column in enumerate(columns):
        middle = left + grid.column * (position + 0.4)
        sheet.text(
            middle, bottom, column.head, size=8, va="bottom", ha="left", rotation=30, rotation_mode="anchor"
        )


def _draw_cells(axes: Axes, grid: _Grid, columns: Sequence[_Column]) -> None:
    rows, width = len(grid.versions), len(columns)
    axes.axis("off")
    colours = [[_background(grid, version, column) for column in columns] for version in grid.versions]
    axes.imshow(colours, aspect="auto", interpolation="nearest", extent=(0, width, rows, 0))
    axes.hlines(range(1, rows), 0, width, color="white", linewidth=1)
    axes.vlines(range(1, width), 0, rows, color="white", linewidth=1)
    for row, version in enumerate(grid.versions):
        for position, column in enumerate(columns):
            _write(axes, (position + 0.5, row + 0.5), *_number(grid, version, column))
        if version is grid.backtest.champion:
            frame = [0, width, width, 0, 0], [row, row, row + 1, row + 1, row]
            axes.plot(*frame, color=INK, linewidth=1.4, clip_on=False)


def _write(axes: Axes, place: tuple[float, float], text: str, style: dict[str, Any]) -> None:
    centred = {"size": 7.5, "ha": "center", "va": "center_baseline", "family": "DejaVu Sans"}
    axes.text(*place, text, fontdict={**centred, **style}, parse_math=False)


def _number(grid: _Grid, version: Measurement, column: _Column) -> tuple[str, dict[str, Any]]:
    """The text of a cell, and how it is set."""
    measured = version.found(column.metric, column.part)
    if measured is None:
        return NOTHING, {"color": QUIET}
    style = {"color": _ink(grid, version, column)}
    if measured.difference is None or grid.backtest.champion is None:
        text = number(measured.challenger, 3)
        return text if len(text) <= _LONGEST_NUMBER else _scientific(measured.challenger), style
    proven = version.proof(column.metric, column.part) is not None
    return column.difference(measured.difference), {**style, "weight": "bold" if proven else "normal"}


def _scientific(value: float, sign: str = "") -> str:
    """As narrow as it gets, such as 1.2e5."""
    mantissa, _, exponent = f"{value:{sign}.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", _MINUS)


def _background(grid: _Grid, version: Measurement, column: _Column) -> Colour:
    value = grid.value(version, column)
    return to_rgb(SHADE) if value is None else column.colour(value)


def _ink(grid: _Grid, version: Measurement, column: _Column) -> str:
    red, green, blue = _background(grid, version, column)
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < _DARK else INK


def _mixed(part: float, depth: float) -> float:
    return _PALE + depth * (part - _PALE)


def _draw_legend(sheet: Sheet, grid: _Grid) -> None:
    middle, x = sheet.height - 0.3, _MARGIN + 0.55
    compared = grid.backtest.champion is not None
    scale = _Column("", WHOLE, 0.0, 1.0)
    for step in range(-_TONES if compared else 0, _TONES + 1):
        sheet.patch((x, x + 0.13), (middle - 0.08, middle + 0.08), color=scale.colour(step / _TONES))
        x += 0.13
    sheet.text(_MARGIN + 0.47, middle, "worse", size=8, color=QUIET, ha="right")
    sheet.text(x + 0.08, middle, "better", size=8, color=QUIET)
    note = "each metric has its own scale, on all rows and on slices"
    if compared:
        note += f"; bold: provable, all at {100 * grid.backtest.question.confidence:.4g} %"
    sheet.text(x + 0.75, middle, note, size=8, color=QUIET)


def _told(measured: Measured | None, *, compared: bool) -> float | None:
    if measured is None:
        return None
    return measured.difference if compared else measured.challenger


def _best(backtest: Backtest, most: int) -> list[Measurement]:
    """The best, and the one in force if it is not among them."""
    return [each for rank, each in enumerate(backtest.measured) if rank < most or each is backtest.champion]


def backtest_card(backtest: Backtest) -> str:
    """What every version would have brought, as Markdown with the picture in it; nothing is decided."""
    parts = [f"## {_sentence(backtest.headline)}", "\n".join(_findings(backtest))]
    if backtest.measured:
        shown = _best(backtest, MOST_LINES)
        parts.append(table(_columns(backtest), (_cells(backtest, version) for version in shown)))
        more = len(backtest.measured) - len(shown)
        parts.append(f"The best are shown; {count(more, 'more version')} not." if more else "")
        parts.append(picture(f"What each version of {backtest.model} would have brought", heat_map(backtest)))
    parts += _left_out(backtest)
    return "\n\n".join([*filter(None, parts), "---", _print(backtest)]) + "\n"


def _sentence(text: str) -> str:
    shown = markdown(text, 400)
    return shown[0].upper() + shown[1:] if text.startswith(("no ", "there ", "nothing ")) else shown


def _findings(backtest: Backtest) -> Iterator[str]:
    """By each metric, how many versions are provably better or worse, and which is best."""
    if backtest.champion is None:
        return
    for metric in backtest.question.metrics[:_MOST_REASONS]:
        proofs = [version.proof(metric) for version in backtest.challengers]
        best = max(backtest.challengers, key=lambda each: each.whole(metric).challenger, default=None)
        if best is None:
            return
        yield (
            f"- {markdown(metric)}: {markdown(best.reference)} is best, {_difference(best, metric)}; "
            f"{proofs.count('better'):,} of {count(len(proofs), 'version')} provably better than "
            f"{markdown(str(backtest.in_force))}, {proofs.count('worse'):,} provably worse"
        )


def _columns(backtest: Backtest) -> list[str]:
    heads = ["Version :--"]
    for metric in backtest.question.metrics[:_MOST_METRICS]:
        heads.append(f"{markdown(metric)} --:")
        heads += ["Difference --:"] if backtest.champion else []
    return heads


def _cells(backtest: Backtest, version: Measurement) -> list[str]:
    name = markdown(version.reference)
    cells = [f"**{name}**, {markdown(backtest.question.alias)}" if version is backtest.champion else name]
    for metric in backtest.question.metrics[:_MOST_METRICS]:
        cells.append(number(version.whole(metric).challenger))
        cells += [_difference(version, metric)] if backtest.champion else []
    return cells


def _difference(version: Measurement, metric: str) -> str:
    measured, proof = version.whole(metric), version.proof(metric)
    if measured.difference is None:
        return NOTHING
    found = f"{signed(measured.difference)} ({interval(measured.lower, measured.upper)})"
    return f"{found} {_SIGNS[proof]}" if proof else found


_SIGNS = {"better": "● better", "worse": "✖ worse"}


def _left_out(backtest: Backtest) -> list[str]:
    """The versions that say nothing, in a list under a heading; nothing if there are none."""
    reasons = [
        f"- {markdown(each.reference)}: {markdown(each.reason, _LONGEST_REASON)}"
        for each in backtest.left_out
    ]
    if not reasons:
        return []
    more = len(reasons) - _MOST_REASONS
    shown = [*reasons[:_MOST_REASONS], *([f"- and {more:,} more"] if more > 0 else [])]
    return [f"### {count(len(reasons), 'version')} left out", "\n".join(shown)]


def _print(backtest: Backtest) -> str:
    question, name = backtest.question, markdown(backtest.dataset_name)
    bounds = (
        f"A difference is the version's value minus that of {markdown(str(backtest.in_force))} on the same "
        f"rows. Its one-sided bounds err with a probability of at most {number(backtest.alpha)} each, so all "
        f"lower bounds hold together with a confidence of {100 * question.confidence:.4g} %; so do all upper"
    )
    slices = "; those on the slices among themselves" if question.slices else ""
    methods = dict.fromkeys(each.method for version in backtest.challengers for each in version.results)
    compared = backtest.champion is not None
    return small_print(
        f"Rows {name} ({backtest.dataset[:_FINGERPRINT]}), {count(backtest.rows, 'row')}",
        f"{bounds}{slices}" if compared else "",
        f"Bounds by {', '.join(map(markdown, methods))}" if compared and methods else "",
        "Nothing was decided",
    )
