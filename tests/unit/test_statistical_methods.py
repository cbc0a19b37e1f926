"""Each method against another way to the same number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import xlogy

from registry.predictions import Predictions
from registry.statistics import cells, difference, rows, standing
from registry.statistics.shares import PairedShares, Share

if TYPE_CHECKING:
    from numpy.typing import NDArray

Disagreements = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 400)).map(
    lambda drawn: PairedShares((drawn[0] - drawn[1]) / sum(drawn), drawn[0], drawn[1], sum(drawn))
)


def likeliest_share_of_losses(shares: PairedShares, difference: float) -> float:
    """Find by search the share of losses that makes the counts likeliest, given the true difference."""
    b, c, n = shares.gains, shares.losses, shares.rows

    def unlikelihood(q: float) -> float:
        gain = max(0.0, q + difference)
        same = max(0.0, 1 - gain - q)
        return -float(xlogy(b, gain) + xlogy(c, q) + xlogy(n - b - c, same))

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    found = minimize_scalar(unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-13})
    return float(min((*bounds, found.x), key=unlikelihood))


@given(Disagreements, st.floats(-0.9, 0.9))
@settings(max_examples=120, deadline=None)
def test_tangos_statistic_uses_the_likeliest_law_with_that_difference(
    shares: PairedShares, hypothesis: float
) -> None:
    q = likeliest_share_of_losses(shares, hypothesis)
    variance = shares.rows * (2 * q + hypothesis - hypothesis**2)
    surplus = shares.gains - shares.losses - shares.rows * hypothesis

    if variance > 1e-3:
        assert shares.statistic(hypothesis) == pytest.approx(surplus / variance**0.5, rel=1e-3, abs=1e-5)


@given(Disagreements)
@settings(max_examples=60, deadline=None)
def test_tango_without_a_margin_is_mcnemar(shares: PairedShares) -> None:
    b, c = shares.gains, shares.losses

    if b + c:
        assert shares.statistic(0) == pytest.approx((b - c) / (b + c) ** 0.5)
        assert 2 * min(shares.p_worse(0), 1 - shares.p_worse(0)) == pytest.approx(
            scipy.stats.chi2.sf((b - c) ** 2 / (b + c), df=1)
        )


@given(Disagreements, st.floats(1e-6, 0.45), st.just(0.0) | st.floats(1e-9, 0.5))
@settings(max_examples=200, deadline=None)
def test_tangos_lower_bound_is_above_the_margin_exactly_where_the_score_test_rejects(
    shares: PairedShares, alpha: float, margin: float
) -> None:
    rejects = shares.statistic(-margin) > scipy.stats.norm.isf(alpha)
    lower = shares.lower(alpha)

    assert lower <= shares.estimate
    if abs(lower + margin) > 1e-9:
        assert (lower > -margin) == rejects


@given(Disagreements, st.floats(1e-6, 0.45))
@settings(max_examples=100, deadline=None)
def test_tangos_bounds_solve_the_score_equation(shares: PairedShares, alpha: float) -> None:
    z = scipy.stats.norm.isf(alpha)
    lower, upper = shares.lower(alpha), shares.upper(alpha)

    assert lower == -1 or shares.statistic(lower) == pytest.approx(z, rel=1e-4)
    assert upper == 1 or shares.statistic(upper) == pytest.approx(-z, rel=1e-4)
    swapped = PairedShares(-shares.estimate, shares.losses, shares.gains, shares.rows)
    assert swapped.lower(alpha) == -upper


@pytest.mark.parametrize("rows", [1, 12, 500, 10**7])
def test_models_that_never_disagree_leave_the_room_of_the_rows(rows: int) -> None:
    z2 = scipy.stats.norm.isf(0.05) ** 2

    assert PairedShares(0, 0, 0, rows).lower(0.05) == pytest.approx(-z2 / (rows + z2))
    assert PairedShares(1, rows, 0, rows).lower(0.05) == pytest.approx((rows - z2) / (rows + z2))
    assert PairedShares(-1, 0, rows, rows).lower(0.05) == -1


@given(st.integers(0, 60), st.integers(0, 60), st.floats(1e-6, 0.49))
@settings(max_examples=60, deadline=None)
def test_wilsons_bounds_are_those_of_an_independent_implementation(
    right: int, wrong: int, alpha: float
) -> None:
    rows = right + wrong
    if rows:
        interval = scipy.stats.binomtest(right, rows).proportion_ci(1 - 2 * alpha, method="wilson")
        share = Share(right / rows, rows)
        assert share.lower(alpha) == pytest.approx(interval.low, abs=1e-9)
        assert share.upper(alpha) == pytest.approx(interval.high, abs=1e-9)


def regressor(seed: int, labels: NDArray[Any]) -> Predictions:
    rng = np.random.default_rng(seed)
    return Predictions(labels, labels * np.exp(rng.normal(size=len(labels)) * (0.3 + 0.02 * seed)))


LABELS = np.exp(np.random.default_rng(0).normal(size=80))
NEW, OLD = regressor(1, LABELS), regressor(2, LABELS)
SMOOTH = {
    "neg_mean_absolute_error": "t",
    "neg_mean_squared_error": "t",
    "neg_mean_absolute_percentage_error": "t",
    "neg_mean_squared_log_error": "t",
    "neg_mean_poisson_deviance": "t",
    "neg_mean_gamma_deviance": "t",
    "neg_root_mean_squared_error": "normal",
    "neg_root_mean_squared_log_error": "normal",
    "r2": "normal",
}


def jackknifed(values: list[float]) -> float:
    """Return the jackknife's standard error from the scores that each leave one row out."""
    return float(np.std(values) * (len(values) - 1) ** 0.5)


