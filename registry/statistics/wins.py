"""Which of two models is right, or closer, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from registry.statistics import means

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from registry.predictions import Predictions

_OF_PROBABILITIES = (
    "roc_auc",
    "average_precision",
    "d2_log_loss_score",
    "d2_brier_score",
    "neg_log_loss",
    "neg_brier_score",
)
_DEFINED_ABOVE = {
    "neg_mean_squared_log_error": -1,
    "neg_mean_poisson_deviance": 0,
    "neg_mean_gamma_deviance": 0,
}


def wins(metric: str, first: Predictions, second: Predictions) -> tuple[int, int]:
    """On how many rows only the *first* of two models is right, or is closer; and on how many the second.

    Rows on which the two do equally well count for neither. Where the metric has a loss for each row, its
    sign decides; where it judges probabilities and both models give some, that of the row's own class, also
    if they know different numbers of classes; otherwise being right, and for regressors being closer. A row
    of a class that a model does not know, or for which its prediction has no loss, is lost.
    """
    measure = _measure(metric, (first, second))
    ours, theirs = measure(metric, first), measure(metric, second)
    return int(np.count_nonzero(ours < theirs)), int(np.count_nonzero(theirs < ours))


def _measure(
    metric: str, both: tuple[Predictions, Predictions]
) -> Callable[[str, Predictions], NDArray[Any]]:
    """The loss by which *both* can be measured."""
    if any(each.classes is None for each in both):
        return _of_prediction if metric in means.LOSSES else _distance
    columns = {0 if each.probabilities is None else each.probabilities.shape[1] for each in both}
    if 0 in columns or not metric.startswith(_OF_PROBABILITIES):
        return _wrong
    return _of_known_classes if metric in means.LOSSES and len(columns) == 1 else _of_own_class


def _wrong(_metric: str, predictions: Predictions) -> NDArray[Any]:
    return np.asarray(predictions.labels != predictions.predicted, dtype=np.int8)


def _distance(_metric: str, predictions: Predictions) -> NDArray[Any]:
    return np.asarray(np.abs(np.subtract(predictions.labels, predictions.predicted, dtype=np.float64)))


def _of_prediction(metric: str, predictions: Predictions) -> NDArray[Any]:
    defined = predictions.predicted > _DEFINED_ABOVE.get(metric, -np.inf)
    return _lost_unless(defined, metric, predictions)


def _of_known_classes(metric: str, predictions: Predictions) -> NDArray[Any]:
    return _lost_unless(_columns(predictions) >= 0, metric, predictions)


def _lost_unless(defined: NDArray[np.bool_], metric: str, predictions: Predictions) -> NDArray[Any]:
    """(n,) the metric's loss of each row, infinite where it is not *defined*."""
    losses = np.full(len(predictions), np.inf)
    losses[defined] = means.LOSSES[metric](predictions.select(defined))
    return losses


def _of_own_class(_metric: str, predictions: Predictions) -> NDArray[Any]:
    """(n,) what the probability of each row's own class lacks of 1."""
    columns = _columns(predictions)
    chosen = np.asarray(predictions.probabilities)[np.arange(len(columns)), columns]
    return np.asarray(np.where(columns >= 0, 1 - chosen, np.inf))


def _columns(predictions: Predictions) -> NDArray[np.intp]:
    """(n,) the column of each row's own class, -1 for a class that the model does not know."""
    classes: pd.Index[Any] = pd.Index(np.asarray(predictions.classes))
    return classes.get_indexer(pd.Index(predictions.labels))
