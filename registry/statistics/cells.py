"""Scores that depend on the predicted labels alone: a bootstrap of how often each combination occurs.

Rows with the same label and the same answers are interchangeable, so that a bootstrap of rows is one
multinomial draw of the counts of these cells; its cost does not grow with the rows once they are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from registry.statistics.bounds import SEED, Resampled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from registry.predictions import Predictions

    Draws = NDArray[np.float64]

DRAWS = 2000
METHOD = "cell bootstrap"
_BLOCK_ENTRIES = 2**22


class Counts(NamedTuple):
    """Of each class (K, draws) the rows predicted rightly, all predicted, and all labelled as it."""

    hits: NDArray[np.int64]
    predicted: NDArray[np.int64]
    labelled: NDArray[np.int64]


def difference(metric: str, challenger: Predictions, champion: Predictions) -> Resampled:
    """Compare two models by 2,000 draws of the joint counts of (label, new answer, old answer).

    The generator starts from the same seed each time, so that the same rows give the same bounds.
    """
    estimate = challenger.score(metric) - champion.score(metric)
    new, old = _draws(metric, challenger.labels, challenger.predicted, champion.predicted)
    return Resampled(estimate, np.sort(new - old), len(challenger), f"paired {METHOD}")


def standing(metric: str, predictions: Predictions) -> Resampled:
    """Bound one model's score by 2,000 draws of the counts of (label, answer)."""
    estimate = predictions.score(metric)
    (draws,) = _draws(metric, predictions.labels, predictions.predicted)
    return Resampled(estimate, np.sort(draws), len(predictions), METHOD)


def _draws(metric: str, *columns: NDArray[Any]) -> list[Draws]:
    """Return the score of each column of answers, after the column of labels, in each draw."""
    cells, counts = _counted(coded(metric, columns))
    score, classes = SCORES[metric], max(2, int(cells.max()) + 1)  # the positive class may not occur
    rng = np.random.default_rng(SEED)
    parts = []
    for size in _block_sizes(len(counts)):
        drawn = rng.multinomial(counts.sum(), counts / counts.sum(), size).T
        parts.append([score(tally(drawn, cells[0], answers, classes)) for answers in cells[1:]])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def coded(metric: str, columns: Sequence[NDArray[Any]]) -> list[NDArray[np.intp]]:
    """Return the columns as class numbers; for a binary metric, 1 is the label 1 and 0 every other."""
    if metric in _BY_CLASS:
        return [(column == 1).astype(np.intp) for column in columns]
    codes, _ = pd.factorize(np.concatenate(columns))
    return np.split(codes, len(columns))


def _counted(codes: list[NDArray[np.intp]]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the combinations that occur, (columns, cells), and how often each does, (cells,)."""
    shape = (int(max(column.max() for column in codes)) + 1,) * len(codes)
    occurring, counts = np.unique(np.ravel_multi_index(codes, shape), return_counts=True)
    return np.array(np.unravel_index(occurring, shape)), counts


def _block_sizes(cells: int) -> list[int]:
    """Split the draws so that one block of counts stays within some 32 MB."""
    size = max(1, _BLOCK_ENTRIES // cells)
    return [min(size, DRAWS - done) for done in range(0, DRAWS, size)]


def tally(drawn: NDArray[np.int64], labels: NDArray[Any], answers: NDArray[Any], classes: int) -> Counts:
    """Return the counts per class of *drawn*, (cells, draws), given each cell's label and answer."""
    right = labels == answers
    return Counts(
        hits=_sums(drawn[right], labels[right], classes),
        predicted=_sums(drawn, answers, classes),
        labelled=_sums(drawn, labels, classes),
    )


def _sums(drawn: NDArray[np.int64], groups: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Return (K, draws) the counts of all cells in each group."""
    ones = np.ones(len(groups), dtype=np.int64)
    membership = csr_array((ones, (groups, np.arange(len(groups)))), shape=(classes, len(groups)))
    return np.asarray(membership @ drawn)


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Draws:
    """Divide, an empty ratio being 0 as in scikit-learn."""
    zeros = np.zeros(np.broadcast(numerator, denominator).shape)
    return np.asarray(np.divide(numerator, denominator, out=zeros, where=denominator > 0))


def _f1(counts: Counts) -> Draws:
    return _ratio(2 * counts.hits, counts.predicted + counts.labelled)


def _precision(counts: Counts) -> Draws:
    return _ratio(counts.hits, counts.predicted)


def _recall(counts: Counts) -> Draws:
    return _ratio(counts.hits, counts.labelled)


def _jaccard(counts: Counts) -> Draws:
    return _ratio(counts.hits, counts.predicted + counts.labelled - counts.hits)


def _of_positive(by_class: Callable[[Counts], Draws]) -> Callable[[Counts], Draws]:
    def score(counts: Counts) -> Draws:
        return by_class(Counts(*(part[-1] for part in counts)))

    return score


def _macro(by_class: Callable[[Counts], Draws]) -> Callable[[Counts], Draws]:
    """Average over the classes that occur in a draw, as label or as answer."""

    def score(counts: Counts) -> Draws:
        occurs = counts.predicted + counts.labelled > 0
        return _ratio((by_class(counts) * occurs).sum(axis=0), occurs.sum(axis=0))

    return score


def _weighted(by_class: Callable[[Counts], Draws]) -> Callable[[Counts], Draws]:
    def score(counts: Counts) -> Draws:
        return _ratio((by_class(counts) * counts.labelled).sum(axis=0), counts.labelled.sum(axis=0))

    return score


def _balanced_accuracy(counts: Counts) -> Draws:
    return _ratio(_recall(counts).sum(axis=0), (counts.labelled > 0).sum(axis=0))


def _matthews(counts: Counts) -> Draws:
    """Return Gorodkin's correlation for K classes (Computational Biology and Chemistry 28 (2004) 367-374)."""
    hits, predicted, labelled = (part.astype(np.float64) for part in counts)
    rows = labelled.sum(axis=0)
    covariance = hits.sum(axis=0) * rows - (predicted * labelled).sum(axis=0)
    spreads = (rows**2 - (predicted**2).sum(axis=0)) * (rows**2 - (labelled**2).sum(axis=0))
    return _ratio(covariance, np.sqrt(spreads))


def _micro_jaccard(counts: Counts) -> Draws:
    return _jaccard(Counts(*(part.sum(axis=0) for part in counts)))


_BY_CLASS = {"f1": _f1, "precision": _precision, "recall": _recall, "jaccard": _jaccard}
SCORES: dict[str, Callable[[Counts], Draws]] = {
    **{name: _of_positive(by_class) for name, by_class in _BY_CLASS.items()},
    **{f"{name}_macro": _macro(by_class) for name, by_class in _BY_CLASS.items()},
    **{f"{name}_weighted": _weighted(by_class) for name, by_class in _BY_CLASS.items()},
    "jaccard_micro": _micro_jaccard,
    "balanced_accuracy": _balanced_accuracy,
    "matthews_corrcoef": _matthews,
}
METRICS = tuple(SCORES)
