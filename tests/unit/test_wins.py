"""Which of two models is right, or closer, row by row, for each kind of metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from registry.predictions import Predictions
from registry.statistics import means, wins

LATE = [0, 0, 1, 1, 1]


def classifier(
    probabilities: list[float] | None = None, predicted: list[Any] | None = None, labels: list[Any] = LATE
) -> Predictions:
    """One that answers 1 with these *probabilities*, or *predicted* without any."""
    given = None if probabilities is None else np.array(probabilities)
    answers = np.array(predicted if given is None else (given > 0.5).astype(int))
    return Predictions(
        labels=np.array(labels),
        predicted=answers,
        probabilities=None if given is None else np.column_stack([1 - given, given]),
        classes=np.array([0, 1]),
    )


def of_three(probabilities: list[list[float]], labels: list[Any], classes: list[Any]) -> Predictions:
    columns = np.array(probabilities)
    chosen = np.array(classes)[columns.argmax(axis=1)]
    return Predictions(
        labels=np.array(labels), predicted=chosen, probabilities=columns, classes=np.array(classes)
    )


def regressor(predicted: list[float], labels: list[float]) -> Predictions:
    return Predictions(labels=np.array(labels), predicted=np.array(predicted))


# Classifiers


@pytest.mark.parametrize(
    "metric", ["accuracy", "f1", "balanced_accuracy", "matthews_corrcoef", "recall_macro"]
)
def test_a_classifier_wins_the_rows_that_only_it_gets_right(metric: str) -> None:
    ours, theirs = classifier(predicted=[0, 0, 1, 0, 0]), classifier(predicted=[1, 0, 0, 0, 1])
    assert wins(metric, ours, theirs) == (2, 1)
    assert wins(metric, theirs, ours) == (1, 2)


def test_a_class_has_any_name() -> None:
    labels = ["late", "on time", "late"]
    ours = classifier(predicted=["late", "late", "late"], labels=labels)
    theirs = classifier(predicted=["on time", "late", "late"], labels=labels)
    assert wins("accuracy", ours, theirs) == (1, 0)


@pytest.mark.parametrize(
    "metric",
    ["neg_log_loss", "neg_brier_score", "roc_auc", "roc_auc_ovr", "average_precision", "d2_brier_score"],
)
def test_where_probabilities_are_judged_the_surer_of_the_right_class_wins(metric: str) -> None:
    ours = classifier([0.1, 0.2, 0.9, 0.6, 0.7])
    theirs = classifier([0.3, 0.1, 0.8, 0.6, 0.9])
    assert wins(metric, ours, theirs) == (2, 2)
    assert wins(metric, ours, classifier([0.3, 0.3, 0.8, 0.5, 0.6])) == (5, 0)


def test_a_loss_may_prefer_another_than_the_surer_one() -> None:
    """Of three classes the Brier score also judges how the rest is spread."""
    ours = of_three([[0.5, 0.5, 0.0]], [0], [0, 1, 2])
    theirs = of_three([[0.45, 0.275, 0.275]], [0], [0, 1, 2])
    assert wins("neg_brier_score", ours, theirs) == (0, 1)
    assert wins("neg_log_loss", ours, theirs) == (1, 0)


@pytest.mark.parametrize("metric", ["neg_log_loss", "neg_brier_score", "roc_auc", "average_precision"])
def test_of_two_of_which_one_gives_no_probabilities_the_right_one_wins(metric: str) -> None:
    """Or the one that gives none would be as sure as can be of each row that it gets right."""
    sure, silent = classifier([0.1, 0.2, 0.9, 0.6, 0.3]), classifier(predicted=[0, 0, 1, 0, 1])
    assert wins(metric, sure, silent) == (1, 1)
    assert wins(metric, silent, sure) == (1, 1)


@pytest.mark.parametrize("metric", ["neg_log_loss", "neg_brier_score", "roc_auc_ovr"])
def test_a_row_of_a_class_that_a_model_does_not_know_is_lost(metric: str) -> None:
    labels = [0, 1, 2, 2]
    knows = of_three([[0.9, 0.1, 0], [0.5, 0.4, 0.1], [1, 0, 0], [0.2, 0.2, 0.6]], labels, [0, 1, 2])
    does_not = of_three([[0.8, 0.2], [0.3, 0.7], [0.5, 0.5], [0.5, 0.5]], labels, [0, 1])
    assert wins(metric, knows, does_not) == (3, 1)
    assert wins(metric, does_not, does_not) == (0, 0)


def test_a_model_that_knows_fewer_classes_is_not_the_closer_for_it() -> None:
    """The Brier score of two classes counts half of what that of three does."""
    two = of_three([[0.5, 0.5]], [0], [0, 1])
    three = of_three([[0.55, 0.45, 0.0]], [0], [0, 1, 2])
    assert wins("neg_brier_score", two, three) == (0, 1)


# Regressors


@pytest.mark.parametrize(
    "metric",
    [*(name for name in means.METRICS if "log_loss" not in name and "brier" not in name), "max_error"],
)
def test_a_regressor_wins_the_rows_on_which_it_is_closer(metric: str) -> None:
    labels = [1.0, 2.0, 3.0, 4.0]
    ours, theirs = regressor([1.1, 2.5, 3.0, 4.2], labels), regressor([1.2, 2.1, 3.0, 4.3], labels)
    assert wins(metric, ours, theirs) == (2, 1)


def test_closer_is_what_the_metrics_own_loss_calls_closer() -> None:
    """20 is twice and 4 is less than half of 10: the further one in units is the nearer one in size."""
    ours, theirs = regressor([20.0], [10.0]), regressor([4.0], [10.0])
    assert wins("neg_mean_squared_log_error", ours, theirs) == (1, 0)
    assert wins("neg_mean_absolute_error", ours, theirs) == (0, 1)
    assert wins("r2", ours, theirs) == (0, 1)


@pytest.mark.parametrize(
    ("metric", "impossible"),
    [
        ("neg_mean_squared_log_error", -1.5),
        ("neg_mean_poisson_deviance", -0.5),
        ("neg_mean_gamma_deviance", 0),
    ],
)
def test_a_prediction_for_which_the_loss_is_not_defined_is_lost(metric: str, impossible: float) -> None:
    labels = [1.0, 1.0]
    assert wins(metric, regressor([50.0, 1.2], labels), regressor([impossible, 1.1], labels)) == (1, 1)
    assert wins(metric, regressor([impossible] * 2, labels), regressor([impossible] * 2, labels)) == (0, 0)


def test_unsigned_numbers_have_a_distance() -> None:
    labels = np.array([3, 3], dtype=np.uint8)
    ours = Predictions(labels=labels, predicted=np.array([4, 3], dtype=np.uint8))
    theirs = Predictions(labels=labels, predicted=np.array([1, 9], dtype=np.uint8))
    assert wins("r2", ours, theirs) == (2, 0)


def test_a_regressor_and_a_classifier_of_numbers_are_measured_alike() -> None:
    closer = Predictions(labels=np.array(LATE), predicted=np.array([0.1, 0.0, 0.9, 0.8, 0.2]))
    right = classifier(predicted=[0, 1, 1, 1, 0])
    assert wins("neg_mean_squared_error", closer, right) == (2, 3)
