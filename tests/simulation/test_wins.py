"""Which of two models is ahead on how many of the independent parts of the rows, for each kind of metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from registry.predictions import Predictions
from registry.statistics import means, wins
from registry.suspicion import CONVINCING, better

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


OF_ALL_ROWS = ["accuracy", "f1_micro", "precision_micro", "recall_micro", "recall_weighted", "top_k_accuracy"]
OF_POSITIVES = ["recall", "precision", "f1", "jaccard"]
OF_CLASSES = ["balanced_accuracy", "recall_macro", "matthews_corrcoef", "f1_macro", "jaccard_macro"]
OF_RANKS = ["roc_auc", "average_precision"]


@pytest.mark.parametrize("metric", OF_ALL_ROWS)
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
    ["neg_log_loss", "neg_brier_score", "d2_log_loss_score", "d2_brier_score"],
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


@pytest.mark.parametrize("metric", ["neg_log_loss", "neg_brier_score", "d2_log_loss_score"])
def test_of_two_of_which_one_gives_no_probabilities_the_right_one_wins(metric: str) -> None:
    """Or the one that gives none would be as sure as can be of each row that it gets right."""
    sure, silent = classifier([0.1, 0.2, 0.9, 0.6, 0.3]), classifier(predicted=[0, 0, 1, 0, 1])
    assert wins(metric, sure, silent) == (1, 1)
    assert wins(metric, silent, sure) == (1, 1)


@pytest.mark.parametrize("metric", ["neg_log_loss", "neg_brier_score"])
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


# Classes of which one is rare


def drawn(seed: int, *rates: tuple[float, float], rare: float = 0.06, rows: int = 2_000) -> list[Predictions]:
    """Models that call positive these shares of the positive and of the negative rows."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < rare).astype(int)
    return [
        classifier(
            predicted=list((rng.random(rows) < np.where(labels, *each)).astype(int)), labels=list(labels)
        )
        for each in rates
    ]


