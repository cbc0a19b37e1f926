"""Rows to learn from, and estimators that learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from registry import Dataset


def make_dataset(*, rows: int = 40, seed: int = 0, name: str = "january", **columns: Any) -> Dataset:
    """Flights, every second one late (0 or 1): two numbers that half tell it, and further *columns*."""
    rng = np.random.default_rng(seed)
    late = np.arange(rows) % 2
    features = {"wind": rng.normal(size=rows) + late, "distance": rng.normal(size=rows) - late}
    return Dataset.from_frame(pd.DataFrame({**features, **columns, "late": late}), "late", name)


def fit(dataset: Dataset, estimator: Any = None) -> Any:
    """The *estimator*, a logistic regression unless it is given, fitted on the *dataset*."""
    return (estimator or LogisticRegression()).fit(dataset.features, dataset.labels)
