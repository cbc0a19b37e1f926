"""A challenger and a champion on the same rows: where the statistics meet the policy's questions."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from registry import statistics
from registry.evidence import Measured
from registry.exceptions import InvalidMetric
from registry.tables import WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from registry.predictions import Predictions
    from registry.statistics import Difference, Standing


SMALLEST_SLICE = 30
SMALLEST_CLASS = 10


@dataclass(frozen=True, eq=False)
class Contest:
    """The answers of a challenger, and of the champion if there is one, on the same rows.

    Attributes:
        challenger: What the challenger answered.
        champion: What the champion answered; None before there is one.
        slices: By column, the mask of each of its slices.
    """

    challenger: Predictions
    champion: Predictions | None = None
    slices: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    _differences: dict[str, Difference] = field(default_factory=dict, init=False, repr=False)
    _parts: dict[tuple[str, str], dict[str, Contest]] = field(default_factory=dict, init=False, repr=False)

    @property
    def rows(self) -> int:
        """How many rows both answered."""
        return len(self.challenger)

    def difference(self, metric: str) -> Difference:
        """By how much the challenger beats the champion.

        Raises:
            InvalidMetric: The metric is unknown, or undefined on these rows.
        """
        if metric not in self._differences:
            self._differences[metric] = statistics.difference(metric, self.challenger, self._rival)
        return self._differences[metric]

    def standing(self, metric: str) -> Standing:
        """How the challenger does by itself.

        Raises:
            InvalidMetric: The metric is unknown, or undefined on these rows.
        """
        return statistics.standing(metric, self.challenger)

    def by_slice(self, metric: str, column: str) -> dict[str, Contest]:
        """The contest on each slice of *column* that is large enough to compare the *metric* on."""
        if (metric, column) not in self._parts:
            parts = ((name, self._on(mask)) for name, mask in self.slices[column].items())
            large = ((name, part) for name, part in parts if part.is_large)
            self._parts[metric, column] = {name: part for name, part in large if part.is_comparable(metric)}
        return self._parts[metric, column]

    @property
    def is_large(self) -> bool:
        """Whether the bounds' approximations hold: 30 rows, and for classifiers 10 of each of two classes."""
        if self.rows < SMALLEST_SLICE:
            return False
        if self.challenger.classes is None:
            return True
        counts = np.unique(self.challenger.labels, return_counts=True)[1]
        return int(np.count_nonzero(counts >= SMALLEST_CLASS)) > 1

    def harmed(self, metric: str, column: str, margin: float, alpha: float) -> set[str]:
        """The slices of *column* that are provably worse by more than *margin*, by Holm's procedure."""
        parts = self.by_slice(metric, column)
        p_values = {name: part.difference(metric).p_worse(margin) for name, part in parts.items()}
        return statistics.holm(p_values, alpha)

    def is_comparable(self, metric: str) -> bool:
        """Whether the metric is defined for both on these rows."""
        try:
            self.difference(metric)
        except InvalidMetric:
            return False
        return True

    def measure(self, metric: str, alpha: float, slice_name: str = WHOLE) -> Measured:
        """The metric as a plain value, with one-sided bounds at *alpha*.

        Raises:
            InvalidMetric: The metric is unknown, or undefined on these rows.
        """
        if self.champion is None:
            return self.measure_alone(metric, alpha, slice_name)
        difference = self.difference(metric)
        return Measured(
            metric=metric,
            slice=slice_name,
            rows=self.rows,
            challenger=self.challenger.score(metric),
            champion=self.champion.score(metric),
            difference=difference.estimate,
            lower=_finite(difference.lower(alpha)),
            upper=_finite(difference.upper(alpha)),
            method=difference.method,
        )

    def measure_alone(self, metric: str, alpha: float, slice_name: str = WHOLE) -> Measured:
        """The challenger's own metric as a plain value, with one-sided bounds at *alpha*."""
        standing = self.standing(metric)
        return Measured(
            metric=metric,
            slice=slice_name,
            rows=self.rows,
            challenger=standing.estimate,
            lower=_finite(standing.lower(alpha)),
            upper=_finite(standing.upper(alpha)),
            method=standing.method,
        )

    @property
    def _rival(self) -> Predictions:
        if self.champion is None:
            raise ValueError("there is no champion to compare with")
        return self.champion

    def _on(self, mask: NDArray[Any]) -> Contest:
        return Contest(self.challenger.select(mask), self._rival.select(mask))


def _finite(bound: float) -> float | None:
    return bound if isfinite(bound) else None
