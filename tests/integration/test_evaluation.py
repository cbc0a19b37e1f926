from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from registry import Dataset, Registry, evaluation
from registry.exceptions import (
    ArtifactCorrupted,
    ArtifactMissing,
    InvalidDataset,
    InvalidMetric,
    PredictionFailed,
    SchemaMismatch,
)
from tests.examples import fit, make_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeRegistry = Callable[..., Registry]

HOLDOUT = make_dataset(rows=30, seed=1, name="february", origin=["JFK", "EWR", "LGA"] * 10)


class Picky(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Answers only while the wind is below *most*."""

    def __init__(self, most: float = 10) -> None:
        self.most = most

    def predict(self, rows: pd.DataFrame) -> Any:
        if (rows["wind"] > self.most).any():
            raise ValueError("too windy")
        return np.zeros(len(rows))


def register(registry: Registry, estimator: Any = None, trained_on: Dataset | None = None) -> str:
    dataset = trained_on or make_dataset()
    return registry.register("churn", fit(dataset, estimator), trained_on=dataset).reference


def labelled(labels: Any, **columns: Any) -> tuple[Dataset, Dataset]:
    """Rows to train on and rows to judge by, with these labels in turn."""
    both = [make_dataset(seed=seed, **columns).frame for seed in (0, 1)]
    train, holdout = (
        Dataset.from_frame(frame.assign(late=pd.array((list(labels) * 20)[:40])), "late") for frame in both
    )
    return train, holdout


def stored(registry: Registry) -> set[str]:
    return {artifact.digest for artifact in registry.backend.artifacts.stored()}


# Metrics


TASKS: dict[str, tuple[Any, Any, list[str]]] = {
    "binary": (
        LogisticRegression(),
        [0, 1],
        ["roc_auc", "accuracy", "f1", "neg_log_loss", "average_precision"],
    ),
    "words": (LogisticRegression(), ["on time", "late"], ["roc_auc", "accuracy", "f1_macro", "neg_log_loss"]),
    "booleans": (LogisticRegression(), [True, False], ["roc_auc", "accuracy", "f1", "neg_brier_score"]),
    "numbers": (LogisticRegression(), [0.0, 1.0], ["roc_auc", "balanced_accuracy"]),
    "four classes": (
        DecisionTreeClassifier(max_depth=3),
        ["d", "a", "c", "b"],
        ["accuracy", "roc_auc_ovr", "f1_weighted", "neg_log_loss"],
    ),
    "regression": (
        LinearRegression(),
        [0.5, 2.5, 1.5],
        ["r2", "neg_mean_absolute_error", "neg_median_absolute_error"],
    ),
}


@pytest.mark.parametrize(("estimator", "labels", "metrics"), TASKS.values(), ids=TASKS)
def test_metrics_are_those_of_scikit_learn_on_the_estimator_itself(
    make_registry: MakeRegistry, estimator: Any, labels: list[Any], metrics: list[str]
) -> None:
    registry, (train, holdout) = make_registry(), labelled(labels)
    fitted = fit(train, estimator)
    registry.register("churn", fitted, trained_on=train)
    measured = registry.evaluate("churn@1", holdout, metrics=metrics).metrics
    expected = {name: get_scorer(name)(fitted, holdout.features, holdout.labels) for name in metrics}
    assert measured == pytest.approx(expected)


def test_a_pipeline_over_text_and_categories_is_measured_too(make_registry: MakeRegistry) -> None:
    remarks = ["strong wind", "clear sky"] * 20
    registry, (train, holdout) = make_registry(), labelled([0, 1], remark=remarks, origin=["JFK", "EWR"] * 20)
    words = make_column_transformer((TfidfVectorizer(), "remark"), (OneHotEncoder(), ["origin"]))
    register(registry, make_pipeline(words, LogisticRegression()), train)
    assert registry.evaluate("churn@1", holdout, metrics=["accuracy"]).metrics == {"accuracy": 1.0}


def test_an_evaluation_says_what_was_measured_by_whom(make_registry: MakeRegistry) -> None:
    registry = make_registry(actor="grace")
    found = registry.evaluate(register(registry), HOLDOUT, metrics=["accuracy"])
    assert (found.reference, found.rows, found.evaluated_by) == ("churn@1", 30, "grace")
    assert found.dataset == HOLDOUT.fingerprint
    assert registry.backend.rows.dataset(found.dataset).name == "february"
    (read,) = registry.evaluations("churn@1")
    assert (read.model_dump(), read.metrics) == (found.model_dump(), found.metrics)


def test_the_predictions_of_every_row_are_kept(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    found = registry.evaluate(register(registry), HOLDOUT, metrics=[])
    kept = evaluation.predictions_of(registry.backend, found)
    estimator = fit(make_dataset())
    np.testing.assert_array_equal(kept.labels, HOLDOUT.labels)
    np.testing.assert_array_equal(kept.predicted, estimator.predict(HOLDOUT.features[["wind", "distance"]]))
    assert found.metrics == {}


# Once


def forget(registry: Registry, digest: str) -> None:
    registry.backend.artifacts.remove(digest)


def test_what_was_measured_before_is_read(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    first = registry.evaluate(register(registry), HOLDOUT, metrics=["accuracy", "roc_auc"], slices=["origin"])
    for digest in stored(registry):
        forget(registry, digest)
    again = registry.evaluate("churn@1", HOLDOUT, metrics=["roc_auc"], slices=["origin"])
    assert again.metrics == first.metrics
    assert again.on_slice("origin=JFK") == first.on_slice("origin=JFK")
    assert stored(registry) == set()


def test_the_same_rows_from_elsewhere_are_the_same_evaluation(
    make_registry: MakeRegistry, tmp_path: Path
) -> None:
    registry = make_registry()
    registry.evaluate(register(registry), HOLDOUT, metrics=["accuracy"])
    HOLDOUT.frame.to_csv(tmp_path / "holdout.csv", index=False)
    registry.evaluate("churn@1", Dataset.read(tmp_path / "holdout.csv", "late"), metrics=["accuracy"])
    assert len(registry.evaluations("churn@1")) == 1


def test_a_further_metric_comes_from_the_kept_predictions(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    first = registry.evaluate(register(registry), HOLDOUT, metrics=["accuracy"])
    forget(registry, registry.resolve("churn@1").artifact)
    more = registry.evaluate("churn@1", HOLDOUT, metrics=["roc_auc"], slices=["origin"])
    assert set(more.metrics) == {"accuracy", "roc_auc"}
    assert more.slices == ["origin=EWR", "origin=JFK", "origin=LGA"]
    assert more.evaluated_at == first.evaluated_at
    assert len(registry.evaluations("churn@1")) == 1


def test_a_further_metric_needs_predictions_that_are_whole(
    make_registry: MakeRegistry, tmp_path: Path
) -> None:
    registry = make_registry()
    first = registry.evaluate(register(registry), HOLDOUT, metrics=["accuracy"])
    (path,) = tmp_path.glob(f"*/artifacts/sha256/{first.predictions}")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactCorrupted):
        registry.evaluate("churn@1", HOLDOUT, metrics=["roc_auc"])
    path.unlink()
    with pytest.raises(ArtifactMissing):
        registry.evaluate("churn@1", HOLDOUT, metrics=["roc_auc"])
    assert set(registry.evaluate("churn@1", HOLDOUT, metrics=["accuracy"]).metrics) == {"accuracy"}


def test_a_metric_asked_for_twice_is_measured_once(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    found = registry.evaluate(register(registry), HOLDOUT, metrics=["accuracy", "accuracy"])
    assert len(found.measurements) == 1


def test_one_dataset_judges_many_versions_and_one_version_many_datasets(make_registry: MakeRegistry) -> None:
    registry, other = make_registry(), make_dataset(seed=5)
    references = [register(registry), register(registry, LogisticRegression(C=0.1))]
    for reference in references:
        registry.evaluate(reference, HOLDOUT, metrics=["accuracy"])
    registry.evaluate(references[0], other, metrics=["accuracy"])
    assert [len(registry.evaluations(reference)) for reference in references] == [2, 1]


# Slices


def test_a_slice_is_measured_on_its_rows_alone(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    found = registry.evaluate(register(registry), HOLDOUT, metrics=["roc_auc"], slices=["origin"])
    rows = HOLDOUT.frame["origin"] == "JFK"
    features = HOLDOUT.features.loc[rows, ["wind", "distance"]]
    expected = get_scorer("roc_auc")(fit(make_dataset()), features, HOLDOUT.labels[rows])
    assert found.on_slice("origin=JFK") == {"roc_auc": pytest.approx(expected)}
    assert {metric.slice: metric.rows for metric in found.measurements} == {
        "all": 30,
        "origin=EWR": 10,
        "origin=JFK": 10,
        "origin=LGA": 10,
    }


def test_a_metric_that_a_slice_is_too_small_for_is_left_out_there(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    asked: Any = {"metrics": ["accuracy", "roc_auc"], "slices": ["late"]}
    found = registry.evaluate(register(registry), HOLDOUT, **asked)
    assert set(found.metrics) == {"accuracy", "roc_auc"}
    assert set(found.on_slice("late=1")) == set(found.on_slice("late=0")) == {"accuracy"}
    assert registry.evaluate("churn@1", HOLDOUT, **asked).model_dump() == found.model_dump()


def test_slicing_by_a_column_that_is_not_there_is_refused(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    with pytest.raises(InvalidDataset, match="no column 'carrier'"):
        registry.evaluate(register(registry), HOLDOUT, metrics=["accuracy"], slices=["carrier"])


# Nothing is written of what is refused


WINDY = make_dataset(rows=10, seed=2)
REFUSED: dict[str, tuple[Dataset, list[str], type[Exception], str]] = {
    "unknown metric": (HOLDOUT, ["accuracy", "roc_auk"], InvalidMetric, "did you mean roc_auc"),
    "undefined metric": (
        Dataset.from_frame(HOLDOUT.frame.query("late == 1"), "late"),
        ["accuracy", "roc_auc"],
        InvalidMetric,
        "not defined on these 15 rows",
    ),
    "missing column": (
        Dataset.from_frame(HOLDOUT.frame.drop(columns="wind"), "late"),
        ["accuracy"],
        SchemaMismatch,
        "churn@1: missing wind",
    ),
    "retyped column": (
        Dataset.from_frame(HOLDOUT.frame.assign(wind="calm"), "late"),
        ["accuracy"],
        SchemaMismatch,
        "'wind' is text",
    ),
    "missing values": (
        Dataset.from_frame(HOLDOUT.frame.assign(wind=np.nan), "late"),
        ["accuracy"],
        PredictionFailed,
        "contains NaN",
    ),
}


@pytest.mark.parametrize(("dataset", "metrics", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_a_refused_evaluation_leaves_nothing_behind(
    make_registry: MakeRegistry, dataset: Dataset, metrics: list[str], error: type[Exception], message: str
) -> None:
    registry = make_registry()
    register(registry)
    before = stored(registry)
    with pytest.raises(error, match=message):
        registry.evaluate("churn@1", dataset, metrics=metrics)
    assert registry.evaluations("churn@1") == []
    assert stored(registry) == before


def test_a_refused_further_metric_leaves_the_evaluation_as_it_was(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    registry.evaluate(register(registry), HOLDOUT, metrics=["accuracy"])
    with pytest.raises(InvalidMetric):
        registry.evaluate("churn@1", HOLDOUT, metrics=["roc_auc", "r3"], slices=["origin"])
    (found,) = registry.evaluations("churn@1")
    assert set(found.metrics) == {"accuracy"}
    assert found.slices == []


def test_a_version_that_raises_is_a_failure_not_a_bad_score(make_registry: MakeRegistry) -> None:
    registry, calm = make_registry(), make_dataset(seed=3)
    registry.trust(f"{__name__}.Picky", reason="this test's own")
    registry.register("churn", Picky(), trained_on=calm)
    windy = Dataset.from_frame(calm.frame.assign(wind=99.0), "late")
    with pytest.raises(PredictionFailed, match="too windy"):
        registry.evaluate("churn@1", windy, metrics=["r2"])
    assert registry.evaluations("churn@1") == []


def test_columns_are_checked_before_any_byte_is_fetched(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    register(registry)
    forget(registry, registry.resolve("churn@1").artifact)
    with pytest.raises(SchemaMismatch):
        registry.evaluate("churn@1", REFUSED["missing column"][0], metrics=["accuracy"])
    with pytest.raises(ArtifactMissing):
        registry.evaluate("churn@1", HOLDOUT, metrics=["accuracy"])
