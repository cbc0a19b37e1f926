"""Is one model's score better than another's, given that both are known from a sample of rows?

Every metric is a scikit-learn scorer name, in higher-is-better units, and goes to the method that suits it:

=============================================  ===========================  ======================
metric                                         difference of two models     standing of one
=============================================  ===========================  ======================
shares of right answers (accuracy)             Tango score interval         Wilson score interval
means of row losses (log loss, MAE, Brier)     paired t                     t
functions of means (RMSE, R2)                  delta method                 delta method
ROC AUC of two classes                         paired DeLong                DeLong
precision, recall of the positive class        bootstrap of cell counts     Wilson score interval
F1, balanced accuracy, Jaccard, MCC, macro ..  bootstrap of cell counts     bootstrap of cell counts
any other                                      paired bootstrap of rows     bootstrap of rows
=============================================  ===========================  ======================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from registry.exceptions import InvalidDataset
from registry.statistics import cells, means, ranking, rows, shares
from registry.statistics.bounds import Difference, Standing
from registry.statistics.multiplicity import alpha_at_look, holm
from registry.statistics.wins import wins

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.predictions import Predictions

__all__ = [
    "Difference",
    "Standing",
    "alpha_at_look",
    "difference",
    "holm",
    "is_resampled",
    "standing",
    "wins",
]


class _Method(NamedTuple):
    difference: Callable[[str, Predictions, Predictions], Difference]
    standing: Callable[[str, Predictions], Standing]


_METHODS = {
    **dict.fromkeys(cells.METRICS, _Method(cells.difference, cells.standing)),
    **dict.fromkeys(shares.CONDITIONAL_METRICS, _Method(cells.difference, shares.conditional_standing)),
    **dict.fromkeys(means.METRICS, _Method(means.difference, means.standing)),
    **dict.fromkeys(ranking.METRICS, _Method(ranking.difference, ranking.standing)),
    **dict.fromkeys(shares.METRICS, _Method(shares.difference, shares.standing)),
}
_ANY_OTHER = _Method(rows.difference, rows.standing)


def difference(metric: str, challenger: Predictions, champion: Predictions) -> Difference:
    """Return what the rows say of ``challenger.score(metric) - champion.score(metric)``.

    Raises:
        InvalidDataset: The two were not asked about the same rows.
        InvalidMetric: The metric is unknown, or the rows are too few or too uniform for it.
    """
    if not np.array_equal(challenger.labels, champion.labels):
        counts = f"{len(challenger)} rows and {len(champion)} rows"
        raise InvalidDataset(
            "of this comparison", f"the labels differ ({counts}): ask both about the same rows"
        )
    return _METHODS.get(metric, _ANY_OTHER).difference(metric, challenger, champion)


def standing(metric: str, predictions: Predictions) -> Standing:
    """Return what the rows say of one model's own score.

    Raises:
        InvalidMetric: The metric is unknown, or the rows are too few or too uniform for it.
    """
    return _METHODS.get(metric, _ANY_OTHER).standing(metric, predictions)


def is_resampled(metric: str) -> bool:
    """Whether nothing but a thousand draws of the rows bounds *metric*, which takes seconds."""
    return metric not in _METHODS
