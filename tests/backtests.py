"""Backtests made of numbers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.backtest import Backtest, LeftOut, Measurement, Plan, Question, assemble
from registry.evidence import Measured
from registry.tables import WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HALF_WIDTH = 0.01


def a_backtest(
    values: Mapping[int, Mapping[str, float]],
    *,
    champion: int | None = 1,
    slices: Sequence[str] = (),
    left_out: Sequence[LeftOut] = (),
    **question: Any,
) -> Backtest:
    """Of versions with these *values* by metric, the same on all *slices*; bounds are 0.01 to each side."""
    rival = None if champion is None else values.get(champion)
    found = {
        number: Measurement(
            reference=f"churn@{number}",
            results=tuple(
                _measured(metric, part, value, rival[metric] if rival and number != champion else None)
                for part in (WHOLE, *slices)
                for metric, value in by_metric.items()
            ),
        )
        for number, by_metric in values.items()
    }
    asked = Question(metrics=list(next(iter(values.values()), {"roc_auc": 0})), **question)
    broken = LeftOut(reference=f"churn@{champion}", reason="its artifact is gone")
    plan = Plan(
        model="churn",
        question=asked,
        dataset="ab" * 32,
        dataset_name="march",
        rows=100_000,
        in_force=None if champion is None else found.get(champion, broken),
        versions=tuple(number for number in values if number != champion),
    )
    others = [measurement for number, measurement in found.items() if number != champion]
    return assemble(plan, [*others, *left_out])


def _measured(metric: str, part: str, value: float, rival: float | None) -> Measured:
    bounded = value if rival is None else value - rival
    return Measured(
        metric=metric,
        slice=part,
        rows=100_000 if part == WHOLE else 1_000,
        challenger=value,
        champion=rival,
        difference=None if rival is None else bounded,
        lower=bounded - HALF_WIDTH,
        upper=bounded + HALF_WIDTH,
        method="paired DeLong",
    )
