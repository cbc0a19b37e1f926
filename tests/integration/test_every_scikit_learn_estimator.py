"""Every classifier and regressor of the installed scikit-learn, and the usual pipelines around them.

An estimator that a later scikit-learn brings is tested as well, or fails here until it is provided for.
Run as a program, this file prints the fingerprint of each after training it.
"""

from __future__ import annotations

import inspect
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle  # type: ignore[import-untyped]  # ships no types
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, chi2, f_classif, f_regression, mutual_info_classif
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, TweedieRegressor
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RandomizedSearchCV,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators, get_tags

from registry.exceptions import ModelError, NotSerializable, UntrustedType
from registry.serialization import Terms, dump, fingerprint, round_trip
from registry.trust import TRUSTED

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{warning}")
    for warning in (
        ":sklearn.exceptions.ConvergenceWarning",  # small and fast is enough here
        "Class PassiveAggressive:FutureWarning",  # they are tested for as long as they are there
        "`TargetEncoder.shuffle` and:FutureWarning",  # older versions know no other way to a fixed seed
        # LogisticRegressionCV on defaults to come; older versions lack the arguments that silence it
        "The default value for l1_ratios:FutureWarning",
        "The default value of the parameter 'scoring':FutureWarning",
        "The fitted attributes of LogisticRegressionCV:FutureWarning",
    )
]

ROOT = Path(__file__).parents[2]
ROWS = 90


class Case(NamedTuple):
    """An estimator with what it learns from."""

    estimator: Any
    features: Any
    target: Any


# -- data ---------------------------------------------------------------------------------------------------

_random = np.random.default_rng(7)
NUMBERS = _random.uniform(0.1, 2, size=(ROWS, 4))
SIGNAL = NUMBERS @ [1, -2, 0.5, 1] + _random.normal(scale=0.2, size=ROWS)
AMOUNT = np.exp(SIGNAL / 4)
TERCILE = np.digitize(SIGNAL, np.quantile(SIGNAL, [1 / 3, 2 / 3]))
LATE = (np.median(SIGNAL) < SIGNAL).astype(int)
FRAME = pd.DataFrame(NUMBERS, columns=["distance", "delay", "wind", "rain"]).assign(
    carrier=pd.Series(_random.choice(["AA", "UA", "DL"], ROWS), dtype="str"),
    origin=pd.Series(_random.choice(["JFK", "LGA"], ROWS)).astype("category"),
)
CATEGORICAL = ["carrier", "origin"]
GAPS = NUMBERS.copy()
GAPS[::7, 0] = np.nan
TEXTS = [" ".join(_random.choice(["late", "early", "gate", "storm", "file"], 5)) for _ in range(ROWS)]


# -- one case per classifier and regressor ------------------------------------------------------------------

PLAIN = {
    name: estimator
    for kind in ("classifier", "regressor")
    for name, estimator in all_estimators(type_filter=kind)
}
CLASSIFIERS = [("linear", LogisticRegression()), ("tree", DecisionTreeClassifier(random_state=0))]
REGRESSORS = [("linear", Ridge()), ("tree", DecisionTreeRegressor(random_state=0))]
SMALL = {"random_state": 0, "n_estimators": 5}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "CCA": {"n_components": 1},
    "ClassifierChain": {"estimator": LogisticRegression()},
    "FixedThresholdClassifier": {"estimator": LogisticRegression()},
    "HistGradientBoostingClassifier": {"max_iter": 5},
    "HistGradientBoostingRegressor": {"max_iter": 5},
    "MultiOutputClassifier": {"estimator": LogisticRegression()},
    "MultiOutputRegressor": {"estimator": Ridge()},
    "OneVsOneClassifier": {"estimator": LogisticRegression()},
    "OneVsRestClassifier": {"estimator": LogisticRegression()},
    "OutputCodeClassifier": {"estimator": LogisticRegression()},
    "PLSCanonical": {"n_components": 1},
    "RadiusNeighborsClassifier": {"radius": 5.0},
    "RadiusNeighborsRegressor": {"radius": 5.0},
    "RegressorChain": {"estimator": Ridge()},
    "SelfTrainingClassifier": {"estimator": LogisticRegression()},
    "StackingClassifier": {"estimators": CLASSIFIERS},
    "StackingRegressor": {"estimators": REGRESSORS},
    "TunedThresholdClassifierCV": {"estimator": LogisticRegression()},
    "VotingClassifier": {"estimators": CLASSIFIERS},
    "VotingRegressor": {"estimators": REGRESSORS},
}


