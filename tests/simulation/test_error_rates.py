"""How often each method errs, over many samples from laws whose truth is known.

With R repetitions the share of errors has a binomial standard error of sqrt(p(1 - p) / R). Each bound below
is the nominal share plus or minus 3 of these; the seeds are fixed, so that what passes once always does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.special import ndtr

from registry.predictions import Predictions
from registry.statistics import alpha_at_look, difference, holm, standing
from registry.statistics.shares import PairedShares, Share

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Sample = Callable[[np.random.Generator], tuple[Predictions, Predictions]]

ALPHA = 0.05
COUNTED = 4000  # repetitions of what needs counts only
SAMPLED = 300  # repetitions of what needs whole predictions


def within_three_errors(share: float, repetitions: int) -> Any:
    return pytest.approx(share, abs=3 * sqrt(share * (1 - share) / repetitions))


def disagreements(rng: np.random.Generator, rows: int, gain: float, loss: float) -> PairedShares:
    b, c, _ = rng.multinomial(rows, [gain, loss, 1 - gain - loss])
    return PairedShares((b - c) / rows, int(b), int(c), rows)


def test_a_greater_score_promotes_an_equal_model_about_every_other_time() -> None:
    rng = np.random.default_rng(1)
    promoted = [disagreements(rng, 3000, 0.05, 0.05).estimate > 0 for _ in range(COUNTED)]

    assert 0.44 < np.mean(promoted) < 0.51


@pytest.mark.parametrize("rows", [300, 2000])
@pytest.mark.parametrize("disagreeing", [0.05, 0.3])
@pytest.mark.parametrize("margin", [0.0, 0.02])
def test_tango_promotes_a_model_that_is_worse_by_the_margin_as_rarely_as_promised(
    rows: int, disagreeing: float, margin: float
) -> None:
    """Few disagreements come in few sizes, which moves the size by up to 0.02 either way."""
    rng = np.random.default_rng([rows, int(disagreeing * 100), int(margin * 100)])
    gain, loss = (disagreeing - margin) / 2, (disagreeing + margin) / 2
    accepted = [disagreements(rng, rows, gain, loss).lower(ALPHA) > -margin for _ in range(COUNTED)]

    discrete = 0.02 if rows * disagreeing < 100 else 0.005
    assert abs(np.mean(accepted) - ALPHA) < 3 * sqrt(ALPHA * (1 - ALPHA) / COUNTED) + discrete


def test_harm_is_claimed_of_an_equal_model_as_rarely_as_promised() -> None:
    rng = np.random.default_rng(2)
    claimed = [disagreements(rng, 1500, 0.1, 0.1).p_worse(0) <= ALPHA for _ in range(COUNTED)]

    assert np.mean(claimed) == within_three_errors(ALPHA, COUNTED)


@pytest.mark.parametrize("accuracy", [0.7, 0.95])
def test_wilsons_lower_bound_covers_the_truth(accuracy: float) -> None:
    rng = np.random.default_rng(3)
    right = rng.binomial(800, accuracy, COUNTED)
    missed = [Share(int(count) / 800, 800).lower(ALPHA) > accuracy for count in right]

    assert np.mean(missed) == within_three_errors(ALPHA, COUNTED)


def test_the_rows_needed_reach_their_power() -> None:
    """The plan assumes the rates that the simulation has; discreteness costs some 0.02."""
    rng = np.random.default_rng(4)
    rows = PairedShares(0.02, 80, 60, 1000).rows_needed(0, ALPHA, power=0.8)
    assert rows is not None
    promoted = [disagreements(rng, rows, 0.08, 0.06).lower(ALPHA) > 0 for _ in range(COUNTED)]

    assert abs(np.mean(promoted) - 0.8) < 3 * sqrt(0.8 * 0.2 / COUNTED) + 0.02


@dataclass(frozen=True)
class Law:
    """A law of two models' answers, and what their scores truly are."""

    metric: str
    sample: Sample
    challenger: float
    champion: float


def ranking(rows: int, new: float, old: float) -> Law:
    """Make scores that are normal in each class, half of their variance common to both models."""

    def sample(rng: np.random.Generator) -> tuple[Predictions, Predictions]:
        labels = (rng.random(rows) < 0.3).astype(int)
        common = rng.normal(size=rows)

        def model(distance: float) -> Predictions:
            scores = labels * distance + (common + rng.normal(size=rows)) / sqrt(2)
            return Predictions(labels, labels, decision=scores, classes=np.array([0, 1]))

        return model(new), model(old)

    return Law("roc_auc", sample, float(ndtr(new / sqrt(2))), float(ndtr(old / sqrt(2))))


def regression(metric: str, rows: int, new: float, old: float) -> Law:
    """Make normal errors of these standard deviations around labels of variance 4."""
    truth: dict[str, Callable[[float], float]] = {
        "neg_mean_absolute_error": lambda error: -error * sqrt(2 / np.pi),
        "neg_mean_squared_error": lambda error: -(error**2),
        "neg_root_mean_squared_error": lambda error: -error,
        "r2": lambda error: 1 - error**2 / 4,
    }

    def sample(rng: np.random.Generator) -> tuple[Predictions, Predictions]:
        labels, common = rng.normal(size=rows) * 2, rng.normal(size=rows)

        def model(error: float) -> Predictions:
            return Predictions(labels, labels + error * (common + rng.normal(size=rows)) / sqrt(2))

        return model(new), model(old)

    return Law(metric, sample, truth[metric](new), truth[metric](old))


