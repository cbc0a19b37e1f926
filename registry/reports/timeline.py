"""The ledger of one alias as a picture: who was in force when, what was decided, and how a metric went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from itertools import zip_longest
from math import inf
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FuncFormatter, MaxNLocator

from registry.ledger import fold
from registry.reports.course import Course
from registry.reports.marks import MARKS
from registry.reports.sheet import BLUE, FAINT, INK, PAGE, QUIET, VERMILLION, Mark, Sheet, width_of
from registry.words import count, plain, short

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from matplotlib.axes import Axes

    from registry.tables import LedgerEntry, Observation

MOST_ENTRIES = 60
"""A picture shows no more entries than these, the newest."""

_MARGIN, _LABELS = 0.2, 1.6
_WIDE = PAGE - 2 * _MARGIN - _LABELS
_TITLE, _HEADING, _COURSE, _AXIS, _LEGEND = 0.95, 0.42, 1.5, 0.72, 0.4
_DATE = 0.85  # inches that a date needs
_ROW, _DENSE_ROW, _MANY_ROWS = 0.28, 0.2, 30
_BAR = 0.34
_WAS_IN_FORCE, _FELL = "#A9CBE3", "#F0BE9B"  # pale blue, pale vermillion
_FONT, _LONGEST_METRIC = "DejaVu Sans", 22
_CHAMPION = Mark("_", INK, INK, 11.0)
_SEEN: dict[str, Any] = {"color": BLUE, "marker": ".", "markersize": 3.0, "linewidth": 0.8, "zorder": 2}


@dataclass(frozen=True, kw_only=True)
class _Reign:
    """A version in force from one entry to another; *fell* if a rollback ended it."""

    version: int
    start: int
    end: float
    fell: bool


@dataclass(frozen=True, kw_only=True)
class _Story:
    """What the picture tells: the newest entries, the reigns in them, and a row for each version."""

    entries: Sequence[LedgerEntry]
    reigns: list[_Reign]
    quarantined: dict[int, int]
    rows: dict[int, int]
    course: Course | None

    @property
    def row_height(self) -> float:
        return _ROW if len(self.rows) < _MANY_ROWS else _DENSE_ROW

    @property
    def height(self) -> float:
        return self.row_height * len(self.rows)

    @property
    def ticks(self) -> list[float]:
        first, last = self.entries[0].sequence, self.entries[-1].sequence
        ticks = MaxNLocator(12, integer=True, steps=[1, 2, 5, 10]).tick_values(first, last)
        return [tick for tick in ticks if first <= tick <= last]

    @property
    def limits(self) -> tuple[float, float]:
        first, last = self.entries[0].sequence, self.entries[-1].sequence
        room = max(0.7, 0.03 * (last - first))
        seen = room if self.course is None else max(room, self.course.end - last)
        return first - room, last + seen


def timeline(entries: Sequence[LedgerEntry], observations: Sequence[Observation] = ()) -> bytes:
    """A PNG of the *entries* of one alias: a row for each version, a bar for each reign, a metric below.

    Args:
        entries: All of them, oldest first; the newest 60 are drawn.
        observations: Of the same alias by one metric, oldest first. It is the metric that is drawn; without
            observations it is the one by which most versions were judged.
    """
    if not entries:
        sheet = Sheet(_TITLE, PAGE)
        sheet.text(_MARGIN, 0.48, "Nothing was decided yet.", size=12.5, weight="bold")
        return sheet.png()
    story = _read(entries, observations)
    below = _HEADING + _COURSE if story.course else 0.0
    sheet = Sheet(_TITLE + story.height + below + _AXIS + _LEGEND, PAGE)
    _draw_titles(sheet, entries)
    _draw_labels(sheet, story)
    reigns = sheet.panel(_MARGIN + _LABELS, _TITLE, _WIDE, story.height)
    _draw_story(reigns, story)
    lowest = _draw_course(sheet, story) if story.course else reigns
    _draw_axis(sheet, lowest, story, _TITLE + story.height + below)
    _draw_legend(sheet, story)
    return sheet.png()


def _read(entries: Sequence[LedgerEntry], observations: Sequence[Observation]) -> _Story:
    newest = entries[-MOST_ENTRIES:]
    reigns = [reign for reign in _reigns(entries) if reign.end > newest[0].sequence]
    versions = {entry.version for entry in newest} | {reign.version for reign in reigns}
    rows = {version: row for row, version in enumerate(sorted(versions, reverse=True))}
    return _Story(
        entries=newest,
        reigns=reigns,
        quarantined=fold(entries).quarantined,
        rows=rows,
        course=Course.of(newest, observations),
    )


def _reigns(entries: Sequence[LedgerEntry]) -> list[_Reign]:
    moves = [entry for entry in entries if entry.moved]
    return [
        _Reign(
            version=move.in_force,
            start=move.sequence,
            end=inf if after is None else after.sequence,
            fell=after is not None and after.kind == "rolled-back",
        )
        for move, after in zip_longest(moves, moves[1:])
        if move.in_force is not None
    ]


def _draw_titles(sheet: Sheet, entries: Sequence[LedgerEntry]) -> None:
    newest = entries[-1]
    sheet.text(_MARGIN, 0.34, plain(f"{newest.model}@{newest.alias}", 58), size=12.5, weight="bold")
    state = "nothing is in force" if newest.in_force is None else f"version {newest.in_force} is in force"
    facts = (
        f"{count(len(entries), 'decision')}, {_dates(entries[0].recorded_at, newest.recorded_at)}; {state}"
    )
    if len(entries) > MOST_ENTRIES:
        facts += f"; the newest {MOST_ENTRIES} are shown"
    sheet.text(_MARGIN, 0.62, facts, color=QUIET)


def _dates(first: datetime, last: datetime) -> str:
    days = [f"{moment.astimezone(UTC):%Y-%m-%d}" for moment in (first, last)]
    return " to ".join(dict.fromkeys(days))


def _draw_labels(sheet: Sheet, story: _Story) -> None:
    in_force = story.entries[-1].in_force
    middles = {version: _TITLE + story.row_height * (row + 0.5) for version, row in story.rows.items()}
    sheet.rules(list(middles.values()), _MARGIN + _LABELS, PAGE - _MARGIN)
    for version, middle in middles.items():
        weight = "bold" if version == in_force else "normal"
        sheet.text(_MARGIN, middle, f"@{version}", weight=weight)
        if version in story.quarantined:
            sheet.text(_MARGIN + 0.6, middle, "quarantined", size=8, color=VERMILLION)
        if version == in_force:
            sheet.text(_MARGIN + 0.6, middle, "in force", size=8, color=BLUE)


def _draw_story(axes: Axes, story: _Story) -> None:
    axes.set(xlim=story.limits, ylim=(len(story.rows) - 0.5, -0.5))
    axes.set_xticks([])
    for reign in story.reigns:
        _draw_reign(axes, reign, story.rows[reign.version])
    for entry in story.entries:
        if entry.moved and entry.replaced in story.rows:
            _draw_move(axes, entry, story)
        axes.plot([entry.sequence], [story.rows[entry.version]], zorder=4, **MARKS[entry.kind].style)


def _draw_course(sheet: Sheet, story: _Story) -> Axes:
    """The metric below the reigns, over the same decisions."""
    course, top = story.course, _TITLE + story.height + _HEADING
    if course is None:
        raise AssertionError(story)  # whoever draws it has looked
    sheet.text(_MARGIN, top + 0.12, plain(course.metric, _LONGEST_METRIC), weight="bold")
    _draw_course_legend(sheet, course, top + 0.38)
    axes = sheet.panel(_MARGIN + _LABELS, top, _WIDE, _COURSE)
    axes.set(xlim=story.limits, ylim=course.limits)
    axes.yaxis.set_visible(True)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.tick_params(axis="y", length=0, labelcolor=QUIET, labelsize=8, labelfontfamily=_FONT)
    axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    for entry in story.entries:
        if entry.moved:
            axes.axvline(entry.sequence, color=_colour(entry), linewidth=0.7, zorder=1.2)
    for stretch in course.seen:
        axes.plot(*zip(*stretch, strict=True), **_SEEN)
    axes.plot(*_pairs(course.champions), clip_on=False, zorder=3, **_CHAMPION.style)
    for kind, points in course.challengers.items():
        axes.plot(*_pairs(points), clip_on=False, zorder=3.5, **MARKS[kind].style)
    return axes


def _pairs(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _draw_course_legend(sheet: Sheet, course: Course, middle: float) -> None:
    items = {
        MARKS[next(iter(course.challengers), "held")]: "on a holdout" if course.challengers else "",
        _CHAMPION: "champion on it" if course.champions else "",
        Mark("o", BLUE, BLUE, 3.0): "live batches" if course.seen else "",
    }
    for mark, words in items.items():
        if words:
            sheet.mark(_MARGIN + 0.08, middle, mark)
            sheet.text(_MARGIN + 0.22, middle, words, size=8, color=QUIET)
            middle += 0.2


def _draw_axis(sheet: Sheet, axes: Axes, story: _Story, bottom: float) -> None:
    """Number the decisions, and write the dates below them that have room."""
    axes.set_xticks(story.ticks)
    low, high = story.limits
    dates = {entry.sequence: f"{entry.recorded_at.astimezone(UTC):%Y-%m-%d}" for entry in story.entries}
    free, last = 0.0, ""
    for tick in story.ticks:
        x, date = _MARGIN + _LABELS + (tick - low) / (high - low) * _WIDE, dates[int(tick)]
        if date != last and x >= free:
            sheet.text(x, bottom + 0.32, date, size=8, color=QUIET, ha="center")
            free, last = x + _DATE, date
    sheet.text(_MARGIN, bottom + 0.13, "decision", size=8, color=QUIET)


def _draw_reign(axes: Axes, reign: _Reign, row: int) -> None:
    colour = _FELL if reign.fell else BLUE if reign.end == inf else _WAS_IN_FORCE
    low, high = axes.get_xlim()
    axes.fill_between(
        (max(low, reign.start), min(high, reign.end)),
        row - _BAR,
        row + _BAR,
        color=colour,
        linewidth=0,
        zorder=2,
    )
    if reign.fell:
        axes.plot([reign.end] * 2, (row - 0.42, row + 0.42), color=VERMILLION, linewidth=2.4, zorder=3)


def _draw_move(axes: Axes, entry: LedgerEntry, story: _Story) -> None:
    rows = [story.rows[version] for version in (entry.replaced, entry.version) if version is not None]
    axes.plot([entry.sequence] * 2, rows, color=_colour(entry), linewidth=0.9, zorder=1.5)


def _colour(move: LedgerEntry) -> str:
    return VERMILLION if move.kind == "rolled-back" else QUIET


def _draw_legend(sheet: Sheet, story: _Story) -> None:
    x, middle = _MARGIN + 0.08, sheet.height - 0.25
    kinds = {entry.kind for entry in story.entries}
    for words, mark in ((kind.replace("-", " "), mark) for kind, mark in MARKS.items() if kind in kinds):
        sheet.mark(x, middle, mark)
        sheet.text(x + 0.14, middle, words, size=8, color=QUIET)
        x += 0.39 + width_of(words)
    for colour, end, words in ((_WAS_IN_FORCE, "white", "reign"), (_FELL, VERMILLION, "until it fell")):
        if any(reign.fell == (colour == _FELL) for reign in story.reigns):
            sheet.patch((x - 0.08, x + 0.16), (middle - 0.07, middle + 0.07), color=colour)
            sheet.patch((x + 0.14, x + 0.16), (middle - 0.09, middle + 0.09), color=end)
            sheet.text(x + 0.24, middle, words, size=8, color=QUIET)
            x += 0.49 + width_of(words)