def plain_case(name: str) -> Case:
    kind = PLAIN[name]
    small = {key: value for key, value in SMALL.items() if key in inspect.signature(kind).parameters}
    estimator = kind(**small, **ARGUMENTS.get(name, {}))
    tags = get_tags(estimator)
    features = NUMBERS[:, :1] if tags.input_tags.one_d_array else NUMBERS
    classes = TERCILE if tags.classifier_tags and tags.classifier_tags.multi_class else LATE
    target = classes if tags.classifier_tags else AMOUNT
    if name == "SelfTrainingClassifier":
        target = np.where(np.arange(ROWS) % 5, target, -1)  # some rows have no label
    if not tags.target_tags.single_output:
        target = np.column_stack([LATE, NUMBERS[:, 0] > 1] if tags.classifier_tags else [AMOUNT, SIGNAL])
    return Case(estimator, features, target)


# -- the usual pipelines, searches and options --------------------------------------------------------------


def on_columns(numeric: Any, categorical: Any) -> Case:
    columns = ColumnTransformer(
        [("n", numeric, ["distance", "delay", "wind", "rain"]), ("c", categorical, CATEGORICAL)]
    )
    return Case(make_pipeline(columns, LogisticRegression(max_iter=1000)), FRAME, LATE)


def on_selected(numeric: Any) -> Case:
    """Columns chosen by their type or name."""
    others = make_column_selector(dtype_exclude=np.number)
    columns = ColumnTransformer([("n", StandardScaler(), numeric), ("c", OneHotEncoder(), others)])
    return Case(make_pipeline(columns, LogisticRegression()), FRAME, LATE)


def on_texts(*steps: Any) -> Case:
    return Case(make_pipeline(*steps), TEXTS, LATE)


def selecting(score: Callable[..., Any]) -> Case:
    return Case(make_pipeline(SelectKBest(score, k=2), LogisticRegression()), NUMBERS, LATE)


def neighbours(algorithm: str, metric: str) -> Case:
    nearest = KNeighborsClassifier(algorithm=algorithm, metric=metric, p=3)
    return Case(nearest, NUMBERS[:, :2], LATE)


def process(kernel: kernels.Kernel) -> Case:
    return Case(
        GaussianProcessRegressor(kernel, alpha=0.1, optimizer=None, random_state=0), NUMBERS[:, :1], AMOUNT
    )


def search(**options: Any) -> Case:
    return Case(GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, **options), NUMBERS, LATE)


def boosting(**options: Any) -> Any:
    return HistGradientBoostingClassifier(max_iter=4, random_state=0, **options)


