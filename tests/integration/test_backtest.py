from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from registry import Dataset, Registry, cli
from registry.exceptions import InvalidDataset, InvalidMetric, ModelNotFound
from registry.tasks.backtest import Rows
from tests.examples import fit, make_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from registry.backtest import Backtest

    MakeRegistry = Callable[..., Registry]

TRAIN = make_dataset(name="january")
MARCH = make_dataset(rows=600, seed=1, name="march")
BY_ORIGIN = make_dataset(rows=600, seed=1, name="march", origin=["JFK", "EWR", "LGA"] * 190 + ["PHL"] * 30)


class Moody(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Answers a few rows, as when it is registered, and no more."""

    def fit(self, _: pd.DataFrame, labels: Any) -> Moody:
        self.classes_ = sorted(set(labels))
        return self

    def predict(self, rows: pd.DataFrame) -> Any:
        if len(rows) > 100:
            raise MemoryError("too many rows")
        return [self.classes_[0]] * len(rows)


def register(registry: Registry, *estimators: Any, trained_on: Dataset = TRAIN) -> None:
    for estimator in estimators:
        registry.register("churn", fit(trained_on, estimator), trained_on=trained_on)


def order(backtest: Backtest) -> list[str]:
    return [version.reference for version in backtest.measured]


def reasons(backtest: Backtest) -> dict[str, str]:
    return {left_out.reference: left_out.reason for left_out in backtest.left_out}


@pytest.fixture
def registry(make_registry: MakeRegistry) -> Registry:
    """Three versions, of which the first, a bad one, is in force."""
    registry = make_registry()
    register(registry, LogisticRegression(C=1e-4), LogisticRegression(C=1e-2), LogisticRegression())
    registry.assign("churn@1", reason="a start")
    return registry


# The values


def test_each_version_is_compared_with_the_one_in_force_as_two_are(registry: Registry) -> None:
    found = registry.backtest("churn", MARCH, metrics=["neg_log_loss", "roc_auc"], confidence=0.92)
    for version in found.challengers:
        pair = registry.compare(
            version.reference, "churn@1", MARCH, metrics=["neg_log_loss", "roc_auc"], confidence=0.98
        )  # an error of 0.08 is shared by two versions and two metrics
        for found_here, found_there in zip(version.results, pair.results, strict=True):
            assert found_here.model_dump() == pytest.approx(found_there.model_dump())
    assert order(found) == ["churn@3", "churn@2", "churn@1"]
    assert found.headline.startswith("churn@3 would have won by")


def test_the_version_in_force_is_measured_by_itself(registry: Registry) -> None:
    found = registry.backtest("churn", MARCH, metrics=["accuracy"]).champion
    assert found is not None
    measured = found.whole("accuracy")
    assert (measured.difference, measured.champion) == (None, None)
    assert (
        measured.challenger == registry.evaluate("churn@1", MARCH, metrics=["accuracy"]).metrics["accuracy"]
    )


def test_slices_that_are_large_enough_are_compared_too(registry: Registry) -> None:
    found = registry.backtest("churn", BY_ORIGIN, metrics=["accuracy"], slices=["origin"])
    best = found.challengers[0]
    assert [each.slice for each in best.results] == [
        "all",
        "origin=JFK",
        "origin=EWR",
        "origin=LGA",
        "origin=PHL",
    ]
    airport = BY_ORIGIN.frame["origin"] == "JFK"
    alone = Dataset.from_frame(BY_ORIGIN.frame[airport], "late", "JFK")
    pair = registry.compare(
        best.reference, "churn@1", alone, metrics=["accuracy"], confidence=1 - found.alpha / 4
    )
    (measured,) = [each for each in best.results if each.slice == "origin=JFK"]
    assert measured.model_copy(update={"slice": "all"}) == pair.results[0]


def test_a_slice_of_few_rows_is_not_measured(registry: Registry) -> None:
    few = make_dataset(rows=200, seed=2, name="april", origin=["JFK"] * 171 + ["PHL"] * 29)
    found = registry.backtest("churn", few, metrics=["accuracy"], slices=["origin"])
    assert {each.slice for version in found.measured for each in version.results} == {"all", "origin=JFK"}


def test_only_the_newest_are_measured_and_the_one_in_force(registry: Registry) -> None:
    found = registry.backtest("churn", MARCH, metrics=["accuracy"], last=1)
    assert set(order(found)) == {"churn@1", "churn@3"}
    assert found.alpha == pytest.approx(0.05)


def test_another_alias_has_another_version_to_beat(registry: Registry) -> None:
    registry.assign("churn@2", alias="shadow", reason="to watch")
    found = registry.backtest("churn", MARCH, metrics=["neg_log_loss"], alias="shadow")
    assert found.in_force == "churn@2"
    assert [version.proof("neg_log_loss") for version in found.measured] == ["better", None, "worse"]


def test_what_was_predicted_once_is_not_asked_again(registry: Registry) -> None:
    first = registry.backtest("churn", MARCH, metrics=["accuracy"])
    for version in registry.versions("churn"):
        registry.backend.artifacts.remove(version.artifact)
    assert registry.backtest("churn", MARCH, metrics=["accuracy"]) == first


def test_nothing_is_decided(registry: Registry) -> None:
    before = registry.history("churn")
    registry.backtest("churn", MARCH, metrics=["accuracy"])
    assert registry.history("churn") == before
    assert registry.aliases("churn") == {"champion": 1}


# Those that say nothing


def test_a_version_that_says_nothing_is_named_with_the_reason_and_the_others_go_on(
    registry: Registry,
) -> None:
    wider = make_dataset(name="wider", rain=[0.0] * 40)
    register(registry, None, trained_on=MARCH)
    register(registry, None, trained_on=wider)
    registry.trust(f"{__name__}.Moody", reason="a test")
    register(registry, Moody(), DummyClassifier())
    registry.backend.artifacts.remove(registry.resolve("churn@7").artifact)
    found = registry.backtest("churn", MARCH, metrics=["accuracy"])
    said = reasons(found)
    assert set(order(found)) == {"churn@1", "churn@2", "churn@3"}
    assert "was trained on dataset 'march'" in said["churn@4"]
    assert "the columns do not fit churn@5" in said["churn@5"]
    assert "Moody does not predict: predict raised MemoryError: too many rows" in said["churn@6"]
    assert "has no artifact" in said["churn@7"]
    registry.distrust(f"{__name__}.Moody")
    again = registry.backtest("churn", MARCH, metrics=["accuracy"])
    assert "types that this registry does not trust" in reasons(again)["churn@6"]


def test_a_version_without_a_value_by_some_metric_is_left_out(registry: Registry) -> None:
    register(registry, LinearSVC())
    found = registry.backtest("churn", MARCH, metrics=["accuracy", "neg_log_loss"])
    assert set(order(found)) == {"churn@1", "churn@2", "churn@3"}
    assert reasons(found)["churn@4"].startswith("metric 'neg_log_loss': not defined")


def test_if_the_one_in_force_was_trained_on_the_rows_there_are_values_only(registry: Registry) -> None:
    register(registry, LogisticRegression(C=10), trained_on=MARCH)
    registry.assign("churn@4", reason="a mistake")
    found = registry.backtest("churn", MARCH, metrics=["accuracy"])
    assert found.champion is None
    assert "was trained on" in reasons(found)["churn@4"]
    assert not [each for version in found.measured for each in version.results if each.difference is not None]


def test_before_anything_is_in_force_there_are_values_only(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    register(registry, DummyClassifier(), None)
    found = registry.backtest("churn", BY_ORIGIN, metrics=["accuracy"], slices=["origin"])
    assert order(found) == ["churn@2", "churn@1"]
    assert found.headline.startswith("nothing is in force; churn@2 did best")
    assert {each.difference for version in found.measured for each in version.results} == {None}


# Refusals


def test_what_nobody_knows_is_refused(registry: Registry) -> None:
    with pytest.raises(ModelNotFound):
        registry.backtest("chrun", MARCH, metrics=["accuracy"])
    with pytest.raises(InvalidMetric, match="did you mean accuracy"):
        registry.backtest("churn", MARCH, metrics=["acuracy"])
    with pytest.raises(InvalidDataset, match="no column 'airport'"):
        registry.backtest("churn", MARCH, metrics=["accuracy"], slices=["airport"])
    assert registry.evaluations("churn@1") == []


# Where the rows are


def test_all_threads_of_a_process_read_the_rows_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = Dataset.read

    def counted(source: str, target: str) -> Dataset:
        read.append(source)
        return original(source, target)

    monkeypatch.setattr(Dataset, "read", counted)
    rows = _file(tmp_path, MARCH)
    other = _file(tmp_path, make_dataset(seed=3), "april.parquet")
    read.clear()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: rows.read(), range(20)))
    assert read == [rows.source]
    assert {id(dataset) for dataset in found} == {id(found[0])}
    assert other.read().fingerprint != rows.read().fingerprint


def test_rows_that_changed_since_the_work_began_are_refused(tmp_path: Path) -> None:
    rows = _file(tmp_path, MARCH)
    _file(tmp_path, make_dataset(seed=3))
    with pytest.raises(InvalidDataset, match="its rows changed"):
        rows.read()


def _file(folder: Path, dataset: Dataset, name: str = "march.parquet") -> Rows:
    dataset.frame.to_parquet(folder / name)
    return Rows.at(str(folder / name), "late")


# The command


@pytest.fixture
def run(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., str]:
    """Run `registry backtest churn` on the rows of March, and give what it prints."""
    BY_ORIGIN.frame.to_parquet(tmp_path / "march.parquet")
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", str(registry.backend.rows.engine.url))
    monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", registry.backend.artifacts.location)

    def command(*arguments: str) -> str:
        data = ["--data", str(tmp_path / "march.parquet")]
        monkeypatch.setattr(sys, "argv", ["registry", "backtest", "churn", *data, *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code in {0, None}
        return capsys.readouterr().out

    return command


def test_the_command_says_what_each_version_would_have_brought(run: Callable[..., str]) -> None:
    lines = run("--metric", "neg_log_loss").splitlines()
    assert lines[0].startswith("churn@3 would have won by")
    assert [line.split()[0] for line in lines[1:5]] == ["version", "churn@3", "churn@2", "churn@1"]
    assert lines[-1] == "600 rows of march; all one-sided bounds together at 0.95"


def test_the_command_draws_the_heat_map_and_prints_json(run: Callable[..., str], tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    printed = run(
        "--metric", "accuracy", "--last", "1", "--slice", "origin", "--chart", str(picture), "--json"
    )
    found = json.loads(printed)
    assert {version["reference"] for version in found["measured"]} == {"churn@1", "churn@3"}
    assert found["question"]["slices"] == ["origin"]
    assert found["headline"]
    assert picture.read_bytes().startswith(b"\x89PNG")