@pytest.mark.parametrize(("metric", "law"), SMOOTH.items())
def test_the_standard_error_of_a_smooth_score_is_that_of_the_jackknife(metric: str, law: str) -> None:
    """Of a mean the two agree exactly; of a function of means up to order 1/n."""
    kept = [np.delete(np.arange(80), i) for i in range(80)]
    new, old = ([model.select(rows).score(metric) for rows in kept] for model in (NEW, OLD))
    quantile = scipy.stats.t(79).ppf(0.95) if law == "t" else scipy.stats.norm.ppf(0.95)
    apart, alone = difference(metric, NEW, OLD), standing(metric, NEW)

    tolerance = 1e-9 if law == "t" else 0.1
    error = jackknifed([a - b for a, b in zip(new, old, strict=True)])
    assert apart.upper(0.05) - apart.estimate == pytest.approx(quantile * error, rel=tolerance)
    assert alone.estimate - alone.lower(0.05) == pytest.approx(quantile * jackknifed(new), rel=tolerance)


def classifier(seed: int, labels: NDArray[Any], classes: int) -> Predictions:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(classes), size=len(labels)) + np.eye(classes)[labels] * 0.4
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    return Predictions(labels, probabilities.argmax(axis=1), probabilities, classes=np.arange(classes))


def row_losses(metric: str, model: Predictions) -> NDArray[Any]:
    assert model.probabilities is not None
    truth = np.eye(model.probabilities.shape[1])[model.labels]
    if metric == "neg_log_loss":
        return -np.asarray(np.log((model.probabilities * truth).sum(axis=1)))
    return np.asarray(((model.probabilities - truth) ** 2).sum(axis=1) / (2 if truth.shape[1] == 2 else 1))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("metric", ["neg_log_loss", "neg_brier_score"])