USUAL: dict[str, Callable[[], Case]] = {
    "scaled and one-hot": lambda: on_columns(StandardScaler(), OneHotEncoder(handle_unknown="ignore")),
    "imputed and ordinal": lambda: on_columns(SimpleImputer(), OrdinalEncoder()),
    "imputed with indicator": lambda: Case(
        make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression()), GAPS, LATE
    ),
    "polynomial": lambda: on_columns(PolynomialFeatures(2), OneHotEncoder(drop="first", min_frequency=2)),
    "binned and target-encoded": lambda: on_columns(
        KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"), TargetEncoder(random_state=0)
    ),
    "splines": lambda: on_columns(SplineTransformer(), OneHotEncoder(dtype=np.float32)),
    "function transformer without function": lambda: on_columns(FunctionTransformer(), OneHotEncoder()),
    "logarithm": lambda: on_columns(FunctionTransformer(np.log1p), OneHotEncoder()),
    "columns by type": lambda: on_selected(make_column_selector(dtype_include="number")),
    "columns by abstract type": lambda: on_selected(make_column_selector(dtype_include=np.number)),
    "columns by pattern": lambda: on_selected(make_column_selector(pattern="^d")),
    "data frames within": lambda: Case(
        make_pipeline(StandardScaler(), LogisticRegression()).set_output(transform="pandas"),
        FRAME.drop(columns=CATEGORICAL),
        LATE,
    ),
    "text labels": lambda: Case(LogisticRegression(), NUMBERS, pd.Series(np.where(LATE, "late", "on time"))),
    "boosting, category": lambda: Case(boosting(), FRAME.drop(columns="carrier"), LATE),
    "boosting, str": lambda: Case(boosting(categorical_features=CATEGORICAL), FRAME, LATE),
    "boosting, str to category": lambda: Case(boosting(), FRAME.astype({"carrier": "category"}), LATE),
    "boosting, early stopping": lambda: Case(boosting(early_stopping=True), NUMBERS, LATE),
    "boosting, quantile": lambda: Case(
        HistGradientBoostingRegressor(loss="quantile", quantile=0.9, max_iter=4, random_state=0),
        NUMBERS,
        AMOUNT,
    ),
    "boosted columns in a vote": lambda: Case(
        VotingClassifier(
            [
                ("a", boosting(categorical_features=CATEGORICAL)),
                ("b", on_columns("passthrough", OneHotEncoder())[0]),
            ],
            voting="soft",
        ),
        FRAME,
        LATE,
    ),
    "tf-idf": lambda: on_texts(TfidfVectorizer(), LogisticRegression()),
    "tf-idf without stop words": lambda: on_texts(
        TfidfVectorizer(stop_words=["late", "file"]), LogisticRegression()
    ),
    "tf-idf and support vectors": lambda: on_texts(TfidfVectorizer(), SVC()),
    "tf-idf and neighbours": lambda: on_texts(TfidfVectorizer(), KNeighborsClassifier()),
    "counts": lambda: on_texts(CountVectorizer(), MultinomialNB()),
    "hashes": lambda: on_texts(HashingVectorizer(n_features=16), LogisticRegression()),
    "select by f_classif": lambda: selecting(f_classif),
    "select by f_regression": lambda: selecting(f_regression),
    "select by chi2": lambda: selecting(chi2),
    "select by mutual information": lambda: selecting(mutual_info_classif),
    "clusters as features": lambda: Case(
        make_pipeline(Birch(n_clusters=2), LogisticRegression()), NUMBERS, LATE
    ),
    "a lambda": lambda: Case(
        make_pipeline(FunctionTransformer(lambda rows: rows), LogisticRegression()), NUMBERS, LATE
    ),
    "a method as tokenizer": lambda: on_texts(
        TfidfVectorizer(tokenizer=str.split, token_pattern=None), LogisticRegression()
    ),
    "ball tree, euclidean": lambda: neighbours("ball_tree", "euclidean"),
    "ball tree, haversine": lambda: neighbours("ball_tree", "haversine"),
    "k-d tree, chebyshev": lambda: neighbours("kd_tree", "chebyshev"),
    "k-d tree, manhattan": lambda: neighbours("kd_tree", "manhattan"),
    "k-d tree, minkowski": lambda: neighbours("kd_tree", "minkowski"),
    "neighbours by brute force": lambda: Case(KNeighborsRegressor(algorithm="brute"), NUMBERS, AMOUNT),
    "kernel RBF + noise": lambda: process(kernels.RBF() + kernels.WhiteKernel()),
    "kernel Matern": lambda: process(kernels.Matern()),
    "kernel RationalQuadratic": lambda: process(2.0 * kernels.RationalQuadratic()),
    "kernel ExpSineSquared": lambda: process(kernels.ExpSineSquared()),
    "kernel DotProduct squared": lambda: process(kernels.DotProduct() ** 2),
    "calibrated, isotonic": lambda: Case(
        CalibratedClassifierCV(GaussianNB(), method="isotonic"), NUMBERS, LATE
    ),
    "calibrated, temperature": lambda: Case(
        CalibratedClassifierCV(GaussianNB(), method="temperature"), NUMBERS, LATE
    ),
    "perceptron by descent": lambda: Case(
        MLPClassifier((4,), solver="sgd", max_iter=20, random_state=0), NUMBERS, LATE
    ),
    "tweedie, log link": lambda: Case(TweedieRegressor(power=1.5), NUMBERS, AMOUNT),
    "transformed target": lambda: Case(
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1), NUMBERS, AMOUNT
    ),
    "grid search": search,
    "grid search, KFold": lambda: search(cv=KFold(3)),
    "grid search, StratifiedKFold": lambda: search(cv=StratifiedKFold(3)),
    "grid search, GroupKFold": lambda: search(cv=GroupKFold(3)),
    "grid search, TimeSeriesSplit": lambda: search(cv=TimeSeriesSplit(3)),
    "grid search, scoring": lambda: search(scoring="roc_auc"),
    "random search": lambda: Case(
        RandomizedSearchCV(LogisticRegression(), {"C": [0.1, 1, 2]}, n_iter=2, random_state=0), NUMBERS, LATE
    ),
}
CASES: dict[str, Callable[[], Case]] = {
    **{name: lambda name=name: plain_case(name) for name in PLAIN},  # type: ignore[misc]
    **USUAL,
}