def labelling(metric: str, rows: int, new: tuple[float, float], old: tuple[float, float]) -> Law:
    """Make answers with these rates of true and false positives, where 3 rows of 10 are positive."""

    def precision(tpr: float, fpr: float) -> float:
        return 0.3 * tpr / (0.3 * tpr + 0.7 * fpr)

    truth: dict[str, Callable[[float, float], float]] = {
        "f1": lambda tpr, fpr: 2 / (1 / tpr + 1 / precision(tpr, fpr)),
        "precision": precision,
        "recall": lambda tpr, _: tpr,
        "balanced_accuracy": lambda tpr, fpr: (tpr + 1 - fpr) / 2,
    }

    def sample(rng: np.random.Generator) -> tuple[Predictions, Predictions]:
        labels = (rng.random(rows) < 0.3).astype(int)

        def model(rates: tuple[float, float]) -> Predictions:
            rate: NDArray[Any] = np.where(labels == 1, *rates)
            return Predictions(labels, (rng.random(rows) < rate).astype(int), classes=np.array([0, 1]))

        return model(new), model(old)

    return Law(metric, sample, truth[metric](*new), truth[metric](*old))


LAWS = {
    "equal AUCs": ranking(300, 1.2, 1.2),
    "a worse AUC": ranking(300, 1.1, 1.4),
    "equal absolute errors": regression("neg_mean_absolute_error", 100, 1, 1),
    "worse absolute errors": regression("neg_mean_absolute_error", 100, 1.1, 1),
    "worse squared errors": regression("neg_mean_squared_error", 200, 1.1, 1),
    "equal root mean squared errors": regression("neg_root_mean_squared_error", 200, 1, 1),
    "a worse root mean squared error": regression("neg_root_mean_squared_error", 200, 1.1, 1),
    "a worse share of variance": regression("r2", 200, 1.1, 1),
    "equal F1": labelling("f1", 500, (0.7, 0.1), (0.7, 0.1)),
    "a worse F1": labelling("f1", 500, (0.65, 0.12), (0.7, 0.1)),
    "a worse balanced accuracy": labelling("balanced_accuracy", 500, (0.65, 0.1), (0.7, 0.1)),
    "a worse precision": labelling("precision", 500, (0.7, 0.12), (0.7, 0.1)),
}


@pytest.mark.parametrize("law", LAWS)
def test_the_lower_bound_of_a_difference_is_above_the_truth_as_rarely_as_promised(law: str) -> None:
    """Of equal models this is the size of "better"; of a worse one, of "not worse" at the very margin."""
    rng, drawn = np.random.default_rng(5), LAWS[law]
    truth = drawn.challenger - drawn.champion
    samples = (drawn.sample(rng) for _ in range(SAMPLED))
    missed = [difference(drawn.metric, *sample).lower(ALPHA) > truth for sample in samples]

    assert np.mean(missed) == within_three_errors(ALPHA, SAMPLED)


@pytest.mark.parametrize(
    "law",
    [
        "equal AUCs",
        "equal absolute errors",
        "equal root mean squared errors",
        "equal F1",
        "a worse precision",
    ],
)
def test_the_lower_bound_of_a_standing_is_above_the_truth_as_rarely_as_promised(law: str) -> None:
    rng, drawn = np.random.default_rng(6), LAWS[law]
    samples = (drawn.sample(rng)[0] for _ in range(SAMPLED))
    missed = [standing(drawn.metric, sample).lower(ALPHA) > drawn.challenger for sample in samples]

    assert np.mean(missed) == within_three_errors(ALPHA, SAMPLED)


@pytest.mark.parametrize(
    ("spending", "least", "most"), [("all at every look", 0.4, 1), ("its part", 0, ALPHA)]
)
def test_fifty_looks_at_one_holdout_err_within_alpha_only_if_each_spends_its_part(
    spending: str, least: float, most: float
) -> None:
    """Fifty truly equal challengers meet one champion, whose luck on the holdout all of them face."""
    rng, repetitions = np.random.default_rng(7), 400
    dethroned = []
    for _ in range(repetitions):
        wrong = rng.binomial(1000, 0.2)
        gains, losses = rng.binomial(wrong, 0.5, 50), rng.binomial(1000 - wrong, 0.125, 50)
        looks = [
            PairedShares((b - c) / 1000, b, c, 1000)
            for b, c in zip(gains.tolist(), losses.tolist(), strict=True)
        ]
        parts = [alpha_at_look(ALPHA, look) if spending == "its part" else ALPHA for look in range(1, 51)]
        dethroned.append(any(look.lower(part) > 0 for look, part in zip(looks, parts, strict=True)))

    assert least <= np.mean(dethroned) <= most + 3 * sqrt(ALPHA * (1 - ALPHA) / repetitions)


def test_twenty_equal_slices_block_within_alpha_only_under_holm() -> None:
    rng, repetitions = np.random.default_rng(8), 2000
    each_alone, by_holm = [], []
    for _ in range(repetitions):
        p_values = {f"slice {k}": disagreements(rng, 200, 0.1, 0.1).p_worse(0) for k in range(20)}
        each_alone.append(min(p_values.values()) <= ALPHA)
        by_holm.append(bool(holm(p_values, ALPHA)))

    assert np.mean(each_alone) > 0.4
    assert np.mean(by_holm) <= ALPHA + 3 * sqrt(ALPHA * (1 - ALPHA) / repetitions)


def test_holm_still_finds_the_one_slice_that_is_harmed() -> None:
    rng = np.random.default_rng(9)
    found = []
    for _ in range(300):
        p_values = {f"slice {k}": disagreements(rng, 200, 0.1, 0.1).p_worse(0) for k in range(19)}
        p_values["harmed"] = disagreements(rng, 200, 0.05, 0.25).p_worse(0)
        found.append("harmed" in holm(p_values, ALPHA))

    assert np.mean(found) > 0.95
