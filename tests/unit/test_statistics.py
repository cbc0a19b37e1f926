"""What holds of every comparison, whatever the method."""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.exceptions import InvalidDataset, InvalidMetric
from registry.predictions import Predictions
from registry.statistics import (
    alpha_at_look,
    cells,
    difference,
    holm,
    means,
    ranking,
    rows,
    shares,
    standing,
)
from registry.statistics.bounds import Estimated, Resampled

if TYPE_CHECKING:
    from registry.statistics import Difference, Standing

Pair = tuple[Predictions, Predictions]

CLASSIFYING = {
    "accuracy": "Tango score interval",
    "f1_micro": "Tango score interval",
    "neg_log_loss": "paired t",
    "neg_brier_score": "paired t",
    "roc_auc": "paired DeLong",
    "f1": "paired cell bootstrap",
    "recall_macro": "paired cell bootstrap",
    "matthews_corrcoef": "paired cell bootstrap",
}
REGRESSING = {
    "neg_mean_absolute_error": "paired t",
    "neg_mean_squared_error": "paired t",
    "neg_mean_absolute_percentage_error": "paired t",
    "neg_mean_squared_log_error": "paired t",
    "neg_mean_poisson_deviance": "paired t",
    "neg_mean_gamma_deviance": "paired t",
    "neg_root_mean_squared_error": "paired delta method",
    "neg_root_mean_squared_log_error": "paired delta method",
    "r2": "paired delta method",
}
NOT_DRAWN = [metric for metric, method in (CLASSIFYING | REGRESSING).items() if "bootstrap" not in method]


