from __future__ import annotations

import pickle
import tracemalloc
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.datasets import make_classification
from sklearn.linear_model import GammaRegressor, LogisticRegression
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from registry.exceptions import InvalidDataset, InvalidMetric, PredictionFailed
from registry.predictions import Predictions

if TYPE_CHECKING:
    from pathlib import Path

Task = tuple[Any, pd.DataFrame, Any]


def classification(estimator: Any, classes: int, names: Any = None) -> Task:
    X, y = make_classification(240, 6, n_informative=4, n_classes=classes, flip_y=0.2, random_state=classes)
    labels = y if names is None else np.array(names)[y]
    frame = pd.DataFrame(X).add_prefix("x")
    return estimator.fit(frame[:120], labels[:120]), frame[120:], labels[120:]


def regression() -> Task:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(200, 3))).add_prefix("x")
    y = np.exp(frame["x0"] * 0.5 + rng.normal(size=200) * 0.3)
    return GammaRegressor().fit(frame[:100], y[:100]), frame[100:], y[100:]


TASKS = {
    "binary with probabilities and decisions": lambda: classification(LogisticRegression(), 2),
    "binary with decisions only": lambda: classification(SVC(), 2),
    "binary with probabilities only": lambda: classification(DecisionTreeClassifier(max_depth=4), 2),
    "binary labelled 1 and 2": lambda: classification(LogisticRegression(), 2, [1, 2]),
    "binary labelled by words": lambda: classification(LogisticRegression(), 2, ["late", "on time"]),
    "four words": lambda: classification(LogisticRegression(), 4, ["d", "a", "c", "b"]),
    "regression": regression,
}


def scorer_says(name: str, task: Task) -> float | None:
    """Return scikit-learn's finite score of the real estimator, or None."""
    estimator, features, labels = task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = float(get_scorer(name)(estimator, features, labels))
        except Exception:  # noqa: BLE001 - scorers refuse in many ways
            return None
    return value if np.isfinite(value) else None


def stored_score(name: str, predictions: Predictions) -> float | None:
    try:
        return predictions.score(name)
    except InvalidMetric:
        return None


@pytest.mark.parametrize("task", TASKS)
def test_every_scorer_says_the_same_of_the_stored_answers_as_of_the_estimator(task: str) -> None:
    estimator, features, labels = TASKS[task]()
    predictions = Predictions.of(estimator, features, labels)
    expected = {name: scorer_says(name, (estimator, features, labels)) for name in get_scorer_names()}

    assert {name: stored_score(name, predictions) for name in expected} == expected
    assert sum(value is not None for value in expected.values()) >= 14


def test_a_selection_keeps_all_columns_in_step() -> None:
    predictions = Predictions.of(*classification(LogisticRegression(), 2))
    rows = np.array([7, 3, 3])
    chosen = predictions.select(rows)

    assert len(chosen) == 3
    assert chosen.labels.tolist() == predictions.labels[rows].tolist()
    assert chosen.predicted.tolist() == predictions.predicted[rows].tolist()
    assert chosen.probabilities is not None
    assert predictions.probabilities is not None
    assert chosen.probabilities.tolist() == predictions.probabilities[rows].tolist()
    assert chosen.decision is not None
    assert predictions.decision is not None
    assert chosen.decision.tolist() == predictions.decision[rows].tolist()


def test_a_mask_selects_the_rows_it_holds() -> None:
    predictions = Predictions.of(*regression())
    mask = predictions.labels > 1

    assert predictions.select(mask).labels.tolist() == predictions.labels[mask].tolist()


def test_an_unknown_metric_is_refused_with_the_nearest_names() -> None:
    predictions = Predictions.of(*classification(LogisticRegression(), 2))

    with pytest.raises(InvalidMetric, match="did you mean roc_auc or"):
        predictions.score("roc-auc")
    with pytest.raises(InvalidMetric, match="get_scorer_names"):
        predictions.score("zzzzzzzz")


