"""Which of two models is ahead, by a metric, on how many of the independent parts of the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

import numpy as np
import pandas as pd

from registry.statistics import cells, means
from registry.statistics.bounds import SEED

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from registry.predictions import Predictions

    Lead = NDArray[Any]
    Both = tuple[Predictions, Predictions]

_OF_RANKS = ("roc_auc", "average_precision")
_OF_PROBABILITIES = ("d2_log_loss_score", "d2_brier_score", "neg_log_loss", "neg_brier_score")
_DEFINED_ABOVE = {
    "neg_mean_squared_log_error": -1,
    "neg_mean_poisson_deviance": 0,
    "neg_mean_gamma_deviance": 0,
}
_STEP = 1e-3  # rows


def wins(metric: str, first: Predictions, second: Predictions) -> tuple[int, int]:
    """On how many units only the *first* of two models is right, or is closer; and on how many the second.

    No row is in two units, and where the two models have the same score, each is as likely as the other to
    win a unit that one of them wins; that is what ``health.better`` asks for. A unit on which the two do
    equally well counts for neither. What it is depends on the metric:

    - Metrics of how often each class is answered rightly (precision, recall, F1, balanced accuracy, Jaccard,
      MCC, and their averages): a row whose two answers move the score by different amounts. Those that move
      it most are counted, each other one with a probability of its share of that, by a draw that is the same
      for the same labels. So recall counts positive rows only, and balanced accuracy about as many of each
      class. How much an answer moves the score is its slope at the sum of both models' counts. The precision
      of a model that calls no row positive is 0 by convention; then the other wins each that it calls so
      rightly.
    - ROC AUC and average precision of two classes: a pair of a positive and a negative row, each row once,
      paired by such a draw; the model wins that alone ranks it rightly, by what scikit-learn ranks by (or
      by the answer itself). A tie is right with probability one half.
    - ROC AUC of more classes: a row of a draw that has as many rows of each class; the model wins that
      gives the row's own class the higher probability.
    - Any other: a row. Where the metric has a loss for each row, the lower loss wins; where it judges
      probabilities, the higher one of the row's own class, also if the two know different numbers of classes;
      otherwise being right, and for regressors being closer. Where one gives no probabilities, being right
      decides. A row of a class that a model does not know, or for which its prediction has no loss, is lost.
    """
    lead = _method(metric, (first, second))(metric, (first, second))
    return int(np.count_nonzero(lead > 0)), int(np.count_nonzero(lead < 0))


def _method(metric: str, both: Both) -> Callable[[str, Both], Lead]:
    """What gives (units,) by how much the first model leads, of which the sign counts."""
    if any(each.classes is None for each in both):
        return _by_rows
    if metric in cells.SCORES:
        return _by_effects
    if metric.startswith(_OF_RANKS):
        return _by_pairs if _two_classes(both) else _by_balanced_rows
    return _by_rows


def _two_classes(both: Both) -> bool:
    first, second = (cast("NDArray[Any]", each.classes) for each in both)
    return len(first) == 2 and np.array_equal(first, second)  # noqa: PLR2004, the name says it


def _generator(labels: NDArray[Any]) -> np.random.Generator:
    """The same for the same labels; another for the next batch, or one bad draw would be all batches'."""
    codes, _ = pd.factorize(labels)
    return np.random.default_rng([SEED, crc32(codes.tobytes())])


# Metrics of counts


def _by_effects(metric: str, both: Both) -> Lead:
    """(n,) by how much the first's answer to a row moves the score more, or 0 if the row is not drawn."""
    labels, *answers = cells.coded(metric, [both[0].labels, *(each.predicted for each in both)])
    if metric == "precision" and not all(each.any() for each in answers):
        metric = "recall"
    of_answer, of_hit = _slopes(metric, labels, answers)
    ours, theirs = (of_answer[each] + of_hit[each] * (each == labels) for each in answers)
    effects = ours - theirs
    size = np.abs(effects)
    drawn = _generator(both[0].labels).random(len(size)) * size.max(initial=0) < size
    return np.where(drawn, effects, 0)


