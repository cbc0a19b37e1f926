"""Versions of which each answers every row with its own number, so that an answer tells whose it is."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

from sklearn.dummy import DummyRegressor

from tests.examples import fit, make_dataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry import Dataset, ModelVersion, Registry

MODEL = "delay"
SECONDS = 20


@cache
def rows() -> Dataset:
    return make_dataset()


def register(registry: Registry, number: int) -> ModelVersion:
    estimator = fit(rows(), DummyRegressor(strategy="constant", constant=float(number)))
    return registry.register(MODEL, estimator, trained_on=rows())


def enthrone(registry: Registry, number: int) -> ModelVersion:
    """Register the version with this *number* and put it in force."""
    version = register(registry, number)
    assert version.number == number
    registry.assign(version.reference, reason="its turn")
    return version


def until(happened: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until it has *happened*."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)