@pytest.mark.parametrize("metric", ["roc_auc", "neg_log_loss", "r2"])
def test_a_metric_without_a_value_on_these_rows_is_refused_without_a_warning(metric: str) -> None:
    predictions = Predictions.of(*classification(LogisticRegression(), 2))
    alike = predictions.select(np.flatnonzero(predictions.labels == 1)[:1])

    with pytest.raises(InvalidMetric, match="not defined on these 1 rows"):
        alike.score(metric)


def test_no_rows_have_no_score() -> None:
    empty = Predictions.of(*regression()).select(np.array([], dtype=int))

    with pytest.raises(InvalidMetric, match="0 rows"):
        empty.score("r2")


def test_a_ratio_that_scikit_learn_settles_by_convention_stands_without_a_warning() -> None:
    cautious = Predictions(np.array([0, 1, 1]), np.array([0, 0, 0]), classes=np.array([0, 1]))

    assert cautious.score("precision") == 0


@pytest.mark.parametrize(
    "column",
    [
        np.array([3, 1, 2]),
        np.array([3, 1, 2], dtype=np.int8),
        np.array([0.1, 1 / 3, -2.5e-300]),
        np.array([True, False, True]),
        np.array(["on time", "late", "日"]),
    ],
    ids=lambda column: column.dtype.str,
)
def test_labels_and_classes_come_back_equal_and_of_the_same_kind(column: Any, tmp_path: Path) -> None:
    probabilities, path = np.array([[0.1, 0.2, 0.7]] * 3), tmp_path / "rows.parquet"
    Predictions(column, column[::-1].copy(), probabilities, probabilities * 9, np.sort(column)).write(path)
    back = Predictions.read(path, 3)

    assert back.labels.dtype == column.dtype
    assert back.labels.tolist() == column.tolist()
    assert back.predicted.tolist() == column[::-1].tolist()
    assert back.classes is not None
    assert back.classes.dtype == column.dtype
    assert back.classes.tolist() == sorted(column.tolist())
    assert back.probabilities is not None
    assert back.probabilities.tolist() == probabilities.tolist()
    assert back.decision is not None
    assert back.decision.tolist() == (probabilities * 9).tolist()


@pytest.mark.parametrize("task", ["binary with decisions only", "four words", "regression"])
def test_predictions_read_back_score_the_same(task: str, tmp_path: Path) -> None:
    predictions = Predictions.of(*TASKS[task]())
    predictions.write(tmp_path / "rows.parquet")
    back = Predictions.read(tmp_path / "rows.parquet", len(predictions))

    assert (back.probabilities is None) == (predictions.probabilities is None)
    assert (back.decision is None) == (predictions.decision is None)
    for metric in ("accuracy", "roc_auc", "roc_auc_ovr", "neg_log_loss", "r2"):
        assert stored_score(metric, back) == stored_score(metric, predictions)


def test_more_than_ten_classes_keep_their_order(tmp_path: Path) -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(12), size=5)
    labels = np.arange(5)
    Predictions(labels, labels, probabilities, classes=np.arange(12)).write(tmp_path / "rows.parquet")
    back = Predictions.read(tmp_path / "rows.parquet", 5)

    assert back.probabilities is not None
    assert back.probabilities.tolist() == probabilities.tolist()


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    other, garbage = tmp_path / "other.parquet", tmp_path / "garbage.parquet"
    pd.DataFrame({"label": [1]}).to_parquet(other)
    garbage.write_bytes(b"PAR1")

    for path in (other, garbage, tmp_path / "absent.parquet"):
        with pytest.raises(InvalidDataset, match="does not hold predictions"):
            Predictions.read(path, 1)


def test_a_file_of_other_rows_than_were_answered_is_refused(tmp_path: Path) -> None:
    answered, path = np.array([1, 0, 1]), tmp_path / "rows.parquet"
    Predictions(answered, answered).write(path)
    with pytest.raises(InvalidDataset, match="it has 3 rows, 2 were answered"):
        Predictions.read(path, 2)


