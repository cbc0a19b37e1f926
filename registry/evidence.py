"""What was measured of two versions on the same rows: plain values, fit for the ledger and for JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Measured(BaseModel):
    """One metric of a challenger, beside the champion's if there is one.

    Attributes:
        metric: scikit-learn scorer name; higher is better.
        slice: The rows it was measured on, "all" or such as ``origin=JFK``.
        rows: How many they are.
        challenger: The challenger's value.
        champion: The champion's value; None without a champion.
        difference: Challenger minus champion; None without a champion.
        lower: One-sided lower confidence bound of the difference, or of the value without a champion.
        upper: The upper bound likewise. None where a bound is infinite.
        method: The method behind the bounds.
    """

    model_config = ConfigDict(frozen=True)

    metric: str
    slice: str
    rows: int
    challenger: float
    champion: float | None = None
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None
    method: str


class Comparison(BaseModel):
    """Two versions measured on the same rows.

    Attributes:
        challenger: Reference of the version that wants to be better.
        champion: Reference of the version it is compared with.
        dataset: Fingerprint of the rows.
        dataset_name: What people call them.
        confidence: Of each one-sided bound.
        results: One for each metric, in the order that was asked for.
    """

    model_config = ConfigDict(frozen=True)

    challenger: str
    champion: str
    dataset: str
    dataset_name: str
    confidence: float
    results: list[Measured]
