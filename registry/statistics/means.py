"""Scores that are a mean of row losses, or a smooth function of such means."""

from __future__ import annotations

from math import inf, sqrt
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from scipy.special import xlogy

from registry.exceptions import InvalidMetric
from registry.statistics.bounds import Estimated

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from registry.predictions import Predictions

    Rows = NDArray[np.float64]


def difference(metric: str, challenger: Predictions, champion: Predictions) -> Estimated:
    """Compare two models by the spread of their row-by-row difference.

    Means of losses are read off Student's t; functions of means by the delta method off the normal law.

    Source: F. R. Hampel, The influence curve and its role in robust estimation, Journal of the American
    Statistical Association 69 (1974) 383-393.

    Raises:
        InvalidMetric: There are fewer than two rows, or the rows have no influence on the metric.
    """
    estimate = challenger.score(metric) - champion.score(metric)
    effects = _effects(metric, challenger) - _effects(metric, champion)
    return _estimated(metric, estimate, effects, prefix="paired ")


def standing(metric: str, predictions: Predictions) -> Estimated:
    """Bound one model's score by the spread of its rows' effects on it.

    Raises:
        InvalidMetric: There are fewer than two rows, or the rows have no influence on the metric.
    """
    return _estimated(metric, predictions.score(metric), _effects(metric, predictions), prefix="")


def _estimated(metric: str, estimate: float, effects: Rows, prefix: str) -> Estimated:
    rows = len(effects)
    if rows < 2:  # noqa: PLR2004 - a spread takes two
        raise InvalidMetric(metric, "one row has no spread to judge by: use more rows")
    error = float(effects.std(ddof=1)) / sqrt(rows)
    if metric in LOSSES:
        return Estimated(estimate, error, rows, rows - 1, f"{prefix}t")
    return Estimated(estimate, error, rows, inf, f"{prefix}delta method")


def _effects(metric: str, predictions: Predictions) -> Rows:
    """Return (n,) how much each row moves the score, up to a constant that all rows share."""
    if metric in LOSSES:
        return -LOSSES[metric](predictions)
    return _INFLUENCES[metric](predictions)


def _log_loss(predictions: Predictions) -> Rows:
    probabilities, columns = _probabilities("neg_log_loss", predictions)
    smallest = np.finfo(probabilities.dtype).eps
    chosen = probabilities[np.arange(len(columns)), columns]
    return np.asarray(-np.log(np.clip(chosen, smallest, 1 - smallest).astype(np.float64)))


def _brier(predictions: Predictions) -> Rows:
    probabilities, columns = _probabilities("neg_brier_score", predictions)
    chosen = probabilities[np.arange(len(columns)), columns]
    if probabilities.shape[1] == 2:  # noqa: PLR2004 - of two classes, one tells all
        return np.asarray(np.square(1 - chosen, dtype=np.float64))
    return np.asarray(np.square(probabilities, dtype=np.float64).sum(axis=1) + 1 - 2 * chosen)


def _probabilities(metric: str, predictions: Predictions) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the (n, K) probabilities and the (n,) column of each row's label."""
    classes: pd.Index[Any] = pd.Index(cast("NDArray[Any]", predictions.classes))
    columns = classes.get_indexer(pd.Index(predictions.labels))
    if (columns < 0).any():
        unseen = predictions.labels[columns < 0][0]
        raise InvalidMetric(metric, f"the model knows no class {unseen}: train it on rows that hold one")
    return cast("NDArray[Any]", predictions.probabilities), columns


def _errors(predictions: Predictions) -> Rows:
    return np.asarray(np.subtract(predictions.labels, predictions.predicted, dtype=np.float64))


def _squared(predictions: Predictions) -> Rows:
    return _errors(predictions) ** 2


def _percentage(predictions: Predictions) -> Rows:
    sizes = np.maximum(np.abs(predictions.labels), np.finfo(np.float64).eps)
    return np.asarray(np.abs(_errors(predictions)) / sizes)


def _squared_log(predictions: Predictions) -> Rows:
    return np.asarray((np.log1p(predictions.labels) - np.log1p(predictions.predicted)) ** 2)


def _poisson(predictions: Predictions) -> Rows:
    y, mu = predictions.labels, predictions.predicted
    return np.asarray(2 * (xlogy(y, y / mu) - y + mu))


def _gamma(predictions: Predictions) -> Rows:
    y, mu = predictions.labels, predictions.predicted
    return np.asarray(2 * (np.log(mu / y) + y / mu - 1))


def _root_of_mean(losses: Rows) -> Rows:
    """Return each row's influence on minus the root of the mean loss; without any loss there is none."""
    root = sqrt(losses.mean())
    return -losses / (2 * root) if root else losses


def _r2(predictions: Predictions) -> Rows:
    """Return each row's influence on 1 - mean(e^2) / mean((y - mean(y))^2)."""
    squares, deviations = _squared(predictions), (predictions.labels - predictions.labels.mean()) ** 2
    variance = deviations.mean()
    if variance == 0:
        raise InvalidMetric("r2", "all labels are equal, so there is nothing to explain: use other rows")
    return np.asarray((squares.mean() / variance * deviations - squares) / variance)


LOSSES: dict[str, Callable[[Predictions], Rows]] = {
    "neg_log_loss": _log_loss,
    "neg_brier_score": _brier,
    "neg_mean_absolute_error": lambda predictions: np.abs(_errors(predictions)),
    "neg_mean_squared_error": _squared,
    "neg_mean_absolute_percentage_error": _percentage,
    "neg_mean_squared_log_error": _squared_log,
    "neg_mean_poisson_deviance": _poisson,
    "neg_mean_gamma_deviance": _gamma,
}
_INFLUENCES: dict[str, Callable[[Predictions], Rows]] = {
    "neg_root_mean_squared_error": lambda predictions: _root_of_mean(_squared(predictions)),
    "neg_root_mean_squared_log_error": lambda predictions: _root_of_mean(_squared_log(predictions)),
    "r2": _r2,
}
METRICS = (*LOSSES, *_INFLUENCES)
