"""Control charts: a metric batch by batch beside its floor, and how strong the evidence of a fall was."""

from __future__ import annotations

from math import inf
from os.path import commonprefix
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from registry.reports.marks import MARKS
from registry.reports.sheet import BLUE, FAINT, INK, PAGE, QUIET, VERMILLION, Mark, Sheet, width_of
from registry.reports.stream import LOOKS, Look, Stream
from registry.words import count, plain, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matplotlib.axes import Axes

    from registry.reports.stream import Rise
    from registry.tables import LedgerEntry, Observation

MOST_BATCHES = 180
"""A chart shows no more batches than these, the newest."""

LEAST, _MOST = 1e-4, 10.0
"""Between these the evidence is drawn."""

_FONT, _SIZE, _GAP = "DejaVu Sans", 8, 0.14
_LONGEST_KEY, _LONGEST_METRIC, _LONGEST_TITLE = 26, 32, 58

_MARGIN, _LEFT, _RIGHT = 0.2, 0.75, PAGE - 0.2
_TITLE, _FLAG, _VALUES, _HEADING, _EVIDENCE, _AXIS, _LINE = 1.42, 0.22, 2.3, 0.45, 1.15, 0.5, 0.27

_FAR, _LARGEST = 50, 1e300  # beyond it matplotlib's sums overflow
_SEEN, _LATE, _BEYOND = Mark("o", BLUE, BLUE, 2.6), Mark("o", BLUE, "white", 5.0), Mark("x", BLUE, BLUE, 6.0)
_TURNS = {
    "suspect": "raised the alarm",
    "degraded": "blamed the model",
    "world-changed": "blamed the world",
}


def control_chart(observations: Sequence[Observation], entries: Sequence[LedgerEntry] = ()) -> bytes:
    """A PNG of one stream, batch by batch in the order of recording: values above, evidence of a fall below.

    Args:
        observations: Of one model, alias and metric, oldest first; the newest 180 are drawn.
        entries: The ledger of the alias, oldest first: it says how a version came into force.
    """
    if not observations:
        sheet = Sheet(0.95, PAGE)
        sheet.text(_MARGIN, 0.48, "Nothing was observed yet.", size=12.5, weight="bold")
        return sheet.png()
    whole = Stream.of(observations, entries)
    chart = _Chart(whole.last(MOST_BATCHES))
    _draw_titles(chart.sheet, whole, chart.stream)
    _draw_values(chart)
    _draw_evidence(chart)
    _draw_flags(chart)
    _draw_rises(chart)
    _draw_keys(chart)
    _draw_legend(chart)
    return chart.sheet.png()


