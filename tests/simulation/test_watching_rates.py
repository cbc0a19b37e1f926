"""How often a version in good health, or as good as its predecessor, is suspected or blamed, row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from registry.detection import Baseline
from registry.health import Watch, following
from registry.ledger import Stamp
from registry.monitoring_policy import MonitoringPolicy
from registry.suspicion import Contrast, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.tables import Observation

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
STAMP = Stamp(actor="ada", at=NOON)
HEALTHY, FALLEN, ROWS, CORRELATION = 0.92, 0.88, 500, 0.02


def watched(
    policy: MonitoringPolicy, rows: int, batches: Iterable[tuple[int, Contrast]]
) -> list[Observation]:
    """A stream whose evaluation had so many *rows*; each batch is its right answers and a contrast."""
    baseline = Baseline(HEALTHY, rows, correlation=policy.correlation)
    newest: Observation | None = None
    written: list[Observation] = []
    for number, (right, contrast) in enumerate(batches):
        watch = Watch(
            model="churn",
            alias="champion",
            metric="accuracy",
            version=2,
            since=2,
            in_force=True,
            policy=policy,
            baseline=baseline,
            has_target=lambda: True,
        )
        at = NOON + timedelta(hours=number)
        reading = Reading(batch=f"{number}", value=right / ROWS, rows=ROWS, at=at, contrast=contrast)
        newest = following(newest, newest, watch, reading, STAMP)
        written.append(newest)
    return written


def test_days_that_are_alike_within_raise_an_alarm_once_in_a_thousand() -> None:
    """Each day has a rate of its own, whose spread makes the rows of a day correlate by 0.02."""
    rng, policy = np.random.default_rng(3), MonitoringPolicy(correlation=CORRELATION)
    strength = 1 / CORRELATION - 1
    alarms, streams, days = 0, 20, 500
    for _ in range(streams):
        rates = rng.beta(HEALTHY * strength, (1 - HEALTHY) * strength, days)
        alike = Contrast(target=1, champion_only=0, target_only=0)
        stream = watched(policy, 10_000, [(int(right), alike) for right in rng.binomial(ROWS, rates)])
        alarms += len({row.alarm for row in stream} - {None})
    assert alarms <= streams * days / policy.every


def test_of_two_that_fell_alike_the_champion_is_blamed_in_one_reign_of_twelve_at_most() -> None:
    """However often the alarm sounds again: each further suspicion asks for more."""
    rng, policy = np.random.default_rng(4), MonitoringPolicy()
    blamed, reigns = 0, 60
    for _ in range(reigns):
        differing = rng.binomial(ROWS, 0.06, 300)
        ours = rng.binomial(differing, 0.5)
        contrasts = [
            Contrast(target=1, champion_only=int(first), target_only=int(both - first))
            for first, both in zip(ours, differing, strict=True)
        ]
        right = rng.binomial(ROWS, FALLEN, 300)
        stream = watched(policy, 10_000, zip(map(int, right), contrasts, strict=True))
        ends = {row.status for row in stream} & {"world-changed", "degraded"}
        assert ends
        blamed += "degraded" in ends
    assert blamed <= reigns / 12