def classifiers(count: int, seed: int = 0, noises: tuple[float, float] = (0.5, 0.8)) -> Pair:
    """Make two classifiers that see the same signal with more and less noise."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 2)
    signal = labels + rng.normal(size=count)

    def classifier(noise: float) -> Predictions:
        positive = 1 / (1 + np.exp(0.5 - signal - rng.normal(size=count) * noise))
        both = np.column_stack([1 - positive, positive])
        return Predictions(labels, (positive > 0.5).astype(int), both, classes=np.array([0, 1]))

    return classifier(noises[0]), classifier(noises[1])


def regressors(count: int, seed: int = 0) -> Pair:
    rng = np.random.default_rng(seed)
    labels = np.exp(rng.normal(size=count))
    return (
        Predictions(labels, labels * np.exp(rng.normal(size=count) * 0.3)),
        Predictions(labels, labels * np.exp(rng.normal(size=count) * 0.4)),
    )


def contenders(metric: str, count: int = 120, seed: int = 0) -> Pair:
    return regressors(count, seed) if metric in REGRESSING else classifiers(count, seed)


@cache
def compared(metric: str) -> Difference:
    return difference(metric, *contenders(metric))


@cache
def standing_of_one(metric: str) -> Standing:
    return standing(metric, contenders(metric)[0])


@pytest.mark.parametrize(("metric", "method"), [*CLASSIFYING.items(), *REGRESSING.items()])
def test_each_metric_goes_to_its_method(metric: str, method: str) -> None:
    challenger, champion = contenders(metric)
    found = compared(metric)

    assert found.method == method
    assert found.estimate == challenger.score(metric) - champion.score(metric)
    assert found.lower(0.05) < found.estimate < found.upper(0.05)


@pytest.mark.parametrize("metric", [*shares.METRICS, *cells.METRICS, *means.METRICS, *ranking.METRICS])
def test_an_estimate_is_exactly_the_difference_of_the_scores(metric: str) -> None:
    regressing = metric in REGRESSING
    challenger, champion = regressors(60) if regressing else classifiers(60)

    found, alone = difference(metric, challenger, champion), standing(metric, challenger)
    assert found.estimate == challenger.score(metric) - champion.score(metric)
    assert alone.estimate == challenger.score(metric)
    assert alone.lower(0.05) < alone.estimate < alone.upper(0.05)


@pytest.mark.parametrize(
    "metric", ["average_precision", "neg_median_absolute_error", "fowlkes_mallows_score"]
)
def test_any_other_scorer_is_compared_by_drawing_rows(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "DRAWS", 60)
    challenger, champion = regressors(60) if "error" in metric else classifiers(60)
    found, alone = difference(metric, challenger, champion), standing(metric, challenger)

    assert (found.method, alone.method) == ("paired row bootstrap", "row bootstrap")
    assert found.estimate == challenger.score(metric) - champion.score(metric)
    assert found.lower(0.05) < found.upper(0.05)
    assert alone.lower(0.05) < alone.estimate < alone.upper(0.05)


@pytest.mark.parametrize("metric", NOT_DRAWN)
def test_swapping_the_models_negates_the_estimate_and_swaps_the_bounds(metric: str) -> None:
    challenger, champion = contenders(metric)
    there, back = difference(metric, challenger, champion), difference(metric, champion, challenger)

    assert back.estimate == -there.estimate
    assert back.lower(0.05) == pytest.approx(-there.upper(0.05), rel=1e-9, abs=1e-12)
    assert back.upper(0.01) == pytest.approx(-there.lower(0.01), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("metric", NOT_DRAWN)
def test_the_order_of_the_rows_does_not_matter(metric: str) -> None:
    challenger, champion = contenders(metric)
    order = np.random.default_rng(1).permutation(len(champion))
    shuffled = difference(metric, challenger.select(order), champion.select(order))

    assert shuffled.estimate == pytest.approx(difference(metric, challenger, champion).estimate)
    assert shuffled.lower(0.05) == pytest.approx(difference(metric, challenger, champion).lower(0.05))


@pytest.mark.parametrize("metric", ["f1", "average_precision"])
def test_a_bootstrap_says_the_same_each_time(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "DRAWS", 60)
    first, again = compared(metric), difference(metric, *contenders(metric))

    assert first.lower(0.05) == again.lower(0.05)
    assert first.lower(1e-5) == again.lower(1e-5)


@pytest.mark.parametrize("metric", [*CLASSIFYING, "neg_mean_absolute_error", "r2"])
@given(alphas=st.lists(st.floats(1e-9, 0.5), min_size=2, max_size=8, unique=True))
@settings(max_examples=12, deadline=None)
def test_less_alpha_never_makes_a_bound_tighter(metric: str, alphas: list[float]) -> None:
    found = compared(metric)
    alone = standing_of_one(metric)

    for less, more in pairwise(sorted(alphas)):
        assert found.lower(less) <= found.lower(more) <= found.upper(more) <= found.upper(less)
        assert alone.lower(less) <= alone.lower(more) <= alone.upper(more) <= alone.upper(less)


@pytest.mark.parametrize("metric", [*CLASSIFYING, "neg_mean_absolute_error", "r2"])
@given(alpha=st.floats(1e-6, 0.4), margin=st.floats(-0.3, 0.3))
@settings(max_examples=40, deadline=None)
def test_harm_is_proved_where_the_upper_bound_is_below_the_margin(
    metric: str, alpha: float, margin: float
) -> None:
    found = compared(metric)
    slack = 1e-9 if metric in NOT_DRAWN else 0.004  # a bootstrap's percentiles and shares differ by a draw

    if found.upper(alpha) < -margin - slack:
        assert found.p_worse(margin) <= alpha * 1.1 + slack
    if found.upper(alpha) > -margin + slack:
        assert found.p_worse(margin) >= alpha * 0.9 - slack


@pytest.mark.parametrize("metric", [*CLASSIFYING, *REGRESSING])
def test_a_difference_that_is_not_above_the_margin_needs_no_number_of_rows(metric: str) -> None:
    found = compared(metric)

    assert found.rows_needed(-found.estimate, alpha=0.05) is None
    assert found.rows_needed(-found.estimate - 1e-3, alpha=0.05) is None
    assert found.rows_needed(-found.estimate + 1e-12, alpha=0.05) is None


@pytest.mark.parametrize(
    "metric", ["accuracy", "neg_log_loss", "roc_auc", "f1", "neg_root_mean_squared_error"]
)
def test_the_rows_needed_decide_when_the_same_proportions_hold_on_them(metric: str) -> None:
    few = difference(metric, *contenders(metric, 200))
    margin = 0.02 if few.estimate > 0 else 0.02 - few.estimate
    needed = few.rows_needed(margin, alpha=0.05)
    assert needed is not None

    times = -(-needed // 200)
    tiled = np.tile(np.arange(200), times)
    challenger, champion = contenders(metric, 200)
    many = difference(metric, challenger.select(tiled), champion.select(tiled))
    assert many.lower(0.05) > -margin


def test_less_power_or_more_margin_needs_fewer_rows() -> None:
    found = difference("accuracy", *classifiers(2000))
    needed = [
        found.rows_needed(*question) for question in ((0, 0.05, 0.9), (0, 0.05), (0.01, 0.05), (0.01, 0.1))
    ]

    assert needed == sorted((rows or 0 for rows in needed), reverse=True)
    assert len(set(needed)) == 4


@pytest.mark.parametrize("change", ["a label", "a row"])
def test_models_that_were_asked_about_other_rows_are_not_compared(change: str) -> None:
    challenger, champion = classifiers(50)
    labels = champion.labels.copy()
    labels[7] = 1 - labels[7]
    other = Predictions(labels, champion.predicted) if change == "a label" else champion.select(np.arange(49))

    with pytest.raises(InvalidDataset, match="same rows"):
        difference("accuracy", challenger, other)


@pytest.mark.parametrize("metric", [*CLASSIFYING, *REGRESSING])
def test_no_rows_allow_no_comparison(metric: str) -> None:
    challenger, champion = (model.select(np.array([], dtype=int)) for model in contenders(metric))

    with pytest.raises(InvalidMetric):
        difference(metric, challenger, champion)
    with pytest.raises(InvalidMetric):
        standing(metric, challenger)


@pytest.mark.parametrize(
    "metric", ["neg_mean_absolute_error", "neg_root_mean_squared_error", "r2", "neg_log_loss"]
)
def test_one_row_has_no_spread(metric: str) -> None:
    challenger, champion = (model.select(np.array([0])) for model in contenders(metric))

    with pytest.raises(InvalidMetric):
        difference(metric, challenger, champion)
    with pytest.raises(InvalidMetric):
        standing(metric, challenger)


def test_one_row_says_next_to_nothing_of_accuracy() -> None:
    right = Predictions(np.array([1]), np.array([1]), classes=np.array([0, 1]))
    wrong = Predictions(np.array([1]), np.array([0]), classes=np.array([0, 1]))

    assert difference("accuracy", right, wrong).estimate == 1
    assert difference("accuracy", right, wrong).lower(0.05) < 0
    assert difference("accuracy", wrong, right).lower(0.05) == -1
    assert standing("accuracy", right).lower(0.05) < 0.3


@pytest.mark.parametrize("metric", ["roc_auc", "neg_log_loss"])
def test_one_class_allows_no_ranking(metric: str) -> None:
    challenger, champion = classifiers(50)
    positives = challenger.labels == 1

    with pytest.raises(InvalidMetric):
        difference(metric, challenger.select(positives), champion.select(positives))


def test_one_row_of_a_class_has_no_spread_to_rank_by() -> None:
    challenger, champion = classifiers(50)
    lonely = np.flatnonzero((challenger.labels == 0) | (np.arange(50) == np.argmax(challenger.labels)))

    with pytest.raises(InvalidMetric, match="one row of a class"):
        difference("roc_auc", challenger.select(lonely), champion.select(lonely))


@pytest.mark.parametrize("metric", [*CLASSIFYING, *REGRESSING])
def test_a_model_is_neither_better_nor_provably_worse_than_itself(metric: str) -> None:
    champion, _ = contenders(metric)
    found = difference(metric, champion, champion)

    assert found.estimate == 0
    assert found.lower(0.05) <= 0 <= found.upper(0.05)
    assert found.p_worse(0) >= 0.5
    assert found.rows_needed(0, alpha=0.05) is None


@pytest.mark.parametrize("metric", ["neg_mean_absolute_error", "roc_auc", "f1", "r2"])
def test_a_difference_without_variance_is_its_own_bound(metric: str) -> None:
    champion, _ = contenders(metric)
    found = difference(metric, champion, champion)

    assert found.lower(1e-6) == found.upper(1e-6) == 0
    assert found.rows_needed(0.01, alpha=0.05) == 1


def test_a_constant_difference_is_proved_by_its_constancy() -> None:
    labels = np.arange(10.0)
    found = difference(
        "neg_mean_absolute_error", Predictions(labels, labels + 2), Predictions(labels, labels + 1)
    )

    assert found.lower(0.05) == found.upper(0.05) == -1
    assert found.p_worse(0.5) == 0
    assert found.p_worse(1.5) == 1


def test_constant_labels_leave_nothing_to_explain() -> None:
    challenger, champion = Predictions(np.ones(9), np.arange(9.0)), Predictions(np.ones(9), np.zeros(9))

    with pytest.raises(InvalidMetric, match="all labels are equal"):
        difference("r2", challenger, champion)


def test_flawless_models_have_an_rmse_of_zero_without_a_spread() -> None:
    flawless = Predictions(np.arange(9.0), np.arange(9.0))

    assert standing("neg_root_mean_squared_error", flawless).lower(0.05) == 0


def test_a_label_that_the_model_never_saw_is_named() -> None:
    labels = np.array(["a", "b", "z", "z"])
    guess = Predictions(labels, labels, np.full((4, 3), 1 / 3), classes=np.array(["a", "b", "c"]))

    with pytest.raises(InvalidMetric, match="knows no class z"):
        difference("neg_log_loss", guess, guess)


def test_a_metric_that_many_resamples_do_not_define_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "DRAWS", 60)
    labels = np.array([0, 0, 0, 1])
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    rare = Predictions(labels, labels, scores, classes=np.array([0, 1]))

    with pytest.raises(InvalidMetric, match="resamples do not define it"):
        standing("d2_log_loss_score", rare)


def test_a_perfect_ranking_of_few_rows_is_not_trusted_as_one_of_many() -> None:
    def perfect(count: int) -> Predictions:
        labels = np.arange(count) % 2
        both = np.column_stack([1 - labels, labels]).astype(float)
        return Predictions(labels, labels, both, classes=np.array([0, 1]))

    assert standing("roc_auc", perfect(4)).lower(0.05) == pytest.approx(0.05**0.5)
    assert standing("roc_auc", perfect(1000)).lower(0.05) > 0.99
    assert standing("roc_auc", perfect(4)).upper(0.05) == 1


@pytest.mark.parametrize("metric", ["recall", "precision"])
def test_a_share_of_few_rows_is_bounded_by_those_few(metric: str) -> None:
    labels = np.r_[np.ones(2, dtype=int), np.zeros(498, dtype=int)]
    found = standing(metric, Predictions(labels, labels, classes=np.array([0, 1])))

    assert found.estimate == 1
    assert found.lower(0.05) == pytest.approx(2 / (2 + 1.6448536**2))


@pytest.mark.parametrize("metric", ["f1", "jaccard"])
def test_a_score_of_a_positive_class_that_never_occurs_is_zero_as_the_scorer_says(metric: str) -> None:
    nothing = Predictions(np.zeros(9, dtype=int), np.zeros(9, dtype=int), classes=np.array([0, 1]))
    found = standing(metric, nothing)

    assert found.estimate == found.lower(0.05) == found.upper(0.05) == 0


@pytest.mark.parametrize("metric", ["recall", "precision"])
def test_a_share_of_no_rows_is_refused(metric: str) -> None:
    nothing = Predictions(np.zeros(9, dtype=int), np.zeros(9, dtype=int), classes=np.array([0, 1]))

    with pytest.raises(InvalidMetric, match="no row is positive"):
        standing(metric, nothing)


@given(st.lists(st.floats(0, 0.1), max_size=6), st.floats(0.001, 0.5))
@settings(max_examples=100, deadline=None)
def test_holm_rejects_what_closed_testing_of_bonferroni_rejects(p_values: list[float], alpha: float) -> None:
    """A hypothesis falls when every intersection of hypotheses that holds it falls."""
    named = {f"slice {i}": p for i, p in enumerate(p_values)}
    families = [set(family) for size in range(1, 7) for family in combinations(named, size)]
    standing_families = [f for f in families if min(named[name] for name in f) > alpha / len(f)]

    assert holm(named, alpha) == set(named) - set().union(*standing_families)


def test_no_slices_reject_nothing() -> None:
    assert holm({}, 0.05) == set()


def test_all_looks_together_spend_the_alpha_and_no_more() -> None:
    spent = sum(alpha_at_look(0.05, look) for look in range(1, 100_001))

    assert alpha_at_look(0.05, 1) == pytest.approx(0.05 * 0.607927)
    assert 0.04999 < spent < 0.05


def test_a_tail_beyond_the_draws_stretches_as_the_normal_law_does() -> None:
    draws = np.sort(np.random.default_rng(0).normal(3, 0.5, 2000))
    drawn, known = Resampled(3, draws, 500, "drawn"), Estimated(3, 0.5, 500, np.inf, "known")

    for alpha in (0.2, 0.05, 1e-3, 1e-5, 1e-9):
        assert drawn.lower(alpha) == pytest.approx(known.lower(alpha), abs=0.2)
        assert drawn.upper(alpha) == pytest.approx(known.upper(alpha), abs=0.2)
    for margin in (-3, -3.5, -4.2, -5, -6):
        assert np.log10(drawn.p_worse(margin)) == pytest.approx(np.log10(known.p_worse(margin)), abs=0.6)
    assert drawn.rows_needed(-2.9, 0.05) == pytest.approx(known.rows_needed(-2.9, 0.05), rel=0.1)
