"""Scores that are a share of right answers: every row is right or wrong."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from registry.exceptions import InvalidMetric
from registry.statistics.bounds import sample_size

if TYPE_CHECKING:
    from registry.predictions import Predictions

# On one label per row, all of these are the share of right answers.
METRICS = ("accuracy", "f1_micro", "precision_micro", "recall_micro", "recall_weighted")
# These are the share of right answers among some rows, which differ between two models.
CONDITIONAL_METRICS = ("precision", "recall")

_NEXT_TO = 1e-13


@dataclass(frozen=True)
class PairedShares:
    """Tango's score interval for the difference of two shares on the same rows.

    ``lower(alpha) > -margin`` is the score test's rejection of "worse by the margin or more"; at margin 0
    that is McNemar's test. Models that never disagree still leave room for z^2 / (n + z^2) on either side.

    Source: T. Tango, Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design, Statistics in Medicine 17 (1998) 891-908.

    Attributes:
        gains: Rows that only the challenger gets right.
        losses: Rows that only the champion gets right.
        rows: All rows.
    """

    estimate: float
    gains: int
    losses: int
    rows: int
    method: str = "Tango score interval"

    def lower(self, alpha: float) -> float:
        """Return the least difference that the score test does not reject."""
        return _lower(self.gains, self.losses, self.rows, float(ndtri(1 - alpha)))

    def upper(self, alpha: float) -> float:
        """Return the greatest difference that the score test does not reject."""
        return -_lower(self.losses, self.gains, self.rows, float(ndtri(1 - alpha)))

    def p_worse(self, margin: float) -> float:
        """Return the score test's p-value from the other side."""
        return float(ndtr(self.statistic(-margin)))

    def rows_needed(self, margin: float, alpha: float, power: float = 0.8) -> int | None:
        """Return Tango's sample size, with the share of disagreements, and its law at -margin, as seen."""
        disagreeing = (self.gains + self.losses) / self.rows
        at_margin = sqrt(_variance(self.gains, self.losses, self.rows, -margin))
        as_seen = sqrt(max(0.0, disagreeing - self.estimate**2))
        spread = float(ndtri(1 - alpha)) * at_margin + float(ndtri(power)) * as_seen
        return sample_size(spread, self.estimate + margin)

    def statistic(self, difference: float) -> float:
        """Return the score statistic of the hypothesis that the true difference is *difference*."""
        surplus = self.gains - self.losses - self.rows * difference
        if surplus == 0:
            return 0.0
        variance = self.rows * _variance(self.gains, self.losses, self.rows, difference)
        return surplus / sqrt(variance) if variance > 0 else float(np.copysign(np.inf, surplus))


@dataclass(frozen=True)
class Share:
    """Wilson's score interval for the share of right answers.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, Journal of the
    American Statistical Association 22 (1927) 209-212.
    """

    estimate: float
    rows: int
    method: str = "Wilson score interval"

    def lower(self, alpha: float) -> float:
        """Return the least share that the score test does not reject."""
        return max(0.0, self._centre(alpha) - self._half_width(alpha))

    def upper(self, alpha: float) -> float:
        """Return the greatest share that the score test does not reject."""
        return min(1.0, self._centre(alpha) + self._half_width(alpha))

    def _centre(self, alpha: float) -> float:
        z2 = float(ndtri(alpha)) ** 2
        return (self.estimate + z2 / (2 * self.rows)) / (1 + z2 / self.rows)

    def _half_width(self, alpha: float) -> float:
        z2 = float(ndtri(alpha)) ** 2
        within = self.estimate * (1 - self.estimate) / self.rows + z2 / (4 * self.rows**2)
        return sqrt(z2 * within) / (1 + z2 / self.rows)


def difference(metric: str, challenger: Predictions, champion: Predictions) -> PairedShares:
    """Compare the shares of right answers by Tango's score interval."""
    estimate = challenger.score(metric) - champion.score(metric)
    new = challenger.predicted == challenger.labels
    old = champion.predicted == champion.labels
    return PairedShares(
        estimate=estimate,
        gains=int(np.count_nonzero(new & ~old)),
        losses=int(np.count_nonzero(old & ~new)),
        rows=len(new),
    )


def standing(metric: str, predictions: Predictions) -> Share:
    """Bound the share of right answers by Wilson's score interval."""
    return Share(predictions.score(metric), len(predictions))


def conditional_standing(metric: str, predictions: Predictions) -> Share:
    """Bound precision or recall by Wilson's score interval, given the number of rows that it is a share of.

    Raises:
        InvalidMetric: It is a share of nothing.
    """
    estimate = predictions.score(metric)
    rows = int(
        np.count_nonzero((predictions.predicted if metric == "precision" else predictions.labels) == 1)
    )
    if not rows:
        raise InvalidMetric(metric, "no row is positive: use rows that hold some")
    return Share(estimate, rows)


def _variance(gains: int, losses: int, rows: int, difference: float) -> float:
    """Return the variance of one row's difference in the likeliest law whose mean is *difference*."""
    A = 2 * rows
    B = -gains - losses + (2 * rows - gains + losses) * difference
    C = -losses * difference * (1 - difference)
    root = sqrt(max(0.0, B * B - 4 * A * C))
    q = (root - B) / (2 * A) if B <= 0 else -2 * C / (root + B)  # the second form cancels no digits
    return max(0.0, 2 * q + difference * (1 - difference))


def _lower(gains: int, losses: int, rows: int, z: float) -> float:
    """Return the difference below the estimate at which the score statistic equals *z*."""

    def excess(difference: float) -> float:
        variance = rows * _variance(gains, losses, rows, difference)
        return gains - losses - rows * difference - z * sqrt(variance)

    estimate = (gains - losses) / rows
    nearest = estimate - _NEXT_TO
    if excess(nearest) >= 0:
        return estimate
    return float(brentq(excess, -1.0, nearest, xtol=1e-15))
