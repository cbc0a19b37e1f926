"""The area under the ROC curve: how often a positive row is ranked above a negative one."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from registry.exceptions import InvalidMetric
from registry.statistics.bounds import Estimated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.predictions import Predictions
    from registry.statistics.bounds import Standing

METRICS = ("roc_auc",)


class Placements(NamedTuple):
    """Where each row's score falls among those of the other class.

    Attributes:
        positives: Per positive row, the share of negatives ranked below it; ties count half.
        negatives: Per negative row, the share of positives ranked below it; ties count half.
    """

    positives: NDArray[np.float64]
    negatives: NDArray[np.float64]

    def standard_error(self) -> float:
        """Return the root of the classes' summed variances of the mean."""
        return sqrt(sum(part.var(ddof=1) / len(part) for part in self))


@dataclass(frozen=True)
class Separation:
    """The standing of a model that ranked every positive above every negative.

    Its placements have no variance, and that says nothing. But the rows form min(positives, negatives)
    disjoint pairs, each ranked rightly with probability AUC: all of them being right bounds it from below.
    """

    pairs: int
    estimate: float = 1.0
    method: str = "disjoint pairs"

    def lower(self, alpha: float) -> float:
        """Return the AUC at which all pairs are right with probability *alpha*."""
        return float(alpha ** (1 / self.pairs))

    def upper(self, _alpha: float) -> float:
        """Return 1: nothing speaks against perfection."""
        return self.estimate


def difference(metric: str, challenger: Predictions, champion: Predictions) -> Estimated:
    """Compare two AUCs on the same rows by DeLong's variance, in O(n log n).

    Sources: E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Comparing the areas under two or more
    correlated receiver operating characteristic curves, Biometrics 44 (1988) 837-845. X. Sun, W. Xu, Fast
    implementation of DeLong's algorithm, IEEE Signal Processing Letters 21 (2014) 1389-1393; they rank the
    scores, here they are searched for in the sorted scores of the other class.

    Raises:
        InvalidMetric: The labels are not two classes with two rows or more each.
    """
    estimate = challenger.score(metric) - champion.score(metric)
    new, old = _placements(metric, challenger), _placements(metric, champion)
    apart = Placements(new.positives - old.positives, new.negatives - old.negatives)
    return Estimated(estimate, apart.standard_error(), len(challenger), inf, "paired DeLong")


def standing(metric: str, predictions: Predictions) -> Standing:
    """Bound one AUC by DeLong's variance.

    Raises:
        InvalidMetric: The labels are not two classes with two rows or more each.
    """
    estimate = predictions.score(metric)
    placements = _placements(metric, predictions)
    if estimate == 1:
        return Separation(min(map(len, placements)))
    return Estimated(estimate, placements.standard_error(), len(predictions), inf, "DeLong")


def _placements(metric: str, predictions: Predictions) -> Placements:
    scores = _ranked_by(predictions)
    positive = predictions.labels == cast("NDArray[Any]", predictions.classes)[1]
    positives, negatives = scores[positive], scores[~positive]
    if min(len(positives), len(negatives)) < 2:  # noqa: PLR2004 - a variance takes two
        raise InvalidMetric(metric, "one row of a class has no spread to judge by: use more rows of it")
    return Placements(_share_below(negatives, positives), _share_below(positives, negatives))


def _ranked_by(predictions: Predictions) -> NDArray[Any]:
    """Return (n,) the answers by which scikit-learn ranks: the decision function, else the probability."""
    if predictions.decision is not None:
        return predictions.decision.reshape(-1)
    return cast("NDArray[Any]", predictions.probabilities)[:, 1]


def _share_below(others: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return, per score, the share of *others* below it; ties count half."""
    ascending, order = np.sort(others), np.argsort(scores)
    keys = scores[order]  # searching in order stays within the processor's cache
    shares = np.empty(len(scores))
    shares[order] = np.searchsorted(ascending, keys) + np.searchsorted(ascending, keys, side="right")
    return shares / (2 * len(others))