def test_labels_of_a_pandas_string_column_become_plain_strings() -> None:
    estimator, features, labels = classification(LogisticRegression(), 2, ["late", "on time"])
    series = pd.Series(labels, index=features.index)

    assert Predictions.of(estimator, features, series).labels.dtype.kind == "U"
    assert Predictions.of(estimator, features, series.astype("category")).labels.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ([1, "late", 0], "mixed"),
        (["late", None, "late"], "mixed"),
        ([0.5, float("nan"), 1], "missing or infinite"),
        ([1, 0], "does not fit 3 rows"),
    ],
)
def test_labels_that_nothing_can_be_judged_from_are_refused(labels: list[Any], complaint: str) -> None:
    with pytest.raises(InvalidDataset, match=complaint):
        Predictions.of(Scripted([1.0, 2.0, 3.0]), rows(3), pd.Series(labels, dtype=object))


def rows(count: int) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(count)})


class Scripted(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """An estimator that answers as told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, _: pd.DataFrame) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return np.asarray(self.answer)


class ScriptedClassifier(ClassifierMixin, Scripted):  # type: ignore[misc]  # scikit-learn ships no types
    classes_ = np.array([0, 1])

    def __init__(self, probabilities: Any) -> None:
        super().__init__([0, 1, 0])
        self.probabilities = probabilities

    def predict_proba(self, _: pd.DataFrame) -> Any:
        return np.asarray(self.probabilities)


@pytest.mark.parametrize(
    ("estimator", "complaint"),
    [
        (Scripted(ValueError("no such column")), "raised ValueError: no such column"),
        (Scripted([1.0, 2.0]), r"shape \(2,\) to 3 rows"),
        (Scripted(1.0), r"shape \(\) to 3 rows"),
        (Scripted([1.0, float("nan"), 2.0]), "NaN or infinity"),
        (Scripted([1.0, float("inf"), 2.0]), "NaN or infinity"),
        (Scripted(np.ones((3, 2))), r"shape \(3, 2\)"),
        (Scripted(np.array([1, "a", None], dtype=object)), "mixed"),
        (ScriptedClassifier(np.ones((3, 3)) / 3), r"shape \(3, 3\), but classes_ is \[0 1\]"),
        (ScriptedClassifier([[0.5, 0.5], [float("nan"), 0.5], [0, 1]]), "predict_proba answered with NaN"),
        (object(), "predict raised AttributeError"),
    ],
)
def test_an_estimator_that_does_not_answer_properly_is_named(estimator: Any, complaint: str) -> None:
    with pytest.raises(PredictionFailed, match=complaint) as failure:
        Predictions.of(estimator, rows(3), [0, 1, 0])
    assert failure.value.subject == type(estimator).__name__


def test_one_column_of_answers_is_taken_as_the_answers() -> None:
    assert Predictions.of(Scripted([[1.0], [2.0], [3.0]]), rows(3), [1, 2, 3]).predicted.tolist() == [1, 2, 3]


def test_predictions_cross_process_borders() -> None:
    predictions = Predictions.of(*regression())

    assert pickle.loads(pickle.dumps(predictions)).score("r2") == predictions.score("r2")  # noqa: S301


def test_many_rows_take_a_few_times_their_own_size(tmp_path: Path) -> None:
    """A million rows stay below 1 GB if 200,000 rows of 32 bytes stay below 20 times that."""
    count, path = 200_000, tmp_path / "rows.parquet"
    labels, probabilities = np.arange(count) % 2, np.tile([0.25, 0.75], (count, 1))
    tracemalloc.start()
    Predictions(labels, labels, probabilities, classes=np.array([0, 1])).write(path)
    Predictions.read(path, count).score("accuracy")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 20 * 32 * count
