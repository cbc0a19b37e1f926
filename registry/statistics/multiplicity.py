"""Many questions to the same rows: how to keep the chance of any wrong answer in bounds."""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def holm(p_values: Mapping[str, float], alpha: float) -> set[str]:
    """Return the names whose hypotheses are rejected; any wrong rejection has a chance of at most *alpha*.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6 (1979) 65-70.
    """
    rejected: set[str] = set()
    for name in sorted(p_values, key=p_values.__getitem__):
        if p_values[name] > alpha / (len(p_values) - len(rejected)):
            break
        rejected.add(name)
    return rejected


def alpha_at_look(alpha: float, look: int) -> float:
    """Return the part of *alpha* that the *look*-th decision (from 1) on the same dataset may spend.

    The parts 6 / (pi k)^2 sum to one over all looks, however many there will be (Boole's inequality, with
    Euler's sum of 1 / k^2).
    """
    return alpha * 6 / (pi * look) ** 2
