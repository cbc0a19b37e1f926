"""The ledger of one alias as a picture: who was in force when, and what was decided about the others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from itertools import zip_longest
from math import inf
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from registry.ledger import fold
from registry.reports.marks import MARKS
from registry.reports.sheet import BLUE, QUIET, VERMILLION, WIDTH, Sheet
from registry.words import count, number, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from matplotlib.axes import Axes

    from registry.tables import LedgerEntry

MOST_ENTRIES = 80
"""A picture shows no more entries than these, the newest."""

_MARGIN, _LABELS, _VALUES = 0.35, 1.75, 0.8
_TITLE, _AXIS, _LEGEND = 0.95, 0.6, 0.4
_ROW, _DENSE_ROW, _MANY_ROWS = 0.28, 0.2, 30
_BAR = 0.34
_WAS_IN_FORCE, _FELL = "#A9CBE3", "#F0BE9B"  # pale blue, pale vermillion


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

    @property
    def row_height(self) -> float:
        return _ROW if len(self.rows) < _MANY_ROWS else _DENSE_ROW

    @property
    def height(self) -> float:
        return self.row_height * len(self.rows)

    @property
    def ticks(self) -> list[float]:
        first, last = self.entries[0].sequence, self.entries[-1].sequence
        ticks = MaxNLocator(16, integer=True, steps=[1, 2, 5, 10]).tick_values(first, last)
        return [tick for tick in ticks if first <= tick <= last]

    @property
    def limits(self) -> tuple[float, float]:
        first, last = self.entries[0].sequence, self.entries[-1].sequence
        room = max(0.7, 0.03 * (last - first))
        return first - room, last + room


def timeline(
    entries: Sequence[LedgerEntry], values: Mapping[int, float] | None = None, metric: str = ""
) -> bytes:
    """A PNG of the *entries* of one alias, oldest first: a row for each version, a bar for each reign.

    Args:
        entries: All of them; the newest 80 are drawn.
        values: What to write beside a version, by its number.
        metric: What the values are.
    """
    if not entries:
        sheet = Sheet(_TITLE)
        sheet.text(_MARGIN, 0.48, "Nothing was decided yet.", size=12.5, weight="bold")
        return sheet.png()
    story = _read(entries)
    sheet = Sheet(_TITLE + story.height + _AXIS + _LEGEND)
    _draw_titles(sheet, entries)
    _draw_labels(sheet, story, dict(values or {}))
    if values:
        sheet.text(WIDTH - _MARGIN, _TITLE - 0.14, plain(metric, 24), size=8, color=QUIET, ha="right")
    width = WIDTH - 2 * _MARGIN - _LABELS - (_VALUES if values else 0)
    axes = sheet.panel(_MARGIN + _LABELS, _TITLE, width, story.height)
    _draw_story(axes, story)
    _draw_legend(sheet, story)
    return sheet.png()


def _read(entries: Sequence[LedgerEntry]) -> _Story:
    newest = entries[-MOST_ENTRIES:]
    reigns = [reign for reign in _reigns(entries) if reign.end > newest[0].sequence]
    versions = {entry.version for entry in newest} | {reign.version for reign in reigns}
    rows = {version: row for row, version in enumerate(sorted(versions, reverse=True))}
    return _Story(entries=newest, reigns=reigns, quarantined=fold(entries).quarantined, rows=rows)


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
    sheet.text(_MARGIN, 0.34, plain(f"{newest.model}@{newest.alias}", 80), size=12.5, weight="bold")
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


def _draw_labels(sheet: Sheet, story: _Story, values: Mapping[int, float]) -> None:
    in_force = story.entries[-1].in_force
    middles = {version: _TITLE + story.row_height * (row + 0.5) for version, row in story.rows.items()}
    sheet.rules(list(middles.values()), _MARGIN + _LABELS, WIDTH - _MARGIN - (_VALUES if values else 0))
    for version, middle in middles.items():
        weight = "bold" if version == in_force else "normal"
        sheet.text(_MARGIN, middle, f"@{version}", weight=weight)
        if version in values:
            sheet.text(WIDTH - _MARGIN, middle, number(values[version]), ha="right", weight=weight)
        if version in story.quarantined:
            sheet.text(_MARGIN + 0.6, middle, "quarantined", size=8, color=VERMILLION)
        if version == in_force:
            sheet.text(_MARGIN + 0.6, middle, "in force", size=8, color=BLUE)


def _draw_story(axes: Axes, story: _Story) -> None:
    axes.set(xlim=story.limits, ylim=(len(story.rows) - 0.5, -0.5))
    axes.set_xticks(story.ticks)
    axes.set_xlabel("decision", size=8, color=QUIET, family="DejaVu Sans")
    for reign in story.reigns:
        _draw_reign(axes, reign, story.rows[reign.version])
    for entry in story.entries:
        if entry.moved and entry.replaced in story.rows:
            _draw_move(axes, entry, story)
        axes.plot([entry.sequence], [story.rows[entry.version]], zorder=4, **MARKS[entry.kind].style)


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
    colour = VERMILLION if entry.kind == "rolled-back" else QUIET
    axes.plot([entry.sequence] * 2, rows, color=colour, linewidth=0.9, zorder=1.5)


def _draw_legend(sheet: Sheet, story: _Story) -> None:
    x, middle = _MARGIN + 0.08, sheet.height - 0.25
    kinds = {entry.kind for entry in story.entries}
    for kind, mark in MARKS.items():
        if kind in kinds:
            sheet.mark(x, middle, mark)
            sheet.text(x + 0.14, middle, kind.replace("-", " "), size=8, color=QUIET)
            x += 0.42 + 0.07 * len(kind)
    for colour, end, words in ((_WAS_IN_FORCE, "white", "reign"), (_FELL, VERMILLION, "until it fell")):
        if any(reign.fell == (colour == _FELL) for reign in story.reigns):
            sheet.patch((x - 0.08, x + 0.16), (middle - 0.07, middle + 0.07), color=colour)
            sheet.patch((x + 0.14, x + 0.16), (middle - 0.09, middle + 0.09), color=end)
            sheet.text(x + 0.24, middle, words, size=8, color=QUIET)
            x += 0.5 + 0.07 * len(words)