REFUSED: dict[str, type[ModelError]] = {
    "TunedThresholdClassifierCV": UntrustedType,  # keeps a scorer: register a FixedThresholdClassifier
    "grid search, scoring": UntrustedType,  # keeps a scorer: register its best_estimator_
    "select by mutual information": UntrustedType,  # the function can start any number of processes
    "clusters as features": NotSerializable,  # skops does not know Birch
    "a lambda": NotSerializable,  # has no name
    "a method as tokenizer": UntrustedType,  # skops looks for methods of built-in types where none are
}
TIMED = {name for name in CASES if "search" in name}  # cv_results_ holds the seconds that each fit took


@cache
def fitted(name: str) -> Case:
    case = CASES[name]()
    groups = {"groups": np.arange(ROWS) % 5} if name.endswith("GroupKFold") else {}
    case.estimator.fit(case.features, case.target, **groups)
    return case


@cache
def fingerprint_of(name: str) -> str:
    return fingerprint_by_dump(fitted(name).estimator)


def fingerprint_by_dump(estimator: Any) -> str:
    with TemporaryDirectory() as folder:
        dump(estimator, Path(folder, "m"))
        return fingerprint(Path(folder, "m"))


def comes_back(estimator: Any, features: Any, path: Path) -> None:
    dump(estimator, path)
    round_trip(estimator, features, path, Terms(trusted=TRUSTED))


def dumpable() -> list[str]:
    return [name for name in CASES if REFUSED.get(name) is not NotSerializable]


# -- the tests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_comes_back_with_equal_predictions_or_is_refused_as_listed(name: str, tmp_path: Path) -> None:
    estimator, features, _ = fitted(name)
    if name in REFUSED:
        with pytest.raises(REFUSED[name]):
            comes_back(estimator, features, tmp_path / "m")
    else:
        comes_back(estimator, features, tmp_path / "m")


def test_every_trusted_name_is_needed() -> None:
    needed = {
        type_name
        for name in dumpable()
        for type_name in skops.io.get_untrusted_types(data=skops.io.dumps(fitted(name).estimator))
    }
    dead = sorted(TRUSTED - needed)
    assert not dead, "no estimator here holds these, so nobody needs them trusted:\n" + "\n".join(dead)


@pytest.mark.parametrize("name", [name for name in dumpable() if name != "a method as tokenizer"])
def test_keeps_its_fingerprint_when_it_is_pickled(name: str) -> None:
    estimator = fitted(name).estimator
    for pickler in (pickle, cloudpickle):
        restored = pickle.loads(pickler.dumps(estimator))  # noqa: S301 - its own bytes, just made
        assert fingerprint_by_dump(restored) == fingerprint_of(name)


def fingerprints_in_another_process(hash_seed: int) -> dict[str, str]:
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.integration.test_every_scikit_learn_estimator"],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(json.loads(finished.stdout))


@pytest.mark.long
def test_two_trainings_in_two_processes_have_one_fingerprint() -> None:
    """A search remembers how long it took, so it is taken for a new one: listed, and harmless."""
    with ThreadPoolExecutor() as processes:
        one, other = processes.map(fingerprints_in_another_process, [1, 77])
    assert one.keys() == other.keys() == set(dumpable())
    assert {name for name in one if one[name] != other[name]} == TIMED


def test_no_two_of_them_have_the_same_fingerprint() -> None:
    prints = [fingerprint_of(name) for name in dumpable()]
    assert len(set(prints)) == len(prints)


if __name__ == "__main__":
    print(json.dumps({name: fingerprint_of(name) for name in dumpable()}))  # noqa: T201
