"""What is done with an estimator: it is registered, and loaded as the champion, here and in a new process."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import joblib
import skops.io
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from registry import Champion, Dataset
from tests.benchmarks.mlflow_comparison import theirs
from tests.benchmarks.mlflow_comparison.lab import url_of
from tests.benchmarks.mlflow_comparison.lines import Line, timed, timed_each

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from registry import Registry
    from tests.benchmarks.mlflow_comparison.lab import Lab
    from tests.benchmarks.mlflow_comparison.lines import Way

FRAME = load_iris(as_frame=True).frame
OURS = """
import sys
from registry import Registry
Registry(sys.argv[1], artifacts=sys.argv[2]).load("iris@champion")
"""
FLOOR = "import sys, sklearn.linear_model, skops.io; skops.io.load(sys.argv[1])"
MLFLOW = """
import sys, mlflow.sklearn
mlflow.set_tracking_uri(sys.argv[1])
mlflow.sklearn.load_model("models:/iris@champion")
"""

_numbers = count(1)


def fitted(number: int) -> list[LogisticRegression]:
    """Estimators that learned iris, no two alike."""
    features, labels = FRAME.drop(columns="target"), FRAME["target"]
    return [
        LogisticRegression(C=1 + next(_numbers) / 1e6, max_iter=1_000).fit(features, labels)
        for _ in range(number)
    ]


def register(lab: Lab, place: str) -> Line:
    def ours() -> Callable[[], float]:
        registry, iris = lab.registry(place), Dataset.from_frame(FRAME, "target", "iris")
        return timed_each(partial(registry.register, "iris", trained_on=iris), fitted)

    def mlflow() -> Callable[[], float]:
        theirs.begin(lab.new_mlflow(place), lab.folder / uuid4().hex)
        return timed_each(theirs.log_and_register, fitted)

    return Line(
        name="log and register an estimator",
        place=place,
        ways={
            "ours": ours,
            "MLflow": mlflow,
            "floor": lambda: timed_each(partial(_dumped, lab.folder), fitted),
        },
        targets={"MLflow": 10},
    )


def look_again(lab: Lab, place: str) -> Line:
    """What a service does that holds the champion, and wants it to be the one in force."""

    def ours() -> Callable[[], float]:
        champion = Champion("iris", refresh=3_600, registry=_champion(lab, place))
        lab.closing.callback(champion.close)
        return timed(champion.refresh)

    return _warm(lab, place, "have the champion at hand", ours, {"MLflow": 20})


def load_again(lab: Lab, place: str) -> Line:
    """What a program does that holds nothing."""

    def ours() -> Callable[[], float]:
        return timed(partial(_champion(lab, place).load, "iris@champion"))

    return _warm(lab, place, "load the champion anew", ours, {})


def _warm(
    lab: Lab, place: str, name: str, ours: Callable[[], Callable[[], float]], targets: Mapping[Way, float]
) -> Line:
    def mlflow() -> Callable[[], float]:
        _their_champion(lab, place)
        return timed(theirs.load)

    def floor() -> Callable[[], float]:
        return timed(partial(joblib.load, _dumped(lab.folder, *fitted(1))))

    return Line(
        name=name, place=place, ways={"ours": ours, "MLflow": mlflow, "floor": floor}, targets=targets
    )


def load_cold(lab: Lab, place: str) -> Line:
    def ours() -> Callable[[], float]:
        registry = _champion(lab, place)
        return _process(OURS, url_of(registry), registry.backend.artifacts.location)

    def mlflow() -> Callable[[], float]:
        return _process(MLFLOW, _their_champion(lab, place))

    def floor() -> Callable[[], float]:
        path = lab.folder / uuid4().hex
        skops.io.dump(*fitted(1), path)
        return _process(FLOOR, str(path))

    return Line(
        name="load the champion, in a new process",
        place=place,
        ways={"ours": ours, "MLflow": mlflow, "floor": floor},
        targets={"floor": 1.3},
    )


def _champion(lab: Lab, place: str) -> Registry:
    registry, iris = lab.registry(place), Dataset.from_frame(FRAME, "target", "iris")
    registry.register("iris", *fitted(1), trained_on=iris)
    registry.assign("iris@1", reason="a start")
    return registry


def _their_champion(lab: Lab, place: str) -> str:
    client = lab.new_mlflow(place)
    theirs.begin(client, lab.folder / uuid4().hex)
    theirs.log_and_register(*fitted(1))
    client.set_registered_model_alias("iris", "champion", "1")
    return str(client.tracking_uri)


def _dumped(folder: Path, estimator: Any) -> Path:
    path = folder / uuid4().hex
    joblib.dump(estimator, path)
    return path


def _process(code: str, *arguments: str) -> Callable[[], float]:
    return timed_each(
        partial(subprocess.run, check=True), lambda _: [[sys.executable, "-c", code, *arguments]], 1
    )
