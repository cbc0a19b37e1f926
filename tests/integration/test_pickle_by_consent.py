"""Formats that run code: only where the operator's setting and the caller's argument both allow them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.cluster import Birch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from registry import Alert, Floor, PromotionPolicy, Registry, RollbackPolicy
from registry.exceptions import (
    InvalidName,
    NothingToRollBackTo,
    NotSerializable,
    PickleNotAllowed,
    Unreadable,
)
from registry.serving import load
from registry.settings import RegistrySettings, open_backend
from registry.trust import PICKLES, Consent
from tests.examples import fit, make_dataset

if TYPE_CHECKING:
    from collections.abc import Callable

TRAINING, HOLDOUT = make_dataset(name="january"), make_dataset(rows=400, seed=1, name="february")
POLICY = PromotionPolicy(checks=(Floor("accuracy", 0.4),), min_rows=50)


@pytest.fixture
def registry(make_registry: Callable[..., Registry]) -> Registry:
    """A registry whose operator allows pickle, and whose caller says nothing."""
    return under(make_registry(), Consent(operator=True))


def under(registry: Registry, consent: Consent) -> Registry:
    return Registry.of(replace(registry.backend, consent=consent))


def of_birch() -> Any:
    """What skops can't express."""
    return make_pipeline(Birch(n_clusters=2), LogisticRegression())


def register(registry: Registry, serialization: str, estimator: Any = None, **options: Any) -> Any:
    return registry.register(
        "late", fit(TRAINING, estimator), trained_on=TRAINING, serialization=serialization, **options
    )


@pytest.mark.parametrize("serialization", PICKLES)
def test_a_version_that_skops_cannot_express_is_kept_by_choice_and_says_so(
    registry: Registry, serialization: str
) -> None:
    version = register(registry, serialization, of_birch())
    assert version.serialization == serialization
    assert version.digest() == version.hash  # so what it says can't be changed later
    loaded = registry.load(version.reference, allow_pickle=True)
    expected = loaded.estimator.predict(HOLDOUT.features)
    np.testing.assert_array_equal(expected, fit(TRAINING, of_birch()).predict(HOLDOUT.features))


def test_a_lambda_is_kept_by_cloudpickle_alone(registry: Registry) -> None:
    estimator = make_pipeline(FunctionTransformer(lambda rows: rows * 2), LogisticRegression())
    for serialization in ("skops", "pickle", "joblib"):
        with pytest.raises(NotSerializable):
            register(registry, serialization, estimator)
    version = register(registry, "cloudpickle", estimator)
    assert registry.load(version.reference, allow_pickle=True).predict(HOLDOUT.features).shape == (400,)


class Forgetful(LogisticRegression):  # type: ignore[misc]  # scikit-learn ships no types
    """Comes back without what it learned."""

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "coef_": np.zeros((1, 2))}

    def __deepcopy__(self, memo: dict[int, Any]) -> Forgetful:
        return self


@pytest.mark.parametrize("serialization", PICKLES)
def test_what_comes_back_otherwise_is_not_registered(registry: Registry, serialization: str) -> None:
    with pytest.raises(NotSerializable, match="answers differently"):
        register(registry, serialization, Forgetful())
    assert registry.models() == []


@pytest.mark.parametrize("serialization", PICKLES)
def test_the_operator_has_to_allow_it(make_registry: Callable[..., Registry], serialization: str) -> None:
    registry = make_registry().allowing_pickle()
    with pytest.raises(PickleNotAllowed, match="set MODEL_REGISTRY_ALLOW_PICKLE=true"):
        register(registry, serialization)
    assert registry.models() == []
    assert [*registry.backend.artifacts.stored()] == []


def test_a_format_that_nobody_knows_is_refused(registry: Registry) -> None:
    with pytest.raises(InvalidName, match="'torch' is not a valid serialization"):
        register(registry, "torch")


