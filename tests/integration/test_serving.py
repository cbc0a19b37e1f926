from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from registry.exceptions import (
    AliasNotSet,
    ArtifactCorrupted,
    ArtifactMissing,
    InvalidReference,
    ModelNotFound,
    PredictionFailed,
    SchemaMismatch,
    UntrustedType,
    VersionNotFound,
)
from tests.examples import fit, make_dataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry import Registry
    from registry.tables import ModelVersion

    MakeRegistry = Callable[..., Registry]


class Noted(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Notes whenever one of its kind is built from bytes."""

    built: ClassVar[list[Noted]] = []

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.built.append(self)

    def predict(self, rows: pd.DataFrame) -> Any:
        return np.zeros(len(rows))


def register(registry: Registry, estimator: Any = None, *, seed: int = 0) -> ModelVersion:
    dataset = make_dataset(seed=seed)
    return registry.register("churn", fit(dataset, estimator), trained_on=dataset)


def bytes_of(registry: Registry, version: ModelVersion) -> Path:
    path = Path(registry.backend.artifacts.location, "sha256", version.artifact)
    path.chmod(0o644)
    return path


# Loading


def test_a_loaded_model_knows_its_version_and_predicts_as_the_estimator_did(
    make_registry: MakeRegistry,
) -> None:
    registry, dataset = make_registry(), make_dataset()
    register(registry)
    loaded = registry.load("churn@1")
    assert loaded.version.reference == "churn@1"
    np.testing.assert_array_equal(loaded.predict(dataset.features), fit(dataset).predict(dataset.features))
    np.testing.assert_allclose(
        loaded.predict_proba(dataset.features), fit(dataset).predict_proba(dataset.features)
    )


def test_any_version_loads_by_number_whatever_is_in_force(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    for seed in (0, 1, 2):
        register(registry, seed=seed)
    registry.assign("churn@2", reason="a start")
    registry.assign("churn@3", reason="a mistake")
    registry.roll_back("churn", reason="it was a mistake")
    numbers = [registry.load(f"churn@{which}").version.number for which in (1, 3, "champion", "latest")]
    assert numbers == [1, 3, 2, 3]


REFERENCES: dict[str, type[Exception]] = {
    "churn@": InvalidReference,
    "churn@01": InvalidReference,
    "churn@0": InvalidReference,
    "@champion": InvalidReference,
    "churn": InvalidReference,
    "churn@champion": AliasNotSet,
    "churn@2": VersionNotFound,
    "fraud@1": ModelNotFound,
    "fraud@latest": ModelNotFound,
    "fraud@champion": ModelNotFound,
}


def test_what_does_not_exist_is_not_loaded(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    register(registry)
    for reference, error in REFERENCES.items():
        with pytest.raises(error):
            registry.load(reference)


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_byte_is_noticed(make_registry: MakeRegistry, place: int) -> None:
    registry = make_registry()
    path = bytes_of(registry, register(registry))
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactCorrupted, match="was not opened"):
        registry.load("churn@1")


def test_bytes_with_another_digest_are_not_even_parsed(make_registry: MakeRegistry) -> None:
    registry, dataset = make_registry(), make_dataset()
    registry.trust(f"{__name__}.Noted", reason="this test's own")
    harmless = register(registry)
    noted = registry.register("noted", Noted(), trained_on=dataset)
    bytes_of(registry, harmless).write_bytes(bytes_of(registry, noted).read_bytes())
    Noted.built.clear()
    with pytest.raises(ArtifactCorrupted):
        registry.load("churn@1")
    assert not Noted.built
    registry.load("noted@1")
    assert Noted.built


def test_missing_bytes_are_named(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    version = register(registry)
    bytes_of(registry, version).unlink()
    with pytest.raises(ArtifactMissing, match=version.artifact):
        registry.load("churn@1")


def test_a_type_that_is_no_longer_trusted_does_not_load(make_registry: MakeRegistry) -> None:
    registry, name = make_registry(), f"{__name__}.Noted"
    registry.trust(name, reason="this test's own")
    registry.register("noted", Noted(), trained_on=make_dataset())
    registry.backend.rows.distrust(name)
    with pytest.raises(UntrustedType, match=r"noted@1 holds types .*Noted"):
        registry.load("noted@1")


# Predicting


def test_rows_are_checked_before_the_estimator_sees_them(make_registry: MakeRegistry) -> None:
    registry, rows = make_registry(), make_dataset().features
    register(registry)
    loaded = registry.load("churn@1")
    for wrong in (
        rows[["wind"]],
        rows[["distance", "wind"]],
        rows.assign(wind="calm"),
        rows.to_numpy()[:, :1],
    ):
        for ask in (loaded.predict, loaded.predict_proba):
            with pytest.raises(SchemaMismatch, match="do not fit churn@1"):
                ask(wrong)


def test_rows_may_bring_further_columns_or_come_as_an_array(make_registry: MakeRegistry) -> None:
    registry, dataset = make_registry(), make_dataset()
    register(registry)
    loaded = registry.load("churn@1")
    expected = loaded.predict(dataset.features)
    np.testing.assert_array_equal(loaded.predict(dataset.frame.assign(seat="1A")), expected)
    np.testing.assert_array_equal(loaded.predict(dataset.features.to_numpy()), expected)


def test_an_estimator_that_raises_is_named_with_its_reason(make_registry: MakeRegistry) -> None:
    registry, rows = make_registry(), make_dataset().features
    register(registry)
    with pytest.raises(PredictionFailed, match="churn@1 does not predict: ValueError: Input X contains NaN"):
        registry.load("churn@1").predict(rows.assign(wind=np.nan))


def test_an_estimator_without_probabilities_says_so(make_registry: MakeRegistry) -> None:
    registry, rows = make_registry(), make_dataset().features
    register(registry, LinearSVC())
    with pytest.raises(PredictionFailed, match="no attribute 'predict_proba'"):
        registry.load("churn@1").predict_proba(rows)


def test_a_category_that_the_training_never_saw_is_the_estimators_affair(make_registry: MakeRegistry) -> None:
    registry, dataset = make_registry(), make_dataset(origin=pd.Categorical(["JFK", "EWR"] * 20))
    boosted = HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype")
    registry.register("churn", fit(dataset, boosted), trained_on=dataset)
    rows = make_dataset(rows=2, origin=pd.Categorical(["LGA", "EWR"])).features
    assert len(registry.load("churn@1").predict(rows)) == 2


@pytest.mark.parametrize("names", [["no", "yes"], [False, True], [1.5, 2.5], ["a", "b", "c", "d"]])
def test_predictions_are_in_the_words_of_the_labels(make_registry: MakeRegistry, names: list[Any]) -> None:
    registry, dataset = make_registry(), make_dataset()
    labels = np.array((names * 20)[:40])
    if isinstance(names[0], float):
        labels = labels.astype(str)
    estimator = LogisticRegression().fit(dataset.features, labels)
    registry.register("churn", estimator, trained_on=dataset)
    assert set(registry.load("churn@1").predict(dataset.features)) <= set(labels)
