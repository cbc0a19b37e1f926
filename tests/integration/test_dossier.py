from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry import Better, Floor, PromotionPolicy
from registry.dossier import MOST_MEASURED, bounded, watched
from tests.examples import make_dataset
from tests.three_versions import POLICY, holdout, three_versions, training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry import Registry

MANUAL = PromotionPolicy(checks=(Better("accuracy"), Floor("accuracy", 0.4)), approval="manual")


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Registry]:
    """Three versions of churn, each better than the one before; none is in force."""
    with three_versions(tmp_path_factory, tmp_path) as registry:
        yield registry


def observe(registry: Registry, metric: str, batch: str) -> None:
    registry.observe("churn@champion", metric=metric, value=0.75, rows=100, batch=batch)


def test_a_dossier_holds_what_concerns_the_version_and_nothing_else(registry: Registry) -> None:
    for number in (1, 2, 3):
        registry.assign(f"churn@{number}", reason=f"because of {number}")
    registry.assign("churn@2", alias="canary", reason="try it")
    dossier = registry.dossier("churn@2")

    assert dossier.version.reference == "churn@2"
    assert [entry.reason for entry in dossier.entries] == ["because of 2", "because of 3", "try it"]
    assert [dataset.name for dataset in dossier.datasets.values()] == ["january", "february"]
    assert [evaluation.dataset for evaluation in dossier.evaluations] == [holdout().fingerprint]
    assert (dossier.in_force_as, dossier.quarantined) == (["canary"], [])
    assert dossier.bounds == {}


def test_the_aliases_under_which_a_version_fell_are_named(registry: Registry) -> None:
    registry.assign("churn@1", reason="start")
    registry.assign("churn@2", reason="next")
    registry.assign("churn@2", alias="canary", reason="try it")
    registry.roll_back("churn", reason="it broke")

    assert registry.dossier("churn@2").quarantined == ["champion"]
    assert registry.dossier("churn@1").quarantined == []


def test_the_life_of_a_version_is_told_under_the_alias_it_holds_else_the_last_it_was_judged_for(
    registry: Registry,
) -> None:
    assert registry.dossier("churn@1").alias == "champion"
    registry.assign("churn@1", alias="canary", reason="try it")
    registry.assign("churn@1", reason="it works")
    assert registry.dossier("churn@1").alias == "champion"
    registry.assign("churn@2", reason="better")
    assert registry.dossier("churn@1").alias == "canary"
    registry.assign("churn@2", alias="canary", reason="better")
    assert registry.dossier("churn@1").alias == "canary"


def test_the_last_decision_about_a_version_is_read_from_the_ledger(registry: Registry) -> None:
    assert registry.dossier("churn@2").decision is None
    registry.promote(registry.decide("churn@2", holdout(), POLICY))
    decision = registry.decide("churn@1", holdout(), POLICY)
    registry.promote(decision)

    assert registry.dossier("churn@1").decision == decision
    assert registry.dossier("churn@2").judged == registry.history("churn")[0]


def test_the_entry_that_answers_a_decision_is_the_newest(registry: Registry) -> None:
    decision = registry.decide("churn@2", holdout(), MANUAL)
    approval = registry.approve(decision, by="grace", comment="fine")
    assert registry.dossier("churn@2").judged == approval
    entry = registry.promote(decision)
    assert registry.dossier("churn@2").judged == entry
    assert registry.dossier("churn@2").decision == decision


def test_bounds_come_from_the_stored_predictions_and_hold_the_value(registry: Registry) -> None:
    registry.evaluate("churn@3", holdout(), metrics=["roc_auc", "average_precision"])
    dossier = bounded(registry.backend, registry.dossier("churn@3"))
    (evaluation,) = dossier.evaluations

    assert {metric for _, metric in dossier.bounds} == {"accuracy", "roc_auc"}  # the third takes seconds
    for (dataset, metric), measured in dossier.bounds.items():
        assert dataset == holdout().fingerprint
        assert measured.challenger == evaluation.metrics[metric]
        assert measured.lower is not None
        assert measured.upper is not None
        assert measured.lower < measured.challenger < measured.upper


def test_of_many_evaluations_the_newest_are_given_bounds(registry: Registry) -> None:
    for seed in range(MOST_MEASURED + 1):
        rows = make_dataset(rows=60, seed=seed + 10, origin=[0, 1, 2] * 20)
        registry.evaluate("churn@3", rows, metrics=["accuracy"])
    dossier = bounded(registry.backend, registry.dossier("churn@3"))

    known = [(evaluation.dataset, "accuracy") in dossier.bounds for evaluation in dossier.evaluations]
    assert known == [False, False] + [True] * MOST_MEASURED


def test_predictions_that_are_gone_leave_the_dossier_without_bounds(registry: Registry) -> None:
    (evaluation,) = registry.evaluations("churn@3")
    registry.backend.artifacts.remove(evaluation.predictions)

    assert bounded(registry.backend, registry.dossier("churn@3")).bounds == {}


def test_what_was_observed_in_the_present_reign_is_in_the_dossier_of_who_reigns(registry: Registry) -> None:
    registry.assign("churn@2", reason="start")
    observe(registry, "accuracy", "first")
    registry.assign("churn@3", reason="next")
    assert registry.dossier("churn@3").health == []
    observe(registry, "accuracy", "second")

    assert [row.batch for row in registry.dossier("churn@3").health] == ["second"]
    assert registry.dossier("churn@2").health == []


def test_an_alias_is_told_by_the_metric_that_was_watched_last(registry: Registry) -> None:
    registry.evaluate("churn@3", holdout(), metrics=["balanced_accuracy"])
    registry.assign("churn@3", reason="start")
    assert watched(registry.backend, "churn", "champion") == []
    observe(registry, "balanced_accuracy", "first")
    observe(registry, "accuracy", "first")
    observe(registry, "accuracy", "second")

    rows = watched(registry.backend, "churn", "champion")
    assert [(row.metric, row.batch) for row in rows] == [("accuracy", "first"), ("accuracy", "second")]


def test_a_version_that_was_evaluated_on_its_training_data_names_it_once(registry: Registry) -> None:
    registry.evaluate("churn@3", training(), metrics=["accuracy"])

    assert list(registry.dossier("churn@3").datasets) == [training().fingerprint, holdout().fingerprint]