def test_losses_of_probabilities_are_compared_as_an_independent_t_test_does(
    metric: str, classes: int
) -> None:
    labels = np.random.default_rng(9).integers(0, classes, 90)
    new, old = classifier(1, labels, classes), classifier(2, labels, classes)
    test = scipy.stats.ttest_rel(row_losses(metric, old), row_losses(metric, new), alternative="less")
    found = difference(metric, new, old)

    assert found.upper(0.05) == pytest.approx(test.confidence_interval(0.95).high)
    assert found.p_worse(0) == pytest.approx(test.pvalue)
    alone = scipy.stats.ttest_1samp(-row_losses(metric, new), 0, alternative="greater")
    assert standing(metric, new).lower(0.05) == pytest.approx(alone.confidence_interval(0.95).low)


def test_a_certain_and_wrong_probability_costs_what_the_scorer_says() -> None:
    labels = np.array([0, 1, 1, 0])
    sure = Predictions(labels, labels, np.array([[1.0, 0], [1, 0], [0, 1], [1, 0]]), classes=np.array([0, 1]))
    found = standing("neg_log_loss", sure)

    assert found.estimate - found.lower(0.05) == pytest.approx(scipy.stats.t(3).ppf(0.95) * -found.estimate)


def pairwise_wins(model: Predictions, scores: NDArray[Any]) -> NDArray[Any]:
    """Return for each (positive, negative) pair of rows 1 if ranked rightly, 0.5 if tied, else 0."""
    positive, negative = scores[model.labels == 1], scores[model.labels == 0]
    return np.asarray((np.sign(positive[:, None] - negative) + 1) / 2)


def placement_error(wins: NDArray[Any]) -> float:
    by_positive, by_negative = wins.mean(axis=1), wins.mean(axis=0)
    return float(sum(part.var(ddof=1) / len(part) for part in (by_positive, by_negative)) ** 0.5)


@pytest.mark.parametrize("source", ["probabilities", "decision"])
@pytest.mark.parametrize("levels", [3, 10**6])
def test_delong_by_search_is_delong_by_all_pairs(levels: int, source: str) -> None:
    rng = np.random.default_rng(levels)
    labels = (rng.random(150) < 0.3).astype(int)
    scores = [np.round((labels + rng.normal(size=150)) * levels) / levels for _ in range(2)]

    def model(score: NDArray[Any]) -> Predictions:
        both = np.column_stack([1 - score, score])
        kept = {"decision": score} if source == "decision" else {"probabilities": both}
        return Predictions(labels, labels, classes=np.array([0, 1]), **kept)

    new, old = (model(score) for score in scores)
    wins = [pairwise_wins(new, score) for score in scores]
    z, found, alone = scipy.stats.norm.ppf(0.95), difference("roc_auc", new, old), standing("roc_auc", new)
    assert found.estimate == pytest.approx(wins[0].mean() - wins[1].mean())
    assert found.estimate - found.lower(0.05) == pytest.approx(z * placement_error(wins[0] - wins[1]))
    assert alone.upper(0.05) - alone.estimate == pytest.approx(z * placement_error(wins[0]))


def test_delong_ranks_by_the_decision_where_there_is_one_as_the_scorer_does() -> None:
    labels = np.arange(60) % 2
    decision, other = np.random.default_rng(5).normal(size=(2, 60)) + labels
    both = np.column_stack([1 - other, other])
    bare = Predictions(labels, labels, decision=decision, classes=np.array([0, 1]))
    full = Predictions(labels, labels, both, decision, np.array([0, 1]))

    assert standing("roc_auc", full) == standing("roc_auc", bare)


BINARY = ("f1", "precision", "recall", "jaccard")
MULTICLASS = [metric for metric in cells.METRICS if metric not in BINARY]


def guesses(seed: int, classes: int, count: int = 120) -> tuple[Predictions, Predictions]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)

    def model(accuracy: float) -> Predictions:
        answers = np.where(rng.random(count) < accuracy, labels, rng.integers(0, classes, count))
        return Predictions(labels, answers, classes=np.arange(classes))

    return model(0.7), model(0.6)


