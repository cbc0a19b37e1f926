"""Registries that need no server, rows to learn from, and estimators that learned."""

from __future__ import annotations

from contextlib import ExitStack
from shutil import copy
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from registry import Dataset, Registry
from registry.store import Origin, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which there is a schema and nothing else, for copying, which is faster than making it."""
    path = tmp_path_factory.mktemp("empty") / "registry.db"
    Store.open(f"sqlite:///{path}", Origin(actor="ada")).engine.dispose()
    return path


@pytest.fixture
def make_registry(tmp_path: Path, empty_database: Path) -> Iterator[Callable[..., Registry]]:
    """Each call returns another empty registry, on SQLite and a folder, used by *actor*."""
    with ExitStack() as registries:

        def make(*, actor: str = "ada") -> Registry:
            folder = tmp_path / uuid4().hex
            folder.mkdir()
            database = f"sqlite:///{copy(empty_database, folder)}"
            registry = Registry(database, artifacts=f"{folder}/artifacts", actor=actor)
            registries.callback(registry.backend.rows.engine.dispose)
            return registry

        yield make


def make_dataset(*, rows: int = 40, seed: int = 0, name: str = "january", **columns: Any) -> Dataset:
    """Flights, every second one late (0 or 1): two numbers that half tell it, and further *columns*."""
    rng = np.random.default_rng(seed)
    late = np.arange(rows) % 2
    features = {"wind": rng.normal(size=rows) + late, "distance": rng.normal(size=rows) - late}
    return Dataset.from_frame(pd.DataFrame({**features, **columns, "late": late}), "late", name)


def fit(dataset: Dataset, estimator: Any = None) -> Any:
    """The *estimator*, a logistic regression unless it is given, fitted on the *dataset*."""
    return (estimator or LogisticRegression()).fit(dataset.features, dataset.labels)