STEPS: dict[str, Callable[[Registry], Any]] = {
    "load": lambda registry: registry.load("late@2"),
    "evaluate": lambda registry: registry.evaluate("late@2", HOLDOUT, metrics=["accuracy"]),
    "compare": lambda registry: registry.compare("late@2", "late@1", HOLDOUT, metrics=["accuracy"]),
    "decide": lambda registry: registry.decide("late@2", HOLDOUT, POLICY),
    "assign": lambda registry: registry.assign("late@2", reason="try it"),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_each_step_needs_both_of_them(registry: Registry, step: Callable[[Registry], Any]) -> None:
    register(registry, "skops")
    register(registry, "pickle")
    for consent in (Consent(), Consent(operator=True), Consent(caller=True)):
        with pytest.raises(PickleNotAllowed, match="late@2 was not opened"):
            step(under(registry, consent))
    assert step(registry.allowing_pickle())


def test_the_bytes_are_not_even_fetched_without_consent(registry: Registry) -> None:
    version = register(registry, "joblib")
    Path(registry.backend.artifacts.location, "sha256", version.artifact).unlink()
    with pytest.raises(PickleNotAllowed):
        registry.load(version.reference)


def test_a_backtest_leaves_it_out_with_the_reason(registry: Registry) -> None:
    register(registry, "skops")
    register(registry, "pickle")
    (left_out,) = registry.backtest("late", HOLDOUT, metrics=["accuracy"]).left_out
    assert left_out.reference == "late@2"
    assert "registry.allowing_pickle()" in left_out.reason


def test_the_entry_that_puts_it_in_force_says_its_format(registry: Registry) -> None:
    register(registry, "joblib")
    allowed = registry.allowing_pickle()
    decision = allowed.decide("late@1", HOLDOUT, POLICY)
    with pytest.raises(PickleNotAllowed):
        registry.promote(decision)
    assert allowed.promote(decision).evidence["serialization"] == "joblib"
    register(registry, "skops")
    assert "serialization" not in registry.assign("late@2", reason="safer").evidence
    assert registry.roll_back("late", reason="slower").evidence["serialization"] == "joblib"


def test_a_rollback_needs_the_operator_alone_because_a_caller_consented_before(registry: Registry) -> None:
    register(registry, "pickle")
    registry.allowing_pickle().assign("late@1", reason="start")
    register(registry, "skops")
    registry.assign("late@2", reason="next")
    entry = registry.answer(Alert(model="late", reason="it fell", key="1"), RollbackPolicy(served=0))
    assert (entry.kind, entry.in_force) == ("rolled-back", 1)


def test_a_rollback_passes_it_over_where_the_operator_forbids_it(registry: Registry) -> None:
    register(registry, "skops")
    registry.assign("late@1", reason="start")
    register(registry, "pickle")
    registry.allowing_pickle().assign("late@2", reason="next")
    register(registry, "skops", LogisticRegression(C=0.1))
    registry.assign("late@3", reason="newest")
    forbidding = under(registry, Consent())
    entry = forbidding.roll_back("late", reason="it fell")
    assert entry.in_force == 1
    assert "MODEL_REGISTRY_ALLOW_PICKLE" in entry.evidence["passed_over"]["late@2"]


def test_a_rollback_with_nothing_else_left_says_how_to_go_on(registry: Registry) -> None:
    register(registry, "pickle")
    registry.allowing_pickle().assign("late@1", reason="start")
    register(registry, "skops")
    registry.assign("late@2", reason="next")
    with pytest.raises(NothingToRollBackTo, match=r"MODEL_REGISTRY_ALLOW_PICKLE=true.*assign a version"):
        under(registry, Consent()).roll_back("late", reason="it fell")
    assert registry.aliases("late") == {"champion": 2}


def test_no_format_is_read_as_another(registry: Registry) -> None:
    for serialization, other in (("pickle", "skops"), ("skops", "pickle"), ("joblib", "skops")):
        version = register(registry, serialization)
        told = version.model_copy(update={"serialization": other})
        with pytest.raises(Unreadable):
            load(registry.backend.allowing_pickle(), told)


@pytest.mark.parametrize(("value", "allowed"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_the_operators_setting_is_an_environment_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, *, allowed: bool
) -> None:
    if value:
        monkeypatch.setenv("MODEL_REGISTRY_ALLOW_PICKLE", value)
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", f"sqlite:///{tmp_path}/registry.db")
    backend = open_backend(RegistrySettings())
    assert backend.consent == Consent(operator=allowed)
    backend.rows.close()