def ranked(seed: int, *distances: float, rare: float = 0.06, rows: int = 2_000) -> list[Predictions]:
    """Models that tell the classes apart by so many standard deviations; one of nothing says 0.1 always."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < rare).astype(int)
    noise = 1 / (1 + np.exp(3 - rng.normal(size=(len(distances), rows)) - np.outer(distances, labels)))
    return [
        classifier(list(each) if distance else [0.1] * rows, labels=list(labels))
        for each, distance in zip(noise, distances, strict=True)
    ]


def fed_zeros() -> tuple[Predictions, Predictions]:
    """A champion whose feed delivers zeros, and a balanced target that does not look at it."""
    rng = np.random.default_rng(0)
    labels = (rng.random(8_000) < 0.06).astype(int)
    rows = pd.DataFrame(rng.normal(size=(8_000, 2)) + 1.7 * labels[:, None], columns=["feed", "other"])
    train, live = rows[:4_000], rows[4_000:]
    champion = LogisticRegression().fit(train[["feed"]], labels[:4_000])
    target = LogisticRegression(class_weight="balanced").fit(train[["other"]], labels[:4_000])
    broken = Predictions.of(champion, live[["feed"]] * 0, labels[4_000:])
    return broken, Predictions.of(target, live[["other"]], labels[4_000:])


@pytest.mark.parametrize(
    "metric", [*OF_POSITIVES, "balanced_accuracy", "recall_macro", "matthews_corrcoef", *OF_RANKS]
)
def test_a_broken_champion_that_is_right_on_most_rows_loses_by_a_metric_by_which_it_is_worse(
    metric: str,
) -> None:
    champion, target = fed_zeros()
    assert champion.score("accuracy") > target.score("accuracy") + 0.05
    assert champion.score(metric) < target.score(metric) - 0.1
    champion_only, target_only = wins(metric, champion, target)
    assert better(target_only, champion_only) > CONVINCING**2
    assert wins("accuracy", champion, target)[0] > wins("accuracy", champion, target)[1]


PRECISE, EAGER, BETTER = (0.6, 0.03), (0.9, 0.3), (0.8, 0.03)


@pytest.mark.parametrize("metric", [*OF_POSITIVES, *OF_CLASSES, "f1_weighted", "jaccard_weighted"])
@pytest.mark.parametrize("pair", [(PRECISE, EAGER), (PRECISE, BETTER), (EAGER, BETTER)])
def test_the_one_with_the_higher_score_wins_more(metric: str, pair: Any) -> None:
    """Also where the metrics disagree about which of the two that is."""
    totals = np.sum([wins(metric, *drawn(seed, *pair)) for seed in range(20)], axis=0)
    scores = [sum(each.score(metric) for each in models) for models in zip(*_lives(pair), strict=True)]
    if abs(scores[0] - scores[1]) > 0.02 * 20:
        assert (totals[0] > totals[1]) == (scores[0] > scores[1])


def _lives(pair: Any) -> list[list[Predictions]]:
    return [drawn(seed, *pair) for seed in range(20)]


def test_the_metrics_disagree_about_who_is_better() -> None:
    precise, eager = drawn(1, PRECISE, EAGER)
    ahead = {metric: wins(metric, precise, eager) for metric in ("f1", "precision", "recall", "accuracy")}
    assert {metric for metric, (ours, theirs) in ahead.items() if ours > theirs} == {
        "f1",
        "precision",
        "accuracy",
    }


# Two that score alike although they answer most differently; the shares are solutions of the formulas
ALIKE: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "recall": ((0.6, 0.03), (0.6, 0.33)),
    "balanced_accuracy": ((0.6, 0.03), (0.9, 0.33)),
    "precision": ((0.1, 0.005), (0.9, 0.045)),
    "f1": ((0.6, 0.03), (0.9, 0.0779)),
    "jaccard": ((0.6, 0.03), (0.9, 0.0779)),
}


@pytest.mark.parametrize("metric", ALIKE)
def test_two_that_score_alike_win_alike(metric: str) -> None:
    contests = [wins(metric, *drawn(seed, *ALIKE[metric])) for seed in range(100)]
    ours, theirs = np.sum(contests, axis=0)
    assert min(ours, theirs) > 1_000
    assert abs(ours - theirs) < 3.5 * np.sqrt(ours + theirs)
    assert sum(better(*each) >= CONVINCING for each in contests) <= 5
    assert sum(better(*each[::-1]) >= CONVINCING for each in contests) <= 5


def test_recall_counts_positive_rows_only() -> None:
    ours, theirs = classifier(predicted=[0, 0, 1, 0, 0]), classifier(predicted=[1, 1, 0, 1, 1])
    assert wins("recall", ours, theirs) == (1, 2)


def test_balanced_accuracy_counts_about_as_many_rows_of_each_class() -> None:
    """One is right on all rows, the other on none."""
    labels = np.repeat([0, 1, 2], [10_000, 1_000, 500])
    right = of_three(list(np.eye(3)[labels]), list(labels), [0, 1, 2])
    wrong = of_three(list(np.eye(3)[(labels + 1) % 3]), list(labels), [0, 1, 2])
    ahead, behind = wins("balanced_accuracy", right, wrong)
    assert abs(ahead - 1_500) < 110
    assert behind == 0
    assert wins("balanced_accuracy", right.select(labels == 2), wrong.select(labels == 2)) == (500, 0)


def test_the_precision_of_one_that_calls_no_row_positive_is_the_lower() -> None:
    silent, loud = classifier(predicted=[0] * 5), classifier(predicted=[1, 1, 1, 1, 0])
    assert wins("precision", silent, loud) == (0, 2)


@pytest.mark.parametrize("metric", [*OF_POSITIVES, *OF_RANKS])
def test_without_positive_rows_nobody_wins(metric: str) -> None:
    ours, theirs = classifier([0.1, 0.9, 0.2], labels=[0] * 3), classifier([0.8, 0.1, 0.6], labels=[0] * 3)
    assert wins(metric, ours, theirs) == (0, 0)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "recall_macro", "accuracy"])
def test_of_one_class_all_rows_count(metric: str) -> None:
    ours, theirs = classifier([0.1, 0.9, 0.2], labels=[0] * 3), classifier([0.8, 0.1, 0.6], labels=[0] * 3)
    assert wins(metric, ours, theirs) == (2, 1)


@pytest.mark.parametrize("metric", OF_RANKS)
def test_of_one_class_there_are_no_pairs(metric: str) -> None:
    ours, theirs = classifier([0.1, 0.9], labels=[1, 1]), classifier([0.8, 0.1], labels=[1, 1])
    assert wins(metric, ours, theirs) == (0, 0)


# Ranks


@pytest.mark.parametrize("metric", OF_RANKS)
def test_a_row_is_in_one_pair(metric: str) -> None:
    labels = [0] * 90 + [1] * 10
    right, wrong = (
        classifier([0.4 + sign * each / 10 for each in labels], labels=labels) for sign in (1, -1)
    )
    assert wins(metric, right, wrong) == (10, 0)
    negated = [1 - each for each in labels]
    right, wrong = (
        classifier([0.4 + sign * each / 10 for each in negated], labels=negated) for sign in (1, -1)
    )
    assert wins(metric, right, wrong) == (10, 0)


@pytest.mark.parametrize("metric", OF_RANKS)
def test_who_ranks_better_wins_more_pairs(metric: str) -> None:
    far, near = ranked(1, 2.0, 1.0)
    assert far.score(metric) > near.score(metric)
    ours, theirs = wins(metric, far, near)
    assert ours > theirs


def test_where_everything_is_tied_half_of_the_pairs_are_right() -> None:
    """Such a model has the score of one that guesses, so that neither is to win more pairs."""
    totals = np.sum([wins("roc_auc", *ranked(seed, 0, 1e-9)) for seed in range(50)], axis=0)
    assert totals.min() > 1_000
    assert abs(totals[0] - totals[1]) < 3 * np.sqrt(totals.sum())


def test_how_sure_a_model_is_does_not_count_in_ranks() -> None:
    far, near = ranked(1, 2.0, 1.0)
    hesitant = classifier(list(np.asarray(far.probabilities)[:, 1] / 1_000), labels=list(far.labels))
    assert wins("roc_auc", hesitant, near) == wins("roc_auc", far, near)
    assert wins("roc_auc", far, hesitant) == (0, 0)


def test_ranks_are_those_of_the_decision_function_where_there_is_one() -> None:
    far, near = ranked(1, 2.0, 1.0)
    scores = np.log(np.asarray(far.probabilities)[:, 1])
    decided = Predictions(labels=far.labels, predicted=far.predicted, decision=scores, classes=far.classes)
    assert wins("roc_auc", decided, near) == wins("roc_auc", far, near)


def test_one_without_scores_ranks_by_its_answers() -> None:
    labels = [0] * 50 + [1] * 50
    right = classifier(predicted=labels, labels=labels)
    wrong = classifier(predicted=[1 - each for each in labels], labels=labels)
    assert wins("roc_auc", right, wrong) == (50, 0)


@pytest.mark.parametrize("metric", ["roc_auc_ovr", "roc_auc_ovo"])
def test_of_more_classes_as_many_rows_of_each_are_compared_by_the_probability_of_their_own(
    metric: str,
) -> None:
    labels = [0] * 60 + [1] * 30 + [2] * 10
    sure = of_three(list(np.eye(3)[labels] * 0.7 + 0.1), labels, [0, 1, 2])
    partial = of_three([[0.9, 0.05, 0.05]] * 100, labels, [0, 1, 2])
    assert wins(metric, sure, partial) == (20, 10)
    two = of_three([[0.5, 0.5]] * 100, labels, [0, 1])
    assert wins(metric, two, partial) == (10, 20)
    silent = Predictions(labels=sure.labels, predicted=sure.predicted, classes=sure.classes)
    assert wins(metric, silent, partial) == (20, 0)


# All


CLASSIFIED = [*OF_ALL_ROWS, *OF_POSITIVES, *OF_CLASSES, *OF_RANKS, "precision_macro", "f1_weighted"]
MODELS = st.integers(1, 60).flatmap(
    lambda rows: st.tuples(
        st.lists(st.integers(0, 1), min_size=rows, max_size=rows),
        *[st.lists(st.sampled_from([0.1, 0.3, 0.6, 0.9]), min_size=rows, max_size=rows) for _ in range(2)],
    )
)


@settings(deadline=None)
@given(models=MODELS, metric=st.sampled_from([*CLASSIFIED, "neg_log_loss"]))
def test_the_order_of_the_two_does_not_count_nor_how_often_one_asks(
    models: tuple[list[int], list[float], list[float]], metric: str
) -> None:
    labels, *probabilities = models
    ours, theirs = (classifier(each, labels=labels) for each in probabilities)
    answer = wins(metric, ours, theirs)
    assert wins(metric, theirs, ours) == answer[::-1]
    assert wins(metric, ours, theirs) == answer
    assert wins(metric, ours, ours) == (0, 0)
    assert sum(answer) <= len(labels)


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