class _Chart:
    """A page with room for what a stream needs, and where on it things are, in inches."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.slots = len(stream.rows) + (1 + len(stream.rows) // 16 if stream.successor else 0)
        self.flags = _flags(self)
        self.legend = _lines(_items(stream))
        self.values = _TITLE + _FLAG * (1 + max((flag.row + 1 for flag in self.flags), default=0))
        self.evidence = self.values + _VALUES + _HEADING
        self.keys = self.evidence + _EVIDENCE + 0.17
        self.end = self.evidence + _EVIDENCE + _AXIS
        self.sheet = Sheet(self.end + _LINE * len(self.legend) + 0.1, PAGE)

    def x(self, place: float) -> float:
        """Where a batch is; half a place before it one reign or status ends and another begins."""
        return _LEFT + (place + 0.5) / self.slots * (_RIGHT - _LEFT)

    def panel(self, top: float, height: float) -> Axes:
        """A panel over all batches, tinted and cut as the stream is."""
        for status, first, last in self.stream.stretches:
            sides = self.x(first - 0.5), self.x(last + 0.5)
            self.sheet.patch(sides, (top, top + height), zorder=0.5, **_tint(LOOKS[status]))
        for rise in self.stream.rises:
            if rise.place:
                self.line(rise.place - 0.5, (top, top + height), _colour(rise))
        axes = self.sheet.panel(_LEFT, top, _RIGHT - _LEFT, height)
        axes.set_xlim(-0.5, self.slots - 0.5)
        axes.tick_params(axis="x", bottom=False, labelbottom=False)
        axes.yaxis.set_visible(True)
        axes.tick_params(axis="y", length=0, labelcolor=QUIET, labelsize=_SIZE, labelfontfamily=_FONT)
        axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.8)
        axes.set_axisbelow(True)
        return axes

    def line(self, place: float, y: tuple[float, float], colour: str) -> None:
        """Draw a vertical line."""
        x = self.x(place)
        self.sheet.patch((x - 0.007, x + 0.007), y, color=colour, zorder=0.6)


def _tint(look: Look) -> dict[str, Any]:
    return {"facecolor": look.tint, "hatch": look.hatch, "edgecolor": "white"}


def _colour(rise: Rise) -> str:
    return VERMILLION if rise.kind == "rolled-back" else QUIET


def _key(batch: str) -> str:
    return plain(batch, _LONGEST_KEY)


# Titles


def _draw_titles(sheet: Sheet, whole: Stream, shown: Stream) -> None:
    row, after = whole.newest, whole.successor
    title = plain(f"{row.model}@{row.alias}, {row.metric}", _LONGEST_TITLE)
    sheet.text(_MARGIN, 0.34, title, size=12.5, weight="bold")
    sheet.mark(_MARGIN + 0.06, 0.63, MARKS[after.kind] if after else LOOKS[row.status].mark)
    sheet.text(_MARGIN + 0.22, 0.63, whole.state("@{}".format, _key), weight="bold")
    sheet.text(_MARGIN, 0.87, whole.score(f"@{row.version}", _key), color=QUIET)
    sheet.text(_MARGIN, 1.07, _extent(shown), color=QUIET)


def _extent(shown: Stream) -> str:
    recorded, drawn = shown.rows[-1].sequence, len(shown.rows)
    batches = count(recorded, "batch") + (f", the newest {drawn} are shown" if drawn < recorded else "")
    keys = dict.fromkeys([_key(shown.rows[0].batch), _key(shown.rows[-1].batch)])
    rollbacks = sum(rise.kind == "rolled-back" for rise in shown.rises)
    return f"{batches}: {' to '.join(keys)}; {count(rollbacks, 'rollback') if rollbacks else 'no rollback'}"


# Values


def _draw_values(chart: _Chart) -> None:
    stream, (low, high) = chart.stream, _limits(chart.stream)
    axes = chart.panel(chart.values, _VALUES)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    for places in stream.reigns:
        floors = [stream.standing[place].floor for place in places]
        edges = [places[0] - 0.5, *(place + 0.5 for place in places)]
        axes.stairs(floors, edges, baseline=None, color=INK, linewidth=1.3, zorder=2.2)
        timely = [place for place in places if not stream.rows[place].late]
        axes.plot(timely, [stream.rows[n].value for n in timely], color=BLUE, linewidth=0.8, alpha=0.5)
    for mark, places in _marked(stream).items():
        values = [min(max(stream.rows[place].value, low), high) for place in places]
        axes.plot(places, values, clip_on=False, zorder=3, **mark.style)


def _limits(stream: Stream) -> tuple[float, float]:
    least, most = _believable(stream)
    wanted = [row.value for row in stream.rows if least <= row.value <= most]
    wanted += [row.floor for row in stream.standing]
    low, high = min(wanted), max(wanted)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _believable(stream: Stream) -> tuple[float, float]:
    """Between which values all lie but those beside which the others would be a straight line."""
    values = sorted(row.value for row in stream.rows)
    middle, tenth = median(values), len(values) // 10
    usual = max(values[-1 - tenth] - values[tenth], *(abs(middle - row.floor) for row in stream.standing))
    reach = _FAR * usual or inf
    return max(middle - reach, -_LARGEST), min(middle + reach, _LARGEST)


def _marked(stream: Stream) -> dict[Mark, list[int]]:
    """The places of each mark, what matters most last."""
    least, most = _believable(stream)
    marked: dict[Mark, list[int]] = {}
    for place, row in enumerate(stream.rows):
        seen = _LATE if row.late else _SEEN
        marked.setdefault(seen if least <= row.value <= most else _BEYOND, []).append(place)
    decided = {place for status in ("degraded", "world-changed") for place in stream.turned(status)}
    for status in _TURNS:
        if turned := [n for n in stream.turned(status) if status != "suspect" or n not in decided]:
            marked[LOOKS[status].mark] = turned
    return marked


# Evidence


def _draw_evidence(chart: _Chart) -> None:
    stream, suspect = chart.stream, LOOKS["suspect"].mark
    heading = "evidence of a fall; 1 raises the alarm"
    chart.sheet.text(_LEFT, chart.evidence - 0.16, heading, size=_SIZE, color=QUIET)
    axes = chart.panel(chart.evidence, _EVIDENCE)
    axes.set(yscale="log", ylim=(LEAST, _MOST))
    axes.yaxis.set_major_locator(FixedLocator([LEAST, 0.01, 1]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.axhline(1, color=VERMILLION, linewidth=1.2, linestyle=(0, (5, 3)))
    shares = [min(max(row.evidence, LEAST), _MOST) for row in stream.standing]
    for places in stream.reigns:
        heights = [shares[place] for place in places]
        axes.plot(places, heights, color=BLUE, marker=".", markersize=2.5, linewidth=1.3, clip_on=False)
    alarms = stream.turned("suspect")
    axes.plot(alarms, [shares[place] for place in alarms], clip_on=False, zorder=3, **suspect.style)


# Names over the panels


class _Flag(NamedTuple):
    """The name of a stretch in a *row* over the values, between *left* and *right*, on a pole at *x*."""

    text: str
    place: float
    x: float
    row: int
    left: float

    @property
    def right(self) -> float:
        return self.left + width_of(self.text)

    def meets(self, other: _Flag) -> bool:
        """Whether the two overlap, or the pole of one crosses the other."""
        if self.row == other.row:
            return self.left < other.right + _GAP and other.left < self.right + _GAP
        lower, upper = sorted([self, other], key=lambda flag: flag.row)
        return lower.left - _GAP / 2 < upper.x < lower.right + _GAP / 2


def _flags(chart: _Chart) -> list[_Flag]:
    """As many names of stretches as have room, the newest first."""
    flags: list[_Flag] = []
    for status, first, _ in reversed(chart.stream.stretches):
        free = (
            flag
            for flag in _candidates(LOOKS[status].word, first - 0.5, chart.x(first - 0.5))
            if not any(map(flag.meets, flags))
        )
        flags += [flag] if (flag := next(free, None)) else []
    return flags


def _candidates(text: str, place: float, x: float) -> Iterator[_Flag]:
    """Right of its pole, or left of it near the edge of the page."""
    lefts = [(0, x + 0.05), (1, x + 0.05), (1, x - 0.05 - width_of(text)), (0, x - 0.05 - width_of(text))]
    flags = (_Flag(text, place, x, row, left) for row, left in lefts)
    return (flag for flag in flags if flag.left > _MARGIN and flag.right < PAGE - 0.1)


def _draw_flags(chart: _Chart) -> None:
    for flag in chart.flags:
        middle = chart.values - _FLAG * (flag.row + 0.5)
        chart.sheet.text(flag.left, middle, flag.text, size=_SIZE)
        chart.line(flag.place, (middle - 0.07, chart.values), INK)


def _draw_rises(chart: _Chart) -> None:
    """Name who came into force; of names that would overlap, the newest."""
    taken, middle = inf, _TITLE + _FLAG / 2
    for rise in reversed(chart.stream.rises):
        x, text = chart.x(rise.place - 0.5), "vacant" if rise.version is None else f"@{rise.version}"
        left = x + (0.12 if rise.kind else 0.0)
        if left + width_of(text) + _GAP <= taken:
            chart.sheet.text(left, middle, text, size=_SIZE, weight="bold")
        if rise.place:
            chart.line(rise.place - 0.5, (middle, _TITLE + _FLAG), _colour(rise))
        if rise.kind:
            chart.sheet.mark(x, middle, MARKS[rise.kind])
        taken = x - 0.08


# The keys of the batches


def _draw_keys(chart: _Chart) -> None:
    texts = _labels([row.batch for row in chart.stream.rows])
    middles = [chart.x(place) for place in range(len(texts))]
    spans = [_span(middle, text) for middle, text in zip(middles, texts, strict=True)]
    for place in _spread(spans):
        chart.sheet.text(spans[place][0], chart.keys, texts[place], size=_SIZE, color=QUIET)
        chart.line(place, (chart.keys - 0.17, chart.keys - 0.12), QUIET)


def _labels(keys: Sequence[str]) -> list[str]:
    """The keys, without the beginning that all share if they are long."""
    long = max(map(len, keys)) > _LONGEST_KEY
    shared = len(commonprefix(keys)) if long and len(keys) > 1 else 0  # noqa: RUF071, keys are no paths
    return [_key(f"…{key[shared:]}" if shared > 1 else key) for key in keys]


def _span(middle: float, text: str) -> tuple[float, float]:
    """From where to where a text is that is centred, but stays on the page."""
    width = width_of(text)
    left = min(max(middle - width / 2, _MARGIN), PAGE - 0.1 - width)
    return left, left + width


def _spread(spans: Sequence[tuple[float, float]]) -> range:
    """Every so many places, the newest among them, as close as their texts stay apart."""
    for step in range(1, len(spans)):
        places = range(len(spans) - 1, -1, -step)
        if all(spans[n][1] + _GAP <= spans[n + step][0] for n in places[1:]):
            return places
    return range(len(spans) - 1, -1, -len(spans))


# The legend

_Item = tuple[Mark | dict[str, Any], str]


def _items(stream: Stream) -> list[_Item]:
    """What the marks and backgrounds mean that are in the picture."""
    marked, kinds = _marked(stream), {rise.kind for rise in stream.rises}
    metric = plain(stream.newest.metric, _LONGEST_METRIC)
    meanings = {_SEEN: f"{metric} of a batch", _LATE: "late batch", _BEYOND: "off the scale"}
    items: list[_Item] = [(mark, words) for mark, words in meanings.items() if mark in marked]
    items.append(({"color": INK}, "floor of the long run"))
    items += [(LOOKS[status].mark, words) for status, words in _TURNS.items() if stream.turned(status)]
    tinted = {status for status, _, _ in stream.stretches}
    items += [(_tint(look), look.word) for status, look in LOOKS.items() if status in tinted]
    return items + [(mark, kind.replace("-", " ")) for kind, mark in MARKS.items() if kind in kinds]


def _lines(items: Iterable[_Item]) -> list[list[tuple[float, _Item]]]:
    """The items, each from where it begins, in as many lines as it takes."""
    lines: list[list[tuple[float, _Item]]] = [[]]
    x = _MARGIN
    for item in items:
        width = 0.44 + width_of(item[1])
        if x + width > _RIGHT:
            lines.append([])
            x = _MARGIN
        lines[-1].append((x, item))
        x += width
    return lines


def _draw_legend(chart: _Chart) -> None:
    for number, line in enumerate(chart.legend):
        middle = chart.end + _LINE * (number + 0.5)
        for x, (look, words) in line:
            if isinstance(look, Mark):
                chart.sheet.mark(x + 0.08, middle, look)
            else:
                half = 0.01 if "color" in look else 0.07
                chart.sheet.patch((x, x + 0.18), (middle - half, middle + half), **look)
            chart.sheet.text(x + 0.24, middle, words, size=_SIZE, color=QUIET)
