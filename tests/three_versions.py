"""A model with three versions, each provably better than the one before on a holdout, that nobody promoted.

It is made once and copied for each test, because a copy costs a hundredth of what it costs to register.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from shutil import copytree
from typing import TYPE_CHECKING

from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeClassifier

from registry import Better, Dataset, Floor, PromotionPolicy, Registry
from tests.examples import fit, make_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

POLICY = PromotionPolicy(checks=(Better("accuracy"), Floor("accuracy", 0.4)))


@cache
def training() -> Dataset:
    """What all three were trained on."""
    return make_dataset(rows=400, name="january", origin=_origins(400))


@cache
def holdout(seed: int = 1) -> Dataset:
    """Rows that none was trained on; another *seed* gives others."""
    return make_dataset(rows=1_000, seed=seed, name="february", origin=_origins(1_000))


def _origins(rows: int) -> list[int]:
    return [row // 2 % 3 for row in range(rows)]


@contextmanager
def three_versions(factory: pytest.TempPathFactory, folder: Path) -> Iterator[Registry]:
    """A registry of its own for a test, in *folder*."""
    copytree(_made(factory.getbasetemp()), folder / "registry")
    registry = _open(folder / "registry")
    try:
        yield registry
    finally:
        registry.backend.rows.engine.dispose()


@cache
def _made(session: Path) -> Path:
    folder = session / "three-versions"
    folder.mkdir()
    registry = _open(folder)
    for estimator in (DummyClassifier(), DecisionTreeClassifier(max_depth=1), None):
        version = registry.register("churn", fit(training(), estimator), trained_on=training())
        registry.evaluate(version.reference, holdout(), metrics=POLICY.metrics)
    registry.backend.rows.engine.dispose()
    return folder


def _open(folder: Path) -> Registry:
    return Registry(f"sqlite:///{folder}/registry.db", artifacts=f"{folder}/artifacts", actor="ada")