def _slopes(
    metric: str, labels: NDArray[np.intp], answers: list[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By how much one more answer of each class moves the score, and by how much more if it is right."""
    truth, given = np.tile(labels, len(answers)), np.concatenate(answers)
    classes = max(2, int(max(truth.max(), given.max())) + 1)  # the positive class may not occur
    hits, predicted, labelled = (
        np.bincount(rows, minlength=classes)[:, None] for rows in (given[given == truth], given, truth)
    )
    step, none = _STEP * np.eye(classes), np.zeros((classes, classes))
    nowhere = np.zeros((classes, 1))
    counts = cells.Counts(
        hits + np.hstack([nowhere, none, step]), predicted + np.hstack([nowhere, step, none]), labelled
    )
    scores = cells.SCORES[metric](counts)
    of_answer, of_hit = np.split(scores[1:] - scores[0], 2)
    return of_answer, of_hit


# Metrics of ranks


def _by_pairs(_metric: str, both: Both) -> Lead:
    """(pairs,) 1 where the first alone ranks the positive row above the negative one, -1 where the second."""
    rng = _generator(both[0].labels)
    shuffled = rng.permutation(len(both[0]))
    positive = (both[0].labels == cast("NDArray[Any]", both[0].classes)[1])[shuffled]
    pairs = min(np.count_nonzero(positive), np.count_nonzero(~positive))
    above, below = shuffled[positive][:pairs], shuffled[~positive][:pairs]
    tied = rng.random(pairs) < 0.5  # noqa: PLR2004, a coin
    ours, theirs = (_sorted_rightly(_scores(each), above, below, tied) for each in both)
    return ours - theirs


def _sorted_rightly(
    scores: NDArray[Any], above: NDArray[np.intp], below: NDArray[np.intp], tied: NDArray[np.bool_]
) -> NDArray[np.int8]:
    right = (scores[above] > scores[below]) | ((scores[above] == scores[below]) & tied)
    return np.asarray(right, dtype=np.int8)


def _scores(predictions: Predictions) -> NDArray[Any]:
    """(n,) what rows are ranked by: the decision function, else the probability, else the answer."""
    if predictions.decision is not None:
        return predictions.decision.reshape(-1)
    if predictions.probabilities is not None:
        return predictions.probabilities[:, 1]
    return np.asarray(predictions.predicted == cast("NDArray[Any]", predictions.classes)[1])


def _by_balanced_rows(metric: str, both: Both) -> Lead:
    rows = _balanced(both[0].labels)
    measure = _of_own_class if all(map(_columns_of, both)) else _wrong
    ours, theirs = (measure(metric, each.select(rows)) for each in both)
    return _behind(theirs, ours)


def _balanced(labels: NDArray[Any]) -> NDArray[np.intp]:
    """All rows of the rarest class, and as many, drawn without replacement, of each other."""
    shuffled = _generator(labels).permutation(len(labels))
    drawn = pd.Series(labels[shuffled])
    place = drawn.groupby(drawn).cumcount()
    return shuffled[(place < drawn.value_counts().min()).to_numpy()]


# Metrics of rows


def _by_rows(metric: str, both: Both) -> Lead:
    measure = _measure(metric, both)
    ours, theirs = (measure(metric, each) for each in both)
    return _behind(theirs, ours)


def _behind(some: NDArray[Any], others: NDArray[Any]) -> Lead:
    """(n,) 1 where *some* losses are greater than *others*, -1 where they are less."""
    return np.asarray(np.subtract(some > others, some < others, dtype=np.int8))


def _measure(metric: str, both: Both) -> Callable[[str, Predictions], NDArray[Any]]:
    """The loss by which *both* can be measured."""
    if any(each.classes is None for each in both):
        return _of_prediction if metric in means.LOSSES else _distance
    columns = {_columns_of(each) for each in both}
    if 0 in columns or not metric.startswith(_OF_PROBABILITIES):
        return _wrong
    return _of_known_classes if metric in means.LOSSES and len(columns) == 1 else _of_own_class


def _columns_of(predictions: Predictions) -> int:
    return 0 if predictions.probabilities is None else int(predictions.probabilities.shape[1])


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