@pytest.mark.parametrize(
    ("metric", "classes"),
    [*((metric, 2) for metric in cells.METRICS), *((metric, 7) for metric in MULTICLASS)],
)
def test_the_score_of_counts_is_the_score_of_the_rows_they_count(metric: str, classes: int) -> None:
    """Draws that lack classes are scored as scikit-learn scores the rows."""
    for seed in range(8):
        _, model = guesses(seed, classes, count=4)
        assert tallied(metric, model, classes) == pytest.approx(model.score(metric))


def tallied(metric: str, model: Predictions, classes: int) -> float:
    """Score the rows by way of the counts of their cells, as one draw that draws each row once."""
    labels, answers = model.labels, model.predicted
    once = np.ones((len(labels), 1), dtype=np.int64)
    if metric in BINARY:
        labels, answers = (model.labels == 1).astype(int), (model.predicted == 1).astype(int)
    counts = cells.tally(once, labels, answers, classes)
    return float(cells.SCORES[metric](counts)[0])


def f1_of(labels: NDArray[Any], answers: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(2 * (labels & answers).sum(axis=1) / (labels.sum(axis=1) + answers.sum(axis=1)))


def balanced_accuracy_of(labels: NDArray[Any], answers: NDArray[Any]) -> NDArray[Any]:
    hits, misses = (labels & answers).sum(axis=1), ((1 - labels) & (1 - answers)).sum(axis=1)
    return np.asarray((hits / labels.sum(axis=1) + misses / (1 - labels).sum(axis=1)) / 2)


@pytest.mark.parametrize(("metric", "formula"), [("f1", f1_of), ("balanced_accuracy", balanced_accuracy_of)])
def test_a_bootstrap_of_cells_is_a_bootstrap_of_rows(metric: str, formula: Any) -> None:
    """The percentiles agree within the noise of 2,000 draws, whose standard error is 0.05 spreads."""
    new, old = guesses(4, 2)
    rows = np.random.default_rng(6).integers(0, 120, (2000, 120))
    new_scores, old_scores = (formula(model.labels[rows], model.predicted[rows]) for model in (new, old))
    drawn, found = new_scores - old_scores, difference(metric, new, old)

    assert found.lower(0.05) == pytest.approx(np.quantile(drawn, 0.05), abs=0.2 * drawn.std())
    assert found.upper(0.05) == pytest.approx(np.quantile(drawn, 0.95), abs=0.2 * drawn.std())
    alone = standing(metric, new)
    assert alone.lower(0.05) == pytest.approx(np.quantile(new_scores, 0.05), abs=0.2 * new_scores.std())


def test_a_bootstrap_of_rows_is_an_independent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The percentiles agree within the noise of 400 draws, whose standard error is 0.1 spreads."""
    monkeypatch.setattr(rows, "DRAWS", 400)
    found = difference("neg_median_absolute_error", NEW, OLD)

    def gain(rows: NDArray[Any]) -> float:
        errors = [np.median(np.abs(model.labels - model.predicted)[rows]) for model in (OLD, NEW)]
        return float(errors[0] - errors[1])

    drawn = scipy.stats.bootstrap(
        (np.arange(80),),
        gain,
        n_resamples=400,
        method="percentile",
        confidence_level=0.9,
        rng=1,
        vectorized=False,
    )
    spread = float(np.std(drawn.bootstrap_distribution))
    assert found.lower(0.05) == pytest.approx(drawn.confidence_interval.low, abs=0.4 * spread)
    assert found.upper(0.05) == pytest.approx(drawn.confidence_interval.high, abs=0.4 * spread)


def test_many_classes_with_few_rows_each_are_counted_sparsely() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 400, 800)
    names = np.array([f"class {k}" for k in range(400)])

    def model(accuracy: float) -> Predictions:
        answers = np.where(rng.random(800) < accuracy, labels, rng.integers(0, 400, 800))
        return Predictions(names[labels], names[answers], classes=np.sort(names))

    found = difference("matthews_corrcoef", model(0.8), model(0.7))
    assert 0.03 < found.lower(0.05) < found.estimate < found.upper(0.05) < 0.17
