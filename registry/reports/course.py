"""How a metric went from decision to decision: of the versions that were judged, and of live batches."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import chain
from math import inf
from statistics import median
from typing import TYPE_CHECKING, Any

from registry.tables import WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.tables import LedgerEntry, Observation

Place = tuple[float, float]
"""Where on the row of decisions, and the metric there."""

_FAR, _LARGEST = 50, 1e300  # beyond it matplotlib's sums overflow


@dataclass(frozen=True, kw_only=True)
class Course:
    """A metric over the decisions about an alias, as far as the entries or the observations know it.

    Attributes:
        metric: Scorer name.
        challengers: Of the versions that were judged, on their holdouts, by the kind of the entry.
        champions: Of the versions that were in force then, on the same holdouts.
        seen: Of live batches, in a stretch for each time from one decision to the next.
        limits: Between which values all of them lie but the absurd, which are drawn at the edge.
    """

    metric: str
    challengers: Mapping[str, Sequence[Place]]
    champions: Sequence[Place]
    seen: Sequence[Sequence[Place]]
    limits: tuple[float, float]

    @classmethod
    def of(cls, entries: Sequence[LedgerEntry], observations: Sequence[Observation]) -> Course | None:
        """The course of the metric that was observed, else of the one most judged by; None without either."""
        metric = observations[-1].metric if observations else _most_judged_by(entries)
        judged = [(entry, found) for entry in entries if (found := _measured(entry).get(metric or ""))]
        seen = _seen(entries, observations)
        values = [row.value for _, row in chain(*seen)]
        values += [value for _, found in judged for value in _values(found)]
        if metric is None or not values:
            return None
        low, high = _limits(values)
        challengers: dict[str, list[Place]] = defaultdict(list)
        for entry, found in judged:
            challengers[entry.kind].append((entry.sequence, _between(low, found["challenger"], high)))
        return cls(
            metric=metric,
            challengers=challengers,
            champions=[
                (entry.sequence, _between(low, found["champion"], high))
                for entry, found in judged
                if found["champion"] is not None
            ],
            seen=[[(x, _between(low, row.value, high)) for x, row in stretch] for stretch in seen],
            limits=(low, high),
        )

    @property
    def end(self) -> float:
        """How far to the right it goes."""
        return max((x for x, _ in chain(*self.seen)), default=-inf)


def _most_judged_by(entries: Sequence[LedgerEntry]) -> str | None:
    first = Counter(next(iter(found)) for entry in entries if (found := _measured(entry)))
    return first.most_common(1)[0][0] if first else None


def _measured(entry: LedgerEntry) -> dict[str, Any]:
    """What a policy's decision measured on all rows, by metric; an approval only repeats it."""
    checks = [] if entry.kind == "approved" else entry.evidence.get("checks", [])
    found = [check["measured"] for check in checks if check["measured"] is not None]
    whole = {measured["metric"]: measured for measured in found if measured["slice"] == WHOLE}
    # a floor knows nothing of the champion
    return whole | {each["metric"]: each for each in found if each["slice"] == WHOLE and each["champion"]}


def _values(found: Mapping[str, Any]) -> list[float]:
    return [value for value in (found["challenger"], found["champion"]) if value is not None]


def _seen(
    entries: Sequence[LedgerEntry], observations: Sequence[Observation]
) -> list[list[tuple[float, Observation]]]:
    """The observations, spread evenly between the decisions between which they were recorded."""
    moments = [entry.recorded_at for entry in entries]
    gaps: dict[int, list[Observation]] = defaultdict(list)
    for row in observations:
        gaps[bisect_right(moments, row.recorded_at)].append(row)
    return [
        [(entries[gap - 1].sequence + (n + 1) / (len(rows) + 1), row) for n, row in enumerate(rows)]
        for gap, rows in sorted(gaps.items())
        if gap  # of what was decided before these entries nothing is drawn
    ]


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Between which values all lie but those beside which the others would be a straight line."""
    ordered = sorted(values)
    middle, tenth = median(ordered), len(ordered) // 10
    reach = _FAR * (ordered[-1 - tenth] - ordered[tenth]) or inf
    least, most = max(middle - reach, -_LARGEST), min(middle + reach, _LARGEST)
    usual = [value for value in ordered if least <= value <= most]
    low, high = min(usual), max(usual)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _between(low: float, value: float, high: float) -> float:
    return min(max(value, low), high)
