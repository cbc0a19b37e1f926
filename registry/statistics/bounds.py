"""What is known of a score, or of the difference of two: an estimate, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isinf, sqrt
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 20_130_101  # every bootstrap starts from it, so that the same rows give the same bounds

_MOST_ROWS = 1e12
_RESOLVING_DRAWS = 25


class Standing(Protocol):
    """One model's own score, higher is better."""

    @property
    def estimate(self) -> float:
        """The score on the rows at hand."""

    @property
    def method(self) -> str:
        """The name of the method behind the bounds, for people."""

    def lower(self, alpha: float) -> float:
        """Return the bound that the true value exceeds with confidence 1 - alpha; alpha is at most 0.5."""

    def upper(self, alpha: float) -> float:
        """Return the bound that exceeds the true value with confidence 1 - alpha; alpha is at most 0.5."""


class Difference(Standing, Protocol):
    """The challenger's score minus the champion's on the same rows, higher is better."""

    def p_worse(self, margin: float) -> float:
        """Return the one-sided p-value of "at least -margin": a small one proves harm beyond the margin."""

    def rows_needed(self, margin: float, alpha: float, power: float = 0.8) -> int | None:
        """Return about how many rows in all let ``lower(alpha) > -margin`` come true with this *power*.

        None when the estimate is not above -margin, or so little that a million million rows would not do.
        """


def sample_size(spread: float, gap: float) -> int | None:
    """Return the rows n at which spread / sqrt(n) equals *gap*; None unless such a number is reachable."""
    if gap <= 0 or spread >= gap * sqrt(_MOST_ROWS):
        return None
    return max(1, ceil((spread / gap) ** 2))


@dataclass(frozen=True)
class Estimated:
    """An estimate with a standard error, read off Student's t, or the normal law if *freedom* is infinite.

    Without any variance in the sample the estimate is its own bound on both sides; whether the rows are
    enough to believe that is for the caller's minimum number of rows to say.
    """

    estimate: float
    standard_error: float
    rows: int
    freedom: float
    method: str

    def lower(self, alpha: float) -> float:
        """Go down by the quantile's number of standard errors."""
        return self.estimate - self._quantile(alpha) * self.standard_error

    def upper(self, alpha: float) -> float:
        """Go up by the quantile's number of standard errors."""
        return self.estimate + self._quantile(alpha) * self.standard_error

    def p_worse(self, margin: float) -> float:
        """Return the alpha at which the upper bound falls to -margin."""
        distance = self.estimate + margin
        if self.standard_error == 0:
            return float(distance >= 0)
        ratio = distance / self.standard_error
        return float(ndtr(ratio) if isinf(self.freedom) else stdtr(self.freedom, ratio))

    def rows_needed(self, margin: float, alpha: float, power: float = 0.8) -> int | None:
        """Let the standard error shrink with the root of the rows."""
        spread = (ndtri(1 - alpha) + ndtri(power)) * self.standard_error * sqrt(self.rows)
        return sample_size(float(spread), self.estimate + margin)

    def _quantile(self, alpha: float) -> float:
        return float(-(ndtri(alpha) if isinf(self.freedom) else stdtrit(self.freedom, alpha)))


@dataclass(frozen=True, eq=False)
class Resampled:
    """An estimate with bootstrap draws of it, sorted, read off by percentile.

    A percentile with fewer than 25 draws beyond it says little: further out, the distance from the estimate
    is that of the last resolved percentile, stretched as the normal law stretches. So a small alpha costs
    accuracy of the tail's shape, but never turns into the smallest draw.

    Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """

    estimate: float
    draws: NDArray[np.float64]
    rows: int
    method: str

    def lower(self, alpha: float) -> float:
        """Return the percentile *alpha* of the draws."""
        return self.estimate - _reach(self.estimate - self.draws[::-1], alpha)

    def upper(self, alpha: float) -> float:
        """Return the percentile 1 - *alpha* of the draws."""
        return self.estimate + _reach(self.draws - self.estimate, alpha)

    def p_worse(self, margin: float) -> float:
        """Return the share of draws at -margin or above, or what the stretched tail says of it."""
        above = int(np.count_nonzero(self.draws >= -margin))
        resolved = _RESOLVING_DRAWS / (len(self.draws) + 1)
        reach = _reach(self.draws - self.estimate, resolved)
        if above >= _RESOLVING_DRAWS or reach <= 0:
            return (above + 1) / (len(self.draws) + 1)
        return float(ndtr(ndtri(resolved) * (-margin - self.estimate) / reach))

    def rows_needed(self, margin: float, alpha: float, power: float = 0.8) -> int | None:
        """Let the draws' standard deviation shrink with the root of the rows."""
        spread = (ndtri(1 - alpha) + ndtri(power)) * self.draws.std() * sqrt(self.rows)
        return sample_size(float(spread), self.estimate + margin)


def _reach(distances: NDArray[np.float64], alpha: float) -> float:
    """Return how far above the estimate the upper *alpha* of the ascending *distances* begins."""
    resolved = _RESOLVING_DRAWS / (len(distances) + 1)
    reach = float(np.quantile(distances, 1 - max(alpha, resolved)))
    if alpha >= resolved or reach <= 0:
        return reach
    return reach * float(ndtri(alpha) / ndtri(resolved))
