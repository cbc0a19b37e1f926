from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from registry import Dataset, Registry, proof
from registry.exceptions import (
    InvalidDataset,
    InvalidName,
    InvalidParameters,
    KeyConflict,
    NotSerializable,
    PredictionFailed,
    UntrustedType,
)
from tests.examples import fit, make_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeRegistry = Callable[..., Registry]


class Answers(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Answers the same to everything."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    def predict(self, rows: pd.DataFrame) -> Any:
        return np.full(len(rows), self.answer)


class Raises(Answers):
    """Can't answer."""

    def predict(self, rows: pd.DataFrame) -> Any:
        raise ZeroDivisionError(len(rows))


@dataclass
class Contents:
    """What a registry holds."""

    models: list[str]
    files: int

    @classmethod
    def of(cls, registry: Registry) -> Contents:
        return cls(
            [model.name for model in registry.models()], len(list(registry.backend.artifacts.stored()))
        )


NOTHING = Contents([], 0)


def register(registry: Registry, *, seed: int = 0, **options: Any) -> Any:
    dataset = make_dataset(seed=seed)
    return registry.register("churn", fit(dataset), **{"trained_on": dataset, **options})


# What a version tells


def test_a_version_tells_where_it_comes_from(make_registry: MakeRegistry) -> None:
    registry, dataset = make_registry(actor="grace"), make_dataset(name="january")
    version = registry.register("churn", fit(dataset), trained_on=dataset, params={"C": 1.0})
    assert version.reference == "churn@1"
    assert version.estimator == "sklearn.linear_model._logistic.LogisticRegression"
    assert (version.registered_by, version.params) == ("grace", {"C": 1.0})
    assert version.trained_on == dataset.fingerprint
    assert [column["name"] for column in version.input_schema] == ["wind", "distance"]
    assert version.environment["scikit-learn"]
    assert registry.target_of("churn@1") == "late"
    assert registry.backend.rows.dataset(version.trained_on).name == "january"


def test_what_is_returned_is_what_is_read_later(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    version = register(registry, params={"grid": (1, 2), "deep": {"b": 1, "a": None}, 3: "three"})
    assert version.model_dump() == registry.resolve("churn@1").model_dump()


def test_a_version_knows_the_size_of_its_bytes(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    version = register(registry)
    (stored,) = registry.backend.artifacts.stored()
    assert (stored.digest, stored.size) == (version.artifact, version.artifact_bytes)


def test_registering_puts_nothing_in_force(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    register(registry)
    assert registry.aliases("churn") == {}
    assert registry.history("churn") == []


def test_a_process_whose_folder_is_gone_registers_all_the_same(
    make_registry: MakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, folder = make_registry(), tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert register(registry).git_commit is None


# Exactly once


def test_other_trainings_get_the_next_number(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    assert [register(registry, seed=seed).number for seed in (1, 2, 3)] == [1, 2, 3]


def test_an_identical_training_is_the_same_version(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    assert register(registry).model_dump() == register(registry).model_dump()
    assert len(registry.versions("churn")) == 1


def test_an_identical_estimator_from_other_rows_is_another_version(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    assert register(registry).number == 1
    assert register(registry, trained_on=make_dataset(seed=9)).number == 2


def test_an_identical_training_of_another_model_is_a_version_of_that(make_registry: MakeRegistry) -> None:
    registry, dataset = make_registry(), make_dataset()
    references = [
        registry.register(model, fit(dataset), trained_on=dataset).reference for model in ("churn", "fraud")
    ]
    assert references == ["churn@1", "fraud@1"]


def test_a_retry_with_the_same_key_gets_the_first_answer(make_registry: MakeRegistry) -> None:
    registry, dataset = make_registry(), make_dataset()
    first, luckier = fit(dataset), fit(dataset, LogisticRegression(C=0.1))
    versions = [
        registry.register("churn", estimator, trained_on=dataset, key="run-1")
        for estimator in (first, luckier)
    ]
    assert [version.number for version in versions] == [1, 1]
    assert len(registry.versions("churn")) == 1


def test_a_key_that_found_an_identical_training_keeps_it(make_registry: MakeRegistry) -> None:
    registry, dataset = make_registry(), make_dataset()
    register(registry)
    assert register(registry, key="run-1").number == 1
    other = fit(dataset, LogisticRegression(C=0.1))
    assert registry.register("churn", other, trained_on=dataset, key="run-1").number == 1


def test_a_key_belongs_to_its_model(make_registry: MakeRegistry) -> None:
    registry, dataset = make_registry(), make_dataset()
    register(registry, key="run-1")
    assert registry.register("fraud", fit(dataset), trained_on=dataset, key="run-1").reference == "fraud@1"


@pytest.mark.parametrize("changed", [{"trained_on": make_dataset(seed=1)}, {"params": {"C": 2}}])
def test_a_key_can_not_stand_for_another_request(
    make_registry: MakeRegistry, changed: dict[str, Any]
) -> None:
    registry = make_registry()
    register(registry, key="run-1", params={"C": 1})
    with pytest.raises(KeyConflict, match="'run-1' already stands for churn@1"):
        register(registry, **{"key": "run-1", "params": {"C": 1}, **changed})
    assert Contents.of(registry) == Contents(["churn"], 1)


# Nothing is left of what is refused


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 300,
        "churn@1",
        "a/b",
        "a:b",
        "..",
        "a..b",
        "churn ",
        "churn\n",
        " churn",
        "a\0",
        "сhurn",
        "churn-",
    ],
)
def test_a_name_outside_of_the_rule_is_refused(make_registry: MakeRegistry, name: str) -> None:
    registry, dataset = make_registry(), make_dataset()
    with pytest.raises(InvalidName, match="model name"):
        registry.register(name, fit(dataset), trained_on=dataset)
    assert Contents.of(registry) == NOTHING


@pytest.mark.parametrize("key", ["", "x" * 257, "run\n1", "run\0", "\ud800"])
def test_a_key_outside_of_the_rule_is_refused(make_registry: MakeRegistry, key: str) -> None:
    registry = make_registry()
    with pytest.raises(InvalidName, match="1 to 256 printable"):
        register(registry, key=key)
    assert Contents.of(registry) == NOTHING


@pytest.mark.parametrize("key", ["x" * 256, "4d2f/register churn/0", "Größe"])
def test_a_key_may_be_any_line(make_registry: MakeRegistry, key: str) -> None:
    assert register(make_registry(), key=key).number == 1


def endless() -> dict[str, Any]:
    params: dict[str, Any] = {}
    params["again"] = params
    return params


def deep() -> dict[str, Any]:
    params: dict[str, Any] = {}
    for _ in range(100_000):
        params = {"deeper": params}
    return params


@pytest.mark.parametrize(
    "params",
    [
        {"C": float("nan")},
        {"C": np.float32("inf")},
        {"C": {1, 2}},
        {"C": np.ones(2)},
        {"C": object()},
        {"C": b"1"},
        {(1, 2): 3},
        {"C": "\ud800"},
        endless(),
        deep(),
    ],
    ids=["nan", "inf", "set", "array", "object", "bytes", "tuple key", "surrogate", "endless", "deep"],
)
def test_parameters_without_a_json_form_are_refused(
    make_registry: MakeRegistry, params: dict[Any, Any]
) -> None:
    registry = make_registry()
    with pytest.raises(InvalidParameters, match="can't be written down"):
        register(registry, params=params)
    assert Contents.of(registry) == NOTHING


def test_numbers_of_numpy_are_numbers_because_searches_draw_them(make_registry: MakeRegistry) -> None:
    drawn = {"depth": np.int64(3), "rate": np.float32(0.5), "C": np.float64(0.1), "warm": np.bool_(1)}
    version = register(make_registry(), params={"best": [drawn]})
    assert version.params == {"best": [{"depth": 3, "rate": 0.5, "C": 0.1, "warm": True}]}


def plus_one(rows: Any) -> Any:
    return rows + 1


BAD_ESTIMATORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "unfitted": (LogisticRegression, PredictionFailed, "not fitted"),
    "a class": (lambda: LogisticRegression, UntrustedType, "LogisticRegression"),
    "nothing": (lambda: None, PredictionFailed, "no attribute 'predict'"),
    "a lambda inside": (
        lambda: fit(
            make_dataset(), make_pipeline(FunctionTransformer(lambda rows: rows), LogisticRegression())
        ),
        NotSerializable,
        "lambda",
    ),
    "raises": (Raises, PredictionFailed, "predict: 40"),
    "answers NaN": (lambda: Answers(np.nan), PredictionFailed, "not plain and finite"),
    "answers times": (lambda: Answers(np.datetime64("2020-01-01")), PredictionFailed, "not plain"),
    "answers no Unicode": (lambda: Answers("\ud800"), PredictionFailed, "not plain"),
}


@pytest.mark.parametrize(("make", "error", "message"), BAD_ESTIMATORS.values(), ids=BAD_ESTIMATORS)
def test_an_estimator_that_could_not_be_served_leaves_nothing_behind(
    make_registry: MakeRegistry, make: Callable[[], Any], error: type[Exception], message: str
) -> None:
    registry = make_registry()
    for own in (Answers, Raises):
        registry.trust(f"{own.__module__}.{own.__name__}", reason="this test's own")
    with pytest.raises(error, match=message):
        registry.register("churn", make(), trained_on=make_dataset())
    assert Contents.of(registry) == NOTHING


def test_an_untrusted_type_is_refused_with_the_remedy_and_passes_once_trusted(
    make_registry: MakeRegistry,
) -> None:
    registry, dataset = make_registry(), make_dataset()
    estimator = fit(dataset, make_pipeline(FunctionTransformer(plus_one), LogisticRegression()))
    with pytest.raises(UntrustedType, match=r"plus_one.*allow each with `registry trust NAME") as refusal:
        registry.register("churn", estimator, trained_on=dataset)
    assert Contents.of(registry) == NOTHING
    for name in refusal.value.types:
        registry.trust(name, reason="adds one")
    assert registry.register("churn", estimator, trained_on=dataset).number == 1
    assert len(registry.load("churn@1").predict(dataset.features)) == dataset.rows


# The example, which a rollback relies on

GAPS = pd.Series(["a", None] * 20, dtype=object)
FEATURES: dict[str, Any] = {
    "text": ["a", "b"] * 20,
    "text with gaps": ["a", None] * 20,
    "objects and None": GAPS,
    "objects and NaN": GAPS.fillna(np.nan),
    "a gap in every row of the example": pd.Series([None] * 10 + ["a", "b"] * 15, dtype=object),
    "categories": pd.Categorical(["a", "b"] * 20, ["b", "a", "never"]),
    "ordered categories": pd.Categorical(["a", "b"] * 20, ["b", "a"], ordered=True),
    "boolean": [True, False] * 20,
    "boolean with gaps": pd.array([True, None] * 20, dtype="boolean"),
    "whole": [1, 2] * 20,
    "whole with gaps": pd.array([1, None] * 20, dtype="Int64"),
    "narrow": np.array([0.1, 0.2] * 20, dtype="float32"),
}
TIMES = pd.to_datetime(["2013-01-01 10:00", "2013-07-02 23:00"] * 20)


def test_a_restored_version_predicts_what_its_example_promises(make_registry: MakeRegistry) -> None:
    registry, dataset = make_registry(), make_dataset(**FEATURES)
    encoded = make_column_transformer((OneHotEncoder(), list(FEATURES)), remainder="passthrough")
    version = registry.register(
        "churn", fit(dataset, make_pipeline(encoded, LogisticRegression())), trained_on=dataset
    )
    assert len(version.input_example["predictions"]) == 5
    proof.prove(registry.backend, registry.resolve("churn@1"))


def hours(rows: pd.DataFrame) -> Any:
    return rows.apply(lambda column: column.dt.hour)


@pytest.mark.parametrize("times", [TIMES, TIMES.tz_localize("Europe/Berlin"), TIMES.as_unit("ns")])
def test_times_are_part_of_the_example(make_registry: MakeRegistry, times: pd.DatetimeIndex) -> None:
    registry, dataset = make_registry(), make_dataset(at=times)
    registry.trust(f"{__name__}.hours", reason="this test's own")
    read = make_column_transformer((FunctionTransformer(hours), ["at"]))
    registry.register("churn", fit(dataset, make_pipeline(read, LogisticRegression())), trained_on=dataset)
    proof.prove(registry.backend, registry.resolve("churn@1"))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308, -0.0])
def test_numbers_without_a_json_form_are_part_of_the_example(
    make_registry: MakeRegistry, value: float
) -> None:
    registry, dataset = make_registry(), make_dataset(x=[value, 1.0] * 20)
    registry.register("churn", fit(dataset, HistGradientBoostingClassifier(max_iter=2)), trained_on=dataset)
    proof.prove(registry.backend, registry.resolve("churn@1"))


@pytest.mark.parametrize("rows", [2, 4, 5])
def test_few_rows_make_a_short_example(make_registry: MakeRegistry, rows: int) -> None:
    registry, dataset = make_registry(), make_dataset(rows=rows)
    version = registry.register("churn", fit(dataset), trained_on=dataset)
    assert len(version.input_example["rows"]) == len(version.input_example["predictions"]) == rows
    proof.prove(registry.backend, version)


@pytest.mark.filterwarnings("error:X has feature names")
def test_columns_may_be_known_by_numbers(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    dataset = Dataset.from_frame(make_dataset().frame.rename(columns={"wind": 0, "distance": 1}), "late")
    version = registry.register("churn", fit(dataset), trained_on=dataset)
    proof.prove(registry.backend, version)
    assert registry.evaluate("churn@1", dataset, metrics=["accuracy"]).metrics["accuracy"] > 0.5


class Intervals(Answers):
    """Answers by the middle of an interval."""

    def predict(self, rows: pd.DataFrame) -> Any:
        return np.array([float(interval.mid) for interval in rows["x"]])


def test_columns_that_do_not_survive_json_are_refused(make_registry: MakeRegistry) -> None:
    registry, dataset = make_registry(), make_dataset(x=pd.cut(np.arange(40), 4))
    registry.trust(f"{__name__}.Intervals", reason="this test's own")
    with pytest.raises(InvalidDataset, match="do not survive JSON"):
        registry.register("churn", Intervals(), trained_on=dataset)
    assert Contents.of(registry) == NOTHING
